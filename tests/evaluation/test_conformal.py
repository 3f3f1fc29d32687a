"""Coverage of conformal sets: by simulation of many data sets, and against naive loops."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from brainssl.evaluation.conformal import (
    class_thresholds,
    conformal,
    conformal_of_folds,
    threshold,
)
from brainssl.evaluation.draws import group_weights, strata_of
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError

CLASSES = ("common", "rarer", "rare")
PRIOR = np.array([0.75, 0.2, 0.05])


def build(labels, logits, split, groups=None, classes=CLASSES):
    n = len(labels)
    return Predictions.build(
        [f"{split} {i}" for i in range(n)],
        np.arange(n) if groups is None else np.asarray(groups, np.int64),
        [split] * n,
        np.asarray(labels, np.int64),
        logits,
        classes,
    )


def simulated(rng, n, split, each=1):
    """Imbalanced classes of normal features, with the logits of Bayes; groups of `each` copies."""
    labels = rng.choice(3, n, p=PRIOR)
    features = np.eye(3)[labels] * 2 + rng.normal(size=(n, 3))
    logits = np.log(PRIOR) + 2 * features
    order = np.repeat(np.arange(n), each)
    return build(labels[order], logits[order], split, order)


def random_case(seed, n_val, n_test):
    rng = np.random.default_rng(seed)
    return simulated(rng, n_val, "val"), simulated(rng, n_test, "test")


@pytest.mark.parametrize(
    ("n", "alpha"),
    [
        (39, 0.1),
        *(pytest.param(*case, marks=pytest.mark.thorough) for case in ((40, 0.2), (19, 0.05))),
    ],
)
def test_mean_coverage_over_data_sets_is_what_was_promised(n, alpha):
    rng = np.random.default_rng(n)
    covered = []
    for _ in range(300):
        val, test = simulated(rng, n, "val"), simulated(rng, 200, "test")
        said = test.probabilities()[np.arange(len(test)), test.labels]
        covered.append((said >= threshold(val, alpha)).mean())
    noise = 3 * np.std(covered) / np.sqrt(300)
    assert noise < 0.015
    assert 1 - alpha - noise <= np.mean(covered) <= 1 - alpha + 1 / (n + 1) + noise


def test_only_thresholds_by_class_cover_every_class():
    rng, found = np.random.default_rng(0), []
    for _ in range(60):
        val, test = simulated(rng, 400, "val"), simulated(rng, 400, "test")
        found.append(conformal(val, test, alpha=0.1, draws=1))

    def mean(pick):
        return {name: np.mean([pick(sets)[name]["coverage"] for sets in found]) for name in CLASSES}

    common, by_class = mean(lambda s: s["per_class"]), mean(lambda s: s["by_class"]["per_class"])
    assert np.mean([sets["coverage"] for sets in found]) == pytest.approx(0.9, abs=0.01)
    assert common["rare"] < 0.6
    assert common["common"] > 0.94
    for name in CLASSES:
        # At most 1 / (n + 1) too much, and the rare class has some 20 calibration images.
        assert 0.88 <= by_class[name] <= 0.96, name


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 40), st.integers(1, 199))
def test_thresholds_are_those_of_the_definition(seed, n, per_200):
    """The set is {c: 1 − p(c) ≤ q} with q the ⌈(n+1)(1−α)⌉-th smallest score, ∞ beyond n."""
    val, _ = random_case(seed, n, 1)
    alpha, exactly = per_200 / 200, Fraction(per_200, 200)
    p, labels = val.probabilities(2.0), val.labels

    def naive(rows):
        scores = sorted(1 - p[i, labels[i]] for i in rows)
        rank = math.ceil((len(rows) + 1) * (1 - exactly))
        return 1 - scores[rank - 1] if rank <= len(rows) else 0

    assert threshold(val, alpha, 2.0) == pytest.approx(naive(range(n)), abs=1e-12)
    expected = [naive(np.flatnonzero(labels == c)) for c in range(3)]
    assert class_thresholds(val, alpha, 2.0) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("percent", range(1, 100))
def test_the_rank_is_exact_where_floating_point_is_not(percent):
    """With 99 images, rank ⌈100 (1 − α)⌉ is 100 − percent."""
    p = np.linspace(0.01, 0.99, 99)
    val = build(np.zeros(99, int), np.log(np.stack([p, 1 - p], 1)), "val", classes=("A", "B"))
    # The r-th smallest score belongs to the r-th largest probability.
    assert threshold(val, percent / 100) == pytest.approx(p[percent - 1], abs=1e-6)


def test_figures_against_a_loop_over_images():
    val, test = random_case(3, 80, 120)
    found = conformal(val, test, alpha=0.15, temperature=1.7)
    assert (found["alpha"], found["calibration"]) == (0.15, 80)
    p, labels = test.probabilities(1.7), test.labels
    limits = {"common": [threshold(val, 0.15, 1.7)] * 3, "own": class_thresholds(val, 0.15, 1.7)}
    for got, limit in ((found, limits["common"]), (found["by_class"], limits["own"])):
        sets = [{c for c in range(3) if row[c] >= limit[c]} for row in p]
        hits = [y in chosen for y, chosen in zip(labels, sets, strict=True)]
        sizes = [len(chosen) for chosen in sets]
        assert got["coverage"] == pytest.approx(np.mean(hits))
        assert got["mean_size"] == pytest.approx(np.mean(sizes))
        assert got["sizes"] == [sizes.count(size) for size in range(4)]
        assert got["empty"] == pytest.approx(sizes.count(0) / 120)
        for c, name in enumerate(CLASSES):
            own = [hit for hit, y in zip(hits, labels, strict=True) if y == c]
            row = got["per_class"][name]
            assert row["n"] == len(own)
            assert row["calibration"] == (val.labels == c).sum()
            assert row["coverage"] == pytest.approx(np.mean(own))
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.floats(0.02, 0.5), st.floats(0.01, 0.4))
def test_less_risk_asks_for_larger_sets(seed, n, alpha, step):
    val, test = random_case(seed, n, 30)
    strict, lax = (conformal(val, test, alpha=a, draws=1) for a in (alpha, alpha + step))
    for tight, loose in ((strict, lax), (strict["by_class"], lax["by_class"])):
        assert tight["coverage"] >= loose["coverage"]
        assert tight["mean_size"] >= loose["mean_size"]


def test_empty_sets_are_counted():
    # One image of which the model is unsure, after calibration on images of which it was sure.
    val = build([0] * 20, np.tile([9.0, 0.0, 0.0], (20, 1)), "val")
    test = build([0, 0], np.array([[9.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), "test")
    found = conformal(val, test)
    assert found["sizes"] == [1, 1, 0, 0]
    assert (found["empty"], found["coverage"]) == (0.5, 0.5)


@pytest.mark.parametrize(("n", "alpha", "too_few"), [(8, 0.1, True), (9, 0.1, False)])
def test_nine_cases_a_class_are_needed_at_90_percent(n, alpha, too_few):
    val = build([1] * n + [0] * 50, np.eye(3)[[1] * n + [0] * 50] * 9, "val")
    test = build([0, 1], np.eye(3)[[0, 1]] * 9, "test")
    found = conformal(val, test, alpha=alpha)
    for sets in (found, found["by_class"]):
        assert sets["per_class"]["rarer"]["too_few"] is too_few
        assert sets["per_class"]["common"]["too_few"] is False
        assert sets["per_class"]["rare"] == {
            "n": 0,
            "calibration": 0,
            "coverage": None,
            "interval": None,
            "too_few": True,
        }
    assert (class_thresholds(val, alpha)[1] == 0) is np.bool_(too_few)
    # A class without a threshold of its own is in every set; 'rare' always, 'rarer' with too few.
    assert found["by_class"]["mean_size"] == pytest.approx(2 + too_few / 2)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 60), st.integers(4, 199))
def test_too_few_is_fewer_than_the_reciprocal_less_one(n, per_200):
    val = build([0] * n, np.zeros((n, 3)), "val")
    test = build([0], np.zeros((1, 3)), "test")
    told = conformal(val, test, alpha=per_200 / 200, draws=1)["per_class"]["common"]["too_few"]
    assert told is (n < math.ceil(Fraction(200, per_200)) - 1)


@pytest.mark.parametrize("n", [0, 1])
def test_with_next_to_no_calibration_all_classes_are_in(n):
    val, test = random_case(0, n, 25)
    found = conformal(val, test)
    for sets in (found, found["by_class"]):
        assert sets["coverage"] == 1
        assert sets["sizes"] == [0, 0, 0, 25]
    # At alpha = 0.5 a single image is enough.
    assert (threshold(val, 0.5) > 0) == (n == 1)


def test_the_interval_covers_and_knows_that_copies_are_no_patients():
    rng, inside = np.random.default_rng(0), []
    val = simulated(rng, 100, "val")
    limit = threshold(val, 0.2)
    large = simulated(rng, 50_000, "test")
    truth = (large.probabilities()[np.arange(len(large)), large.labels] >= limit).mean()
    for _ in range(100):
        test = simulated(rng, 60, "test", each=3)
        low, high = conformal(val, test, alpha=0.2, draws=200)["interval"]
        inside.append(low <= truth <= high)
    assert 0.85 <= np.mean(inside) <= 1
    alone = build(test.labels, test.logits, "test")

    def width(predictions):
        low, high = conformal(val, predictions, alpha=0.2)["interval"]
        return high - low

    assert width(test) == pytest.approx(np.sqrt(3) * width(alone), rel=0.15)
    one = build(test.labels, test.logits, "test", np.zeros(len(test)))
    found = conformal(val, one)
    assert found["interval"] is None
    assert found["by_class"]["interval"] is None


def test_the_interval_of_a_class_is_that_of_its_images_in_the_draws_that_have_them():
    """Draw by draw, the weighted share of the class's images whose set holds it."""
    val = simulated(np.random.default_rng(0), 60, "val")
    # Only one group has nothing but common images. It is drawn with the two that hold rare ones.
    labels = np.tile([0, 2, 0, 2, 0, 1, 0, 1, 0, 1, 0, 0], 2)
    logits = np.random.default_rng(1).normal(size=(24, 3))
    test = build(labels, logits, "test", np.tile(np.arange(12) // 2, 2))
    found = conformal(val, test, alpha=0.3, draws=300, seed=5)
    right = test.probabilities()[np.arange(len(test)), test.labels] >= threshold(val, 0.3)
    of = np.unique(test.groups, return_inverse=True)[1]
    ((_, weights),) = group_weights(strata_of(test.labels, of), 300, 5, 300)
    shares = {
        name: [
            np.average(right[own], weights=drawn[of][own])
            for drawn in weights
            if drawn[of][own].any()
        ]
        for name in test.classes
        for own in [(test.frame["label"] == name).to_numpy()]
    }
    assert len(shares["rare"]) < 300, "every draw has every class"
    for name, told in found["per_class"].items():
        assert told["interval"] == pytest.approx(list(np.quantile(shares[name], [0.025, 0.975])))


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 90, math.nan])
def test_alpha_must_be_a_probability(alpha):
    val, test = random_case(0, 5, 5)
    with pytest.raises(BrainsslError, match="no probability of a miss"):
        conformal(val, test, alpha=alpha)


def test_what_cannot_be_measured_is_refused():
    val, test = random_case(0, 5, 5)
    with pytest.raises(BrainsslError, match="no test images"):
        conformal(val, test.of("val"))
    with pytest.raises(BrainsslError, match="ask for 2000"):
        conformal(val, test, draws=0)
    renamed = build(test.labels, test.logits, "test", classes=("A", "B", "C"))
    with pytest.raises(BrainsslError, match="one model said of both"):
        conformal(val, renamed)


def test_softmax_is_that_of_the_simulation():
    """The logits of the simulation are those of Bayes: else rare classes were no fair example."""
    rng = np.random.default_rng(0)
    large = simulated(rng, 100_000, "test")
    np.testing.assert_allclose(softmax(large.logits, axis=1).mean(axis=0), PRIOR, atol=0.005)


def test_folds_have_thresholds_of_their_own():
    parts = []
    for number in range(3):
        val, test = random_case(number, 60 + 10 * number, 40)
        names = [f"fold {number}: {image}" for image in test.frame["image_id"]]
        frame = test.frame.assign(image_id=names).astype(test.frame.dtypes)
        parts.append((val, Predictions(frame, test.classes)))
    warm = [1.0, 1.5, 2.0]
    whole = conformal_of_folds(parts, temperatures=warm, draws=20)
    single = [
        conformal(val, test, temperature=t, draws=20)
        for (val, test), t in zip(parts, warm, strict=True)
    ]
    assert whole["coverage"] == pytest.approx(np.mean([one["coverage"] for one in single]))
    assert whole["sizes"] == np.sum([one["sizes"] for one in single], axis=0).tolist()
    assert whole["calibration"] == 60
    other = [(parts[0][0], parts[0][1]), (parts[2][0], parts[1][1]), parts[2]]
    assert conformal_of_folds(other, temperatures=warm, draws=20)["sizes"] != whole["sizes"]
