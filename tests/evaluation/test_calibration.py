"""Temperature and calibration errors against simulations with a known truth, and torchmetrics."""

import json
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from brainssl.evaluation.calibration import (
    HIGHEST,
    LOWEST,
    calibration,
    calibration_of_folds,
    classwise_ece,
    fit_temperature,
    reliability,
)
from brainssl.evaluation.intervals import bootstrap
from brainssl.evaluation.metrics import evaluate
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchmetrics.functional.classification as tm


def build(labels, logits, split="val", classes=None):
    n, k = logits.shape
    return Predictions.build(
        [f"image {i}" for i in range(n)],
        np.arange(n),
        [split] * n,
        np.asarray(labels, np.int64),
        logits,
        classes or [f"class {c}" for c in range(k)],
    )


def simulated(seed, n, k=4, temperature=1.0, split="val"):
    """Labels drawn from a softmax, and the logits that make it the softmax at `temperature`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, k))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return build(np.minimum(labels, k - 1), logits * temperature, split)


def nll(predictions, temperature):
    return evaluate(predictions.labels, predictions.probabilities(temperature))["nll"]


@pytest.mark.parametrize("temperature", [0.2, 1.0, 2.5, 10.0])
def test_a_known_temperature_is_recovered(temperature):
    found = fit_temperature(simulated(0, 20_000, temperature=temperature))
    assert found == pytest.approx(temperature, rel=0.03)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.floats(0.1, 15))
def test_no_other_temperature_is_likelier(seed, n, scale):
    val = simulated(seed, n, temperature=scale)
    found = fit_temperature(val)
    assert LOWEST <= found <= HIGHEST
    others = [1.0, *np.geomspace(LOWEST, HIGHEST, 25)]
    # Far from its optimum, `nll` is clipped where the likelihood that is fitted is not.
    assert nll(val, found) <= nll(val, 1.0) + 1e-12
    assert nll(val, found) <= min(nll(val, t) for t in others if t >= found) + 1e-9


def test_where_nothing_is_wrong_the_model_may_be_as_sure_as_is_allowed():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(50, 3))
    assert fit_temperature(build(logits.argmax(1), logits)) == LOWEST
    assert fit_temperature(build(logits.argmax(1), 1000 * logits)) == LOWEST


def test_where_guessing_is_better_the_model_is_made_as_unsure_as_is_allowed():
    logits = np.random.default_rng(0).normal(size=(50, 3))
    assert fit_temperature(build(logits.argmin(1), logits)) == HIGHEST


def test_scaling_mends_an_overconfident_model_and_keeps_its_accuracy():
    val, test = simulated(1, 2000, temperature=4), simulated(2, 2000, temperature=4, split="test")
    found = calibration(val, test)
    temperature = found["temperature"]
    assert temperature == fit_temperature(val)
    assert found["fitted_on"] == 2000
    for measure in ("nll", "brier", "ece", "classwise_ece"):
        assert found["after"][measure] < found["before"][measure]
    assert found["after"]["ece"] < 0.05 < 0.15 < found["before"]["ece"]
    for when, t in (("before", 1.0), ("after", temperature)):
        labels, probabilities = test.labels, test.probabilities(t)
        metrics = evaluate(labels, probabilities)
        got = found[when]
        assert {m: got[m] for m in ("nll", "brier", "ece")} == {
            m: metrics[m] for m in ("nll", "brier", "ece")
        }
        assert got["classwise_ece"] == classwise_ece(labels, probabilities)
        accuracy = sum(b["n"] * b["accuracy"] for b in got["bins"]) / len(test)
        assert accuracy == pytest.approx((test.predicted == labels).mean())
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_intervals_are_those_of_the_metrics_at_the_temperature():
    val, test = simulated(1, 200, temperature=4), simulated(2, 120, temperature=4, split="test")
    grouped = Predictions(test.frame.assign(group=np.arange(120) // 4), test.classes)
    found = calibration(val, grouped, draws=200)
    for when, t in (("before", 1.0), ("after", found["temperature"])):
        frame = grouped.frame.copy()
        columns = [name for name in frame if name.startswith("logit:")]
        frame[columns] = (frame[columns] / t).astype(np.float32)
        expected = bootstrap(Predictions(frame, test.classes), draws=200)
        assert set(found[when]["intervals"]) == {"nll", "brier"}
        for name, limits in found[when]["intervals"].items():
            assert limits == pytest.approx(expected[name], rel=1e-5)
    one = Predictions(test.frame.assign(group=0), test.classes)
    assert calibration(val, one)["after"]["intervals"] == {"nll": None, "brier": None}


def test_the_temperature_does_not_look_at_test():
    val = simulated(1, 300)
    found = [calibration(val, simulated(s, 50, temperature=3, split="test")) for s in (2, 3)]
    assert found[0]["temperature"] == found[1]["temperature"]
    assert found[0]["after"] != found[1]["after"]


@pytest.mark.parametrize(("k", "bins"), [(2, 15), (4, 15), (9, 10)])
def test_calibration_errors_agree_with_torchmetrics(k, bins):
    test = simulated(k, 500, k=k, temperature=2)
    labels, probabilities = test.labels, test.probabilities()
    p, y = torch.tensor(probabilities), torch.tensor(labels)
    each = [
        tm.binary_calibration_error(p[:, c], (y == c).long(), n_bins=bins, norm="l1").item()
        for c in range(k)
    ]
    assert classwise_ece(labels, probabilities, bins) == pytest.approx(np.mean(each), abs=1e-6)
    whole = tm.multiclass_calibration_error(p, y, k, n_bins=bins, norm="l1").item()
    assert gap_of(reliability(labels, probabilities, bins)) == pytest.approx(whole, abs=1e-6)


def gap_of(points):
    n = sum(point["n"] for point in points)
    return sum(point["n"] / n * abs(point["accuracy"] - point["confidence"]) for point in points)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 80), st.integers(1, 6), st.booleans())
def test_the_diagram_adds_up_to_the_calibration_error(seed, n, k, on_edges):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(k), n)
    if on_edges:
        # Every other multiple of 1/30 lies on an edge, where the rule says whom it joins.
        probabilities = rng.multinomial(30, np.ones(k) / k, n) / 30
    labels = rng.integers(k, size=n)
    points = reliability(labels, probabilities)
    assert sum(point["n"] for point in points) == n
    assert all(point["n"] > 0 for point in points)
    assert all(p["low"] < p["confidence"] + 1e-9 <= p["high"] + 2e-9 for p in points)
    assert [p["low"] for p in points] == sorted({p["low"] for p in points})
    assert gap_of(points) == pytest.approx(evaluate(labels, probabilities)["ece"], abs=1e-12)


def test_classwise_error_sees_classes_that_are_not_predicted():
    # The predicted class is right as often as said, the other two are confused with each other.
    labels = np.repeat([0, 1], [6, 4])
    probabilities = np.tile([0.6, 0.1, 0.3], (10, 1))
    assert evaluate(labels, probabilities)["ece"] == pytest.approx(0)
    assert classwise_ece(labels, probabilities) == pytest.approx((0 + 0.3 + 0.3) / 3)


def test_what_cannot_be_calibrated_is_refused():
    val, test = simulated(0, 5), simulated(1, 5, split="test")
    with pytest.raises(BrainsslError, match="no validation images"):
        calibration(val.of("train"), test)
    with pytest.raises(BrainsslError, match="at least one image"):
        calibration(val, test.of("train"))
    renamed = build(test.labels, test.logits, "test", ["class 1", "class 0", "class 2", "class 3"])
    with pytest.raises(BrainsslError, match="one model said of both"):
        calibration(val, renamed)


def test_each_fold_has_the_temperature_of_its_own_validation():
    def fold(number, temperature):
        val = simulated(10 + number, 400, temperature=temperature)
        test = simulated(20 + number, 300, temperature=temperature, split="test")
        names = [f"fold {number}: {image}" for image in test.frame["image_id"]]
        return val, Predictions(
            test.frame.assign(image_id=names).astype(test.frame.dtypes), test.classes
        )

    parts = [fold(0, 1.0), fold(1, 5.0)]
    found = calibration_of_folds(parts)
    own = [fit_temperature(val) for val, _ in parts]
    assert found["temperatures"] == own
    assert found["temperature"] == pytest.approx((own[0] * own[1]) ** 0.5)
    warm = np.concatenate([test.probabilities(t) for (_, test), t in zip(parts, own, strict=True)])
    labels = np.concatenate([test.labels for _, test in parts])
    assert found["after"]["nll"] == evaluate(labels, warm)["nll"]
    one = calibration(Predictions.joined([val for val, _ in parts[:1]]), parts[0][1])
    assert one["temperature"] == own[0]
