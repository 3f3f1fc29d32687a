"""Sets of classes: coverage by simulation, over all images and of each class, by groups."""

import numpy as np
import pytest

from brainssl.evaluation.conformal import class_thresholds, threshold
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.promised_sets import ALL, OTHERS, OWN, PromisedSets

CLASSES = ("common", "rarer", "rare")


def patients(generator: np.random.Generator, counts: tuple[int, ...]) -> Predictions:
    """So many patients of each class, of 1 to 6 slices each, who differ as patients do."""
    label = np.repeat(np.arange(3), counts)
    own = np.eye(3)[label] * 1.5 + generator.normal(0, 1, (len(label), 3))
    groups = np.repeat(np.arange(len(label)), generator.integers(1, 7, len(label)))
    logits = own[groups] + generator.normal(0, 0.3, (len(groups), 3))
    ids = [str(at) for at in range(len(groups))]
    return Predictions.build(ids, groups, ["val"] * len(ids), label[groups], logits * 2, CLASSES)


def covered(sets: PromisedSets, said: Predictions, temperature: float) -> np.ndarray:
    """Whether the first slice of each group is covered: a random one, as they are alike."""
    _, first = np.unique(said.groups, return_index=True)
    held = sets.of(said.probabilities(temperature))
    found: np.ndarray = held[np.arange(len(said)), said.labels][first]
    return found


@pytest.mark.parametrize(("level", "enough"), [(0.9, 12)])
def test_sets_hold_the_classes_that_they_promise(level: float, enough: int) -> None:
    """Two classes have a threshold of their own; the third has too few patients for one."""
    generator = np.random.default_rng(1)
    hits: dict[str, list[float]] = {name: [] for name in CLASSES}
    for _ in range(400):
        sets = PromisedSets.fit(patients(generator, (20, enough, 3)), 2.0, level)
        assert sets is not None
        assert sets.promises == (OWN, OWN, ALL)
        for at, name in enumerate(CLASSES):
            new = patients(generator, tuple(6 if at == own else 0 for own in range(3)))
            hits[name].append(float(covered(sets, new, 2.0).mean()))
    for name, patients_of in (("common", 20), ("rarer", enough)):
        found, error = np.mean(hits[name]), np.std(hits[name]) / 20
        assert level - 3 * error <= found <= level + 1 / (patients_of + 1) + 3 * error


def test_classes_with_too_few_patients_are_promised_together() -> None:
    generator = np.random.default_rng(2)
    hits = []
    for _ in range(400):
        sets = PromisedSets.fit(patients(generator, (12, 6, 6)), 1.0, 0.9)
        assert sets is not None
        assert sets.promises == (OWN, OTHERS, OTHERS)
        assert sets.thresholds[1] == sets.thresholds[2]
        hits.append(float(covered(sets, patients(generator, (0, 6, 6)), 1.0).mean()))
    error = np.std(hits) / 20
    assert 0.9 - 3 * error <= np.mean(hits) <= 0.9 + 1 / 13 + 3 * error


def test_with_one_image_a_patient_the_thresholds_are_those_of_split_conformal() -> None:
    said = patients(np.random.default_rng(3), (40, 40, 40))
    _, first = np.unique(said.groups, return_index=True)
    alone = Predictions(said.frame.iloc[first].reset_index(drop=True), CLASSES)
    sets = PromisedSets.fit(alone, 1.3, 0.9)
    assert sets is not None
    np.testing.assert_allclose(sets.thresholds, class_thresholds(alone, 0.1, 1.3), rtol=1e-12)
    few = Predictions(alone.frame.groupby("label").head(5).reset_index(drop=True), CLASSES)
    every = PromisedSets.fit(few, 1.3, 0.9)
    assert every is not None
    assert every.promises == (ALL,) * 3
    assert every.thresholds == pytest.approx((threshold(few, 0.1, 1.3),) * 3, rel=1e-12)


def test_too_few_patients_promise_nothing_and_what_is_kept_comes_back() -> None:
    said = patients(np.random.default_rng(4), (3, 3, 2))
    assert PromisedSets.fit(said, 1.0, 0.9) is None
    sets = PromisedSets.fit(said, 1.0, 0.8)
    assert sets is not None
    assert PromisedSets.read("0.8", sets.facts()) == sets
