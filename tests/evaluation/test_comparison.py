"""Pairs of models: against naive loops, by properties, and by simulation under the null."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from brainssl.evaluation.comparison import compare_all, holm, two_sided
from brainssl.evaluation.draws import group_weights, strata_of
from brainssl.evaluation.metrics import evaluate
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError

CLASSES = ("A", "B", "C")


def model(
    generator: np.random.Generator, labels: np.ndarray, groups: np.ndarray, right: np.ndarray
) -> Predictions:
    said = np.where(right, labels, (labels + generator.integers(1, 3, len(labels))) % 3)
    ids = [f"{i:05d}" for i in range(len(labels))]
    return Predictions.build(
        ids, groups, ["test"] * len(ids), labels, np.eye(3)[said] * 4.0, CLASSES
    )


def clustered(
    generator: np.random.Generator, groups: int, shares: tuple[float, ...], each: int = 5
) -> list[Predictions]:
    """Return models that are right or wrong about a whole group, independently of each other."""
    group = np.repeat(np.arange(groups), each)
    labels = generator.integers(0, 3, groups * each)
    return [
        model(generator, labels, group, np.repeat(generator.random(groups) < share, each))
        for share in shares
    ]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_controls_step_by_step(p_values: list[float]) -> None:
    """The i-th smallest is found at a level exactly if all smaller ones are and p (m − i) ≤ it."""
    corrected = holm(p_values)
    m = len(p_values)
    for level in (0.01, 0.05, 0.3):
        found = set()
        for place, i in enumerate(sorted(range(m), key=p_values.__getitem__)):
            if (m - place) * p_values[i] > level:
                break
            found.add(i)
        assert {i for i in range(m) if corrected[i] <= level} == found


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, math.nan]) == pytest.approx(
        [0.03, 0.06, 0.06, math.nan], nan_ok=True
    )


def test_difference_and_interval_are_those_of_a_loop() -> None:
    generator = np.random.default_rng(0)
    first, second = clustered(generator, 12, (0.7, 0.5))
    found = compare_all({"a": [first], "b": [second]}, draws=200, seed=3)
    ((_, weights),) = group_weights(strata_of(first.labels, first.groups), 200, 3, 200)
    gaps: dict[str, list[float]] = {"accuracy": [], "f1_macro": []}
    for drawn in weights[:, first.groups]:
        held = np.unique(first.labels[drawn > 0])
        asked = {"sample_weight": drawn, "labels": held, "average": "macro", "zero_division": 0}
        own = [
            (
                accuracy_score(p.labels, p.predicted, sample_weight=drawn),
                f1_score(p.labels, p.predicted, **asked),
            )
            for p in (first, second)
        ]
        for values, a, b in zip(gaps.values(), *own, strict=True):
            values.append(a - b)
    for pair in found:
        scores = [evaluate(p.labels, p.probabilities()) for p in (first, second)]
        assert pair.difference == pytest.approx(scores[0][pair.metric] - scores[1][pair.metric])
        drawn = np.array(gaps[pair.metric])
        assert pair.interval == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))))
        least = min((drawn <= 0).sum(), (drawn >= 0).sum())
        assert pair.p_value == pytest.approx(min(1, 2 * (1 + least) / 201))


def test_seeds_are_averaged_before_the_difference() -> None:
    generator = np.random.default_rng(1)
    one, two, other = clustered(generator, 30, (0.3, 0.9, 0.5))
    (both,) = compare_all({"a": [one, two], "b": [other]}, metrics=["accuracy"])
    alone = [
        compare_all({"a": [seed], "b": [other]}, metrics=["accuracy"])[0].difference
        for seed in (one, two)
    ]
    assert both.difference == pytest.approx(np.mean(alone))


def test_who_comes_first_changes_the_sign_alone() -> None:
    first, second = clustered(np.random.default_rng(2), 25, (0.7, 0.5))
    for there, back in zip(
        compare_all({"a": [first], "b": [second]}),
        compare_all({"b": [second], "a": [first]}),
        strict=True,
    ):
        assert there.difference == pytest.approx(-back.difference)
        assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))
        assert there.p_value == pytest.approx(back.p_value)


def test_a_model_does_not_differ_from_itself() -> None:
    (same,) = clustered(np.random.default_rng(3), 20, (0.6,))
    for pair in compare_all({"a": [same], "b": [same]}):
        assert (pair.difference, pair.interval, pair.p_value, pair.p_holm) == (0, (0, 0), 1, 1)


def test_a_clear_difference_survives_the_correction_for_many_pairs() -> None:
    """With 2,000 draws no p value could: the smallest, times 66 pairs, is above 0.05."""
    generator = np.random.default_rng(4)
    many = clustered(generator, 60, (0.99, *[0.05] * 11))
    named = {str(i): [found] for i, found in enumerate(many)}
    pairs = compare_all(named, metrics=["accuracy"])
    assert len(pairs) == 66
    best = [pair for pair in pairs if pair.first == "0"]
    assert all(pair.p_holm < 0.02 for pair in best)


def test_under_the_null_few_are_found_where_groups_are_drawn() -> None:
    """Drawn one by one, slices of a patient pretend to be many patients, and chance is found."""
    generator, grouped, by_image = np.random.default_rng(5), 0, 0
    for _ in range(150):
        first, second = clustered(generator, 40, (0.6, 0.6), each=8)
        alone = [
            Predictions(p.frame.assign(group=np.arange(len(p))), p.classes) for p in (first, second)
        ]
        honest, naive = (
            compare_all({"a": [a], "b": [b]}, metrics=["accuracy"], draws=400)[0]
            for a, b in ((first, second), alone)
        )
        grouped += honest.p_value < 0.05
        by_image += naive.p_value < 0.05
    assert grouped / 150 < 0.11
    assert by_image / 150 > 0.3


def test_one_group_tells_nothing() -> None:
    pairs = compare_all(
        dict(zip("ab", [[m] for m in clustered(np.random.default_rng(6), 1, (1, 0))], strict=True))
    )
    for told in (pair.to_dict() for pair in pairs):
        assert told["interval"] is told["p_value"] is told["p_holm"] is None
        assert told["difference"] != 0


def test_other_images_are_refused() -> None:
    generator = np.random.default_rng(7)
    models: dict[str, Any] = {str(n): clustered(generator, n, (0.5,)) for n in (10, 11)}
    with pytest.raises(BrainsslError, match="on other images than 10"):
        compare_all(models)
    with pytest.raises(BrainsslError, match="not by auroc"):
        compare_all({"a": models["10"], "b": models["10"]}, metrics=["auroc"])
    assert compare_all({"a": models["10"]}) == []


def test_few_groups_that_differ_cannot_have_a_small_p_value() -> None:
    one_sided = np.full(999, 0.1)
    assert two_sided(one_sided, 3) == pytest.approx(2 / 2**3)
    assert two_sided(one_sided, 20) == pytest.approx(2 / 1000)
    assert two_sided(one_sided, 0) == 1
