"""How far a protocol flatters: against an honest one, and by what it lets a model recognise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from brainssl.evaluation.draws import drawn_means
from brainssl.evaluation.intervals import Interval, percentile_intervals
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError


@dataclass(frozen=True)
class Optimism:
    """How much higher a model scores under one protocol than under another.

    Attributes:
        accuracy: under the protocol in question, in the mean over seeds.
        honest: under the other one.
        difference: accuracy − honest.
        interval: of the difference; NaN with fewer than two groups on a side.
    """

    accuracy: float
    honest: float
    difference: float
    interval: Interval


@dataclass(frozen=True)
class Chance:
    """What a model made of labels that mean nothing.

    Attributes:
        accuracy: on the test set, in the mean over seeds.
        guessing: what the same answers would get right there on average if they knew nothing.
        difference: accuracy − guessing.
        interval: of the difference; NaN with fewer than two groups on a side.
    """

    accuracy: float
    guessing: float
    difference: float
    interval: Interval

    @property
    def learnt(self) -> bool:
        """Whether the labels were learnt: more than guessing gets right, beyond the interval."""
        return self.interval[0] > 0


def optimism(
    flattered: Sequence[Predictions],
    honest: Sequence[Predictions],
    *,
    draws: int = 2000,
    level: float = 0.95,
) -> Optimism:
    """Compare the accuracy of a model under two protocols.

    Each protocol has test images of its own, so nothing is paired: groups are drawn independently
    on the two sides. What scatters over further training seeds and other splits is not in the
    interval.

    Args:
        flattered: predictions on the test set of the protocol in question, one a seed.
        honest: the same for the protocol that it is compared with.
        draws: of the cluster bootstrap.
        level: of the interval.

    Raises:
        BrainsslError: the seeds of one side have different test images.
    """
    ours, theirs = _hits(flattered), _hits(honest)
    drawn = [
        drawn_means(values[:, None], side[0].groups, draws, seed, side[0].labels)
        for seed, (values, side) in enumerate(((ours, flattered), (theirs, honest)))
    ]
    difference = float(ours.mean() - theirs.mean())
    (interval,) = percentile_intervals(drawn[0] - drawn[1], level)
    return Optimism(float(ours.mean()), float(theirs.mean()), difference, interval)


def beyond_chance(
    models: Sequence[Predictions], *, draws: int = 2000, level: float = 0.95
) -> Chance:
    """Say whether models that were trained on random labels know more than how frequent each is.

    Who answers class c of an image that it knows nothing about is right with probability f(c), the
    class's frequency. The answers of a model are therefore measured against the mean of f over
    them. The most frequent class would be too high a bar: who recognises a fifth of the images and
    answers the others as often as each class occurs may still be right less often than it.

    Frequencies are those of the training labels, whose groups are drawn like those of the test set:
    any for any, as their labels are what was drawn.

    Args:
        models: predictions on training and test set, one a seed, each with labels of its own draw.
        draws: of the cluster bootstrap.
        level: of the interval.

    Raises:
        BrainsslError: the seeds have different test images, or a model has no training set.
    """
    trains, tests = ([model.of(split) for model in models] for split in ("train", "test"))
    right = _hits(tests)
    if any(len(train) == 0 for train in trains):
        raise BrainsslError("predictions without a training set do not tell what guessing is")
    accuracy, guessing = float(right.mean()), 0.0
    drawn = drawn_means(right[:, None], tests[0].groups, draws, 0)[:, 0]
    for test, train in zip(tests, trains, strict=True):
        # Of few groups, a draw of labels may leave out classes that another one has.
        classes = np.eye(len(test.classes))
        answered, known = classes[test.predicted], classes[train.labels]
        guessing += float(answered.mean(axis=0) @ known.mean(axis=0)) / len(models)
        # The seed of the draws is that of `right`: one draw has the same groups in both.
        said = drawn_means(answered, test.groups, draws, 0)
        frequencies = drawn_means(known, train.groups, draws, 1)
        drawn = drawn - (said * frequencies).sum(axis=1) / len(models)
    (interval,) = percentile_intervals(drawn[:, None], level)
    return Chance(accuracy, guessing, accuracy - guessing, interval)


def _hits(models: Sequence[Predictions]) -> Float64[np.ndarray, " n"]:
    """Return in which share of the models each image is named rightly."""
    ids = models[0].frame["image_id"]
    if any(not model.frame["image_id"].equals(ids) for model in models):
        raise BrainsslError("seeds of one model were measured on different test images")
    hits: Float64[np.ndarray, " n"] = np.mean([m.predicted == m.labels for m in models], axis=0)
    return hits
