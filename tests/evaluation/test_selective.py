"""Risk–coverage curves against a naive loop and closed forms."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.selective import risk_coverage
from brainssl.foundation.errors import BrainsslError


def build(labels, logits):
    n, k = logits.shape
    return Predictions.build(
        [f"image {i}" for i in range(n)],
        np.arange(n),
        ["test"] * n,
        np.asarray(labels, np.int64),
        logits,
        [f"class {c}" for c in range(k)],
    )


def ranked(wrong):
    """Two classes, the surest image first; it says 0 of each."""
    n = len(wrong)
    logits = np.stack([np.linspace(5, 1, n), np.zeros(n)], axis=1)
    return build(np.asarray(wrong, int), logits)


def random_case(seed, n, ties):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    logits = rng.normal(size=(n, 3)) + np.eye(3)[labels]
    return build(labels, logits.round() if ties else logits)


def naive(test, temperature):
    """(coverage, risk) for every image, answering it and all of which the model is as sure."""
    p = test.probabilities(temperature)
    sure, wrong = p.max(axis=1), p.argmax(axis=1) != test.labels
    points = []
    for confidence in sorted(sure, reverse=True):
        answered = [bool(w) for s, w in zip(sure, wrong, strict=True) if s >= confidence]
        points.append((len(answered) / len(sure), sum(answered) / len(answered)))
    return points


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 90), st.booleans(), st.sampled_from([0.5, 1.0, 3.0]))
def test_the_curve_is_that_of_a_naive_loop(seed, n, ties, temperature):
    test = random_case(seed, n, ties)
    found = risk_coverage(test, temperature)
    points = naive(test, temperature)
    assert found["aurc"] == pytest.approx(np.mean([risk for _, risk in points]))
    # With fewer images than points, none is left out.
    assert list(zip(found["coverage"], found["risk"], strict=True)) == [
        pytest.approx(point) for point in sorted(set(points))
    ]
    for wanted in (0.5, 0.8, 0.9):
        risk = next(risk for coverage, risk in points if coverage >= wanted)
        assert found["accuracy_at"][str(wanted)] == pytest.approx(1 - risk)
    assert found["eaurc"] == found["aurc"] - found["aurc_oracle"] >= -1e-12
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_long_curve_is_thinned_evenly_and_keeps_its_area():
    test = random_case(0, 3000, ties=False)
    found = risk_coverage(test)
    np.testing.assert_allclose(found["coverage"], np.arange(1, 101) / 100, atol=1e-12)
    points = dict(naive(test, 1.0))
    assert found["risk"] == pytest.approx([points[c] for c in found["coverage"]])
    assert found["aurc"] == pytest.approx(np.mean(list(points.values())))
    assert found["risk"][-1] == pytest.approx((test.predicted != test.labels).mean())


@pytest.mark.parametrize(("n", "errors"), [(10, 0), (10, 3), (1000, 250), (5, 5)])
def test_a_perfect_order_reaches_the_optimum(n, errors):
    """Σ_{i ≤ m} i / (n − m + i) / n, near e + (1 − e) ln(1 − e) (Geifman et al. 2019)."""
    found = risk_coverage(ranked([0] * (n - errors) + [1] * errors))
    closed = sum(i / (n - errors + i) for i in range(1, errors + 1)) / n
    assert found["aurc"] == pytest.approx(closed)
    assert found["aurc_oracle"] == pytest.approx(closed)
    assert found["eaurc"] == pytest.approx(0)
    if n >= 1000:
        e = errors / n
        assert closed == pytest.approx(e + (1 - e) * np.log(1 - e), abs=1e-3)


def test_the_worst_order_has_the_largest_area():
    best, worst = risk_coverage(ranked([0, 0, 0, 1, 1])), risk_coverage(ranked([1, 1, 0, 0, 0]))
    assert worst["aurc"] == pytest.approx((1 + 1 + 2 / 3 + 2 / 4 + 2 / 5) / 5)
    assert worst["aurc_oracle"] == best["aurc_oracle"] == best["aurc"]
    assert worst["accuracy_at"] == {"0.5": pytest.approx(1 / 3), "0.8": 0.5, "0.9": 0.6}


def test_without_an_order_the_risk_is_the_error():
    labels = np.repeat([0, 1], [70, 30])
    found = risk_coverage(build(labels, np.tile([2.0, 0.0], (100, 1))))
    assert (found["coverage"], found["risk"]) == ([1.0], [0.3])
    assert found["aurc"] == pytest.approx(0.3)
    assert set(found["accuracy_at"].values()) == {0.7}


@pytest.mark.parametrize("n", range(10, 200, 10))
def test_coverages_are_met_exactly(n):
    """The one error comes first, so that an accuracy tells how many images were answered."""
    found = risk_coverage(ranked([1] + [0] * (n - 1)))
    for wanted, share in ((5, "0.5"), (8, "0.8"), (9, "0.9")):
        assert found["accuracy_at"][share] == pytest.approx(1 - 1 / (n * wanted // 10))


def test_no_images_are_refused():
    with pytest.raises(BrainsslError, match="no images"):
        risk_coverage(random_case(0, 5, ties=False).of("val"))
