"""How far a protocol flatters: against an honest one, and by what it lets a model recognise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64

from brainssl.errors import BrainsslError
from brainssl.evaluation.intervals import Interval, multiplicities, percentile_intervals
from brainssl.evaluation.predictions import Predictions

_ROWS = 256  # draws at a time


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
        guessing: what naming the most frequent class of the training set gets right there.
        difference: accuracy − guessing.
        interval: of the difference; NaN with fewer than two groups.
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
        _drawn_means(values, side[0].groups, draws, seed)
        for seed, (values, side) in enumerate(((ours, flattered), (theirs, honest)))
    ]
    difference = float(ours.mean() - theirs.mean())
    (interval,) = percentile_intervals((drawn[0] - drawn[1])[:, None], level)
    return Optimism(float(ours.mean()), float(theirs.mean()), difference, interval)


def beyond_chance(
    models: Sequence[Predictions], *, draws: int = 2000, level: float = 0.95
) -> Chance:
    """Say whether models that were trained on random labels know more than how frequent each is.

    Args:
        models: predictions on training and test set, one a seed, each with labels of its own draw.
        draws: of the cluster bootstrap.
        level: of the interval.

    Raises:
        BrainsslError: the seeds have different test images, or a model has no training set.
    """
    tests = [model.of("test") for model in models]
    right = _hits(tests)
    guessed = []
    for model, test in zip(models, tests, strict=True):
        known = model.of("train").labels
        if len(known) == 0:
            raise BrainsslError("predictions without a training set do not tell what guessing is")
        guessed.append(test.labels == np.bincount(known).argmax())
    guesses = np.mean(guessed, axis=0)
    drawn = _drawn_means(right - guesses, tests[0].groups, draws, 0)
    (interval,) = percentile_intervals(drawn[:, None], level)
    accuracy, guessing = float(right.mean()), float(guesses.mean())
    return Chance(accuracy, guessing, accuracy - guessing, interval)


def _hits(models: Sequence[Predictions]) -> Float64[np.ndarray, " n"]:
    """Return in which share of the models each image is named rightly."""
    ids = models[0].frame["image_id"]
    if any(not model.frame["image_id"].equals(ids) for model in models):
        raise BrainsslError("seeds of one model were measured on different test images")
    hits: Float64[np.ndarray, " n"] = np.mean([m.predicted == m.labels for m in models], axis=0)
    return hits


def _drawn_means(
    values: Float[np.ndarray, " n"], groups: Int64[np.ndarray, " n"], draws: int, seed: int
) -> Float64[np.ndarray, " draws"]:
    """Return the mean of the values under each draw of groups; NaN with fewer than two groups."""
    names, of = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return np.full(draws, np.nan)
    totals, sizes = np.bincount(of, weights=values), np.bincount(of)

    def means() -> Iterator[Float64[np.ndarray, " rows"]]:
        for _, counts in multiplicities(len(names), draws, seed, _ROWS):
            yield (counts @ totals) / (counts @ sizes)

    return np.concatenate(list(means()))
