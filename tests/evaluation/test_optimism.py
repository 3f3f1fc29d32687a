"""Optimism of a protocol and what was made of random labels, against simulations."""

import numpy as np
import pytest

from brainssl.errors import BrainsslError
from brainssl.evaluation.optimism import beyond_chance, optimism
from brainssl.evaluation.predictions import Predictions

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


def test_guessing_is_the_commonest_training_label() -> None:
    model = predictions(np.random.default_rng(2), 0.5, 100, train=30)
    found = beyond_chance([model], draws=200)
    assert found.guessing == (model.of("test").labels == 0).mean()


@pytest.mark.parametrize(("accuracy", "learnt"), [(0.9, True), (0.5, False), (0.1, False)])
def test_what_is_beyond_guessing_was_learnt(accuracy: float, learnt: bool) -> None:
    """The commonest class has half of the images: being right on half of them is no knowledge."""
    model = predictions(np.random.default_rng(3), accuracy, 100, train=30)
    assert beyond_chance([model], draws=500).learnt is learnt


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
