"""Optimism of a protocol and what was made of random labels, against simulations."""

import numpy as np
import pytest

from brainssl.evaluation.optimism import beyond_chance, optimism
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError

CLASSES = ("A", "B", "C")


def predictions(
    generator: np.random.Generator, accuracy: float, groups: int, *, train: int = 0, each: int = 4
) -> Predictions:
    """Groups of `each` images that are all right or all wrong; training labels mostly A."""
    n = groups * each
    labels = generator.choice(3, n, p=[0.5, 0.3, 0.2])
    right = np.repeat(generator.random(groups) < accuracy, each)
    said = np.where(right, labels, (labels + 1) % 3)
    labels = np.concatenate([labels, np.zeros(train, int)])
    said = np.concatenate([said, np.zeros(train, int)])
    return Predictions.build(
        [f"{i:05d}" for i in range(n + train)],
        np.concatenate([np.repeat(np.arange(groups), each), 10_000 + np.arange(train)]),
        ["test"] * n + ["train"] * train,
        labels.astype(np.int64),
        np.eye(3)[said] * 5.0,
        CLASSES,
    )


def test_the_difference_is_that_of_the_accuracies() -> None:
    generator = np.random.default_rng(0)
    high, low = predictions(generator, 0.9, 80), predictions(generator, 0.5, 60)
    found = optimism([high], [low], draws=500)
    means = [(p.predicted == p.labels).mean() for p in (high, low)]
    assert (found.accuracy, found.honest) == tuple(means)
    assert found.difference == pytest.approx(means[0] - means[1])
    assert found.interval[0] < found.difference < found.interval[1]
    assert found.interval[0] > 0


def test_seeds_are_averaged() -> None:
    one = [predictions(np.random.default_rng(0), share, 50) for share in (0.3, 0.9)]
    # The same images and labels, as the generator begins anew; only what is right differs.
    assert (one[0].labels == one[1].labels).all()
    both = optimism(one, [one[0]], draws=100)
    alone = [optimism([model], [one[0]], draws=100).difference for model in one]
    assert both.difference == pytest.approx(np.mean(alone))


def test_the_interval_covers_the_difference() -> None:
    generator, covered = np.random.default_rng(1), 0
    for _ in range(200):
        high, low = predictions(generator, 0.8, 60), predictions(generator, 0.5, 50)
        lower, upper = optimism([high], [low], draws=300).interval
        covered += lower <= 0.3 <= upper
    assert 0.9 <= covered / 200 <= 0.99


def recogniser(generator: np.random.Generator, known: float, *, groups: int = 300) -> Predictions:
    """Random labels, 75 : 25, and a model that knows a share of the groups and else guesses.

    It guesses each class as often as the class occurs: 600 test images in pairs, 1,200 for
    training.
    """
    frequent = [0.75, 0.25]
    n, train = 2 * groups, 4 * groups
    labels = np.repeat(generator.choice(2, (n + train) // 2, p=frequent), 2)
    guessed = generator.choice(2, n + train, p=frequent)
    seen = np.repeat(generator.random((n + train) // 2) < known, 2)
    said = np.where(seen, labels, guessed)
    return Predictions.build(
        [f"{i:05d}" for i in range(n + train)],
        np.arange(n + train) // 2,
        ["test"] * n + ["train"] * train,
        labels.astype(np.int64),
        np.eye(2)[said] * 5.0,
        CLASSES[:2],
    )


def test_guessing_is_what_the_answers_get_right_on_average_if_labels_are_dealt_anew() -> None:
    generator = np.random.default_rng(2)
    model = predictions(generator, 0.5, 100, train=30)
    known, said = model.of("train").labels, model.of("test").predicted
    dealt = [(said == generator.choice(known, len(said))).mean() for _ in range(2000)]
    found = beyond_chance([model], draws=200)
    assert found.guessing == pytest.approx(np.mean(dealt), abs=0.002)
    # Training labels of one class: who answers it is right, who answers another is not.
    assert found.guessing == (said == 0).mean()


@pytest.mark.parametrize(("known", "found"), [(0.3, (19, 20)), (0.2, (18, 20)), (0.0, (0, 3))])
def test_who_recognises_some_images_has_learnt(known: float, found: tuple[int, int]) -> None:
    """Knowing a fifth is 70 % right, below the 75 % of the most frequent class."""
    generator, learnt = np.random.default_rng(3), 0
    for _ in range(20):
        chance = beyond_chance([recogniser(generator, known)], draws=500)
        assert chance.accuracy < 0.8
        learnt += chance.learnt
    assert found[0] <= learnt <= found[1]


def test_a_training_set_by_chance_unlike_the_test_set_is_not_taken_for_learning() -> None:
    """Always the frequent class: all that moves is how frequent it is here and there."""
    generator, learnt = np.random.default_rng(4), 0
    for _ in range(200):
        model = recogniser(generator, 0.0, groups=60)
        always = Predictions.build(
            list(model.frame["image_id"]),
            model.groups,
            list(model.frame["split"]),
            model.labels,
            np.tile([5.0, 0.0], (len(model), 1)),
            model.classes,
        )
        learnt += beyond_chance([always], draws=300).learnt
    assert learnt <= 10  # of 200; 5 are expected


def test_guessing_is_averaged_over_seeds() -> None:
    models = [recogniser(np.random.default_rng(seed), 0.2) for seed in (5, 6)]
    both = beyond_chance(models, draws=200)
    alone = [beyond_chance([model], draws=200) for model in models]
    assert both.guessing == pytest.approx(np.mean([found.guessing for found in alone]))
    assert both.difference == pytest.approx(np.mean([found.difference for found in alone]))
    narrow, wide = (np.diff(found.interval)[0] for found in (both, alone[0]))
    assert narrow < wide


def test_draws_of_other_classes_are_measured_together() -> None:
    """Of few groups, one draw of labels may leave out classes that another one has."""
    models = [recogniser(np.random.default_rng(seed), 0.2) for seed in (5, 6)]
    before = beyond_chance(models, draws=20)
    one, other = models
    wider = Predictions.build(
        list(other.frame["image_id"]),
        other.groups,
        list(other.frame["split"]),
        other.labels + 1,
        np.column_stack([np.full(len(other), -9.0), other.logits]),
        ("never said", *other.classes),
    )
    assert beyond_chance([one, wider], draws=20) == before


def test_different_test_images_are_refused() -> None:
    generator = np.random.default_rng(4)
    models = [predictions(generator, 0.5, groups, train=3) for groups in (20, 30)]
    with pytest.raises(BrainsslError, match="different test images"):
        beyond_chance(models)
    with pytest.raises(BrainsslError, match="without a training set"):
        beyond_chance([predictions(generator, 0.5, 20)])


def test_one_group_has_no_interval() -> None:
    alone = predictions(np.random.default_rng(5), 1.0, 1, train=3)
    found = beyond_chance([alone], draws=10)
    assert np.isnan(found.interval).all()
    assert not found.learnt
