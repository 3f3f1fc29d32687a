"""Sets of classes that hold the true one with a chosen probability: split conformal prediction."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from brainssl.evaluation.calibration import check_same_classes
from brainssl.evaluation.draws import drawn_means
from brainssl.evaluation.intervals import percentile_intervals
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError


def conformal(
    val: Predictions,
    test: Predictions,
    *,
    alpha: float = 0.1,
    temperature: float = 1.0,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Calibrate prediction sets on val and measure on test how often they hold the true class.

    The score of a class is 1 − its probability (LAC: Sadinle, Lei and Wasserman 2019); a set holds
    every class whose score is at most the ⌈(n + 1)(1 − alpha)⌉-th smallest among the true classes
    of the n calibration images (Vovk et al. 2005; Angelopoulos and Bates 2023, section 1). Were
    images exchangeable, a set would miss the true class with a probability of at most `alpha`, on
    average over calibration sets.

    They are not quite: where slices of one patient are near-copies, groups are exchangeable but
    images are not, and the guarantee is approximate, the more so the fewer groups there are. Nor
    does it hold where test comes from elsewhere, or to the letter where val also served to choose
    the model or the temperature. Hence the measured coverage and its interval; and the coverage of
    each class, of which the guarantee never spoke: common classes can make up for rare ones.

    `by_class` has sets with one threshold a class (Mondrian: Vovk et al. 2005, section 4.5; Sadinle
    et al. 2019), which are meant to hold each class with 1 − alpha. A class with too few
    calibration images is always in them, the only way to keep that promise, and with many such
    classes the sets are large.

    Args:
        val: the calibration images.
        test: the images to make sets for, of the same model.
        alpha: the probability of missing the true class that is allowed, between 0 and 1.
        temperature: that the logits are divided by.
        draws: of the cluster bootstrap over test groups.
        seed: of the draws.

    Returns:
        A dictionary ready for JSON: `alpha`, `calibration` (images of val), and for the common
        threshold, then under `by_class` for one a class:

        - `coverage`: share of test images whose set holds the true class, with its 95 % percentile
          `interval` at the given calibration (None with fewer than two groups).
        - `mean_size` of the sets, the share of `empty` ones, and `sizes`: how many have 0, 1 … K.
        - `per_class`: for each class `n` (test images), `calibration` (images of val), `coverage`
          (None without test images) with its `interval` (None with fewer than two groups of the
          class) and `too_few`: it has fewer than ⌈1 / alpha⌉ − 1 calibration
          images (9 at alpha = 0.1), too few for a threshold of its own.

    Raises:
        BrainsslError: There are no test images, val and test name different classes, or alpha,
            temperature or draws make no sense.
    """
    return conformal_of_folds(
        [(val, test)], alpha=alpha, temperatures=[temperature], draws=draws, seed=seed
    )


def conformal_of_folds(
    parts: Sequence[tuple[Predictions, Predictions]],
    *,
    alpha: float = 0.1,
    temperatures: Sequence[float],
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Do as `conformal`, with thresholds for each fold from its own validation set.

    Args:
        parts: of each fold what its model said of its validation and of its test set.
        alpha: the probability of missing the true class that is allowed, between 0 and 1.
        temperatures: of the folds.
        draws: of the cluster bootstrap over the test groups of all folds.
        seed: of the draws.

    Returns:
        As `conformal`; numbers of calibration images are those of the fold that has the fewest.

    Raises:
        BrainsslError: As `conformal`.
    """
    for val, test in parts:
        check_same_classes(val, test)
        if len(test) == 0:
            raise BrainsslError("there are no test images: coverage is measured on them")
    if draws < 1:
        raise BrainsslError(f"{draws} draws make no bootstrap: ask for 2000")
    made = [
        _sets(val, test, alpha, temperature)
        for (val, test), temperature in zip(parts, temperatures, strict=True)
    ]
    test = Predictions.joined([test for _, test in parts])
    kinds = [np.concatenate(sets) for sets in zip(*made, strict=True)]
    covered = np.stack([sets[np.arange(len(test)), test.labels] for sets in kinds], 1)
    intervals = _intervals(covered, test, draws, seed)
    counts = [np.bincount(val.labels, minlength=len(val.classes)) for val, _ in parts]
    support = np.min(counts, axis=0)
    figures = [
        {
            "coverage": float(covered[:, i].mean()),
            "interval": intervals[i],
            **_sizes(sets),
            "per_class": _per_class(covered[:, i], test, support, alpha, draws, seed),
        }
        for i, sets in enumerate(kinds)
    ]
    calibrated_on = min(len(val) for val, _ in parts)
    return {"alpha": alpha, "calibration": calibrated_on, **figures[0], "by_class": figures[1]}


def _sets(
    val: Predictions, test: Predictions, alpha: float, temperature: float
) -> tuple[Bool[np.ndarray, "n classes"], Bool[np.ndarray, "n classes"]]:
    """Return which classes are in the set of each test image: by one threshold, by one a class."""
    probabilities = test.probabilities(temperature)
    return (
        probabilities >= threshold(val, alpha, temperature),
        probabilities >= class_thresholds(val, alpha, temperature),
    )


def threshold(val: Predictions, alpha: float, temperature: float = 1.0) -> float:
    """Return the probability from which on a class belongs to the set: 1 − the score's quantile.

    0, which lets all classes in, where ⌈(n + 1)(1 − alpha)⌉ exceeds the n calibration images.

    Raises:
        BrainsslError: alpha is not between 0 and 1, or the temperature is not above 0.
    """
    return _threshold(_said_of_truth(val, temperature), alpha)


def class_thresholds(
    val: Predictions, alpha: float, temperature: float = 1.0
) -> Float64[np.ndarray, " classes"]:
    """Return the `threshold` of each class, calibrated on its own images alone.

    Raises:
        BrainsslError: As `threshold`.
    """
    said, labels = _said_of_truth(val, temperature), val.labels
    return np.array([_threshold(said[labels == c], alpha) for c in range(len(val.classes))])


def _said_of_truth(val: Predictions, temperature: float) -> Float64[np.ndarray, " n"]:
    probabilities = val.probabilities(temperature)
    said: Float64[np.ndarray, " n"] = probabilities[np.arange(len(val)), val.labels]
    return said


def _threshold(said: Float64[np.ndarray, " n"], alpha: float) -> float:
    rank = _rank(len(said), alpha)
    # Probabilities, not 1 − them, are compared: tiny ones would be lost in the difference.
    return float(np.sort(said)[-rank]) if rank <= len(said) else 0.0


def _rank(n: int, alpha: float) -> int:
    """Return ⌈(n + 1)(1 − alpha)⌉: which of n scores, from the smallest, is the quantile."""
    if not 0 < alpha < 1:
        raise BrainsslError(f"alpha {alpha} is no probability of a miss: write 0.1 for 10 %")
    # Rounded, as 30 × (1 − 0.3) is 21 and a little more in floating point.
    return math.ceil(round((n + 1) * (1 - alpha), 9))


def _sizes(sets: Bool[np.ndarray, "n classes"]) -> dict[str, Any]:
    sizes = sets.sum(axis=1)
    return {
        "mean_size": float(sizes.mean()),
        "empty": float((sizes == 0).mean()),
        "sizes": np.bincount(sizes, minlength=sets.shape[1] + 1).tolist(),
    }


def _per_class(
    covered: Bool[np.ndarray, " n"],
    test: Predictions,
    support: Int64[np.ndarray, " classes"],
    alpha: float,
    draws: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    of_class = test.labels[:, None] == np.arange(len(test.classes))
    intervals = _class_intervals(covered, of_class, test.groups, draws, seed)
    found = {}
    for c, (name, calibration) in enumerate(zip(test.classes, support.tolist(), strict=True)):
        own = covered[of_class[:, c]]
        found[name] = {
            "n": len(own),
            "calibration": calibration,
            "coverage": float(own.mean()) if len(own) else None,
            "interval": intervals[c],
            "too_few": _rank(calibration, alpha) > calibration,
        }
    return found


def _class_intervals(
    covered: Bool[np.ndarray, " n"],
    of_class: Bool[np.ndarray, "n classes"],
    groups: Int64[np.ndarray, " n"],
    draws: int,
    seed: int,
) -> list[list[float] | None]:
    """Return each class's interval over the draws in which it occurs; None within one group."""
    k = of_class.shape[1]
    held = (covered[:, None] & of_class).astype(np.float64)
    drawn = drawn_means(np.hstack([held, of_class]), groups, draws, seed, of_class.argmax(axis=1))
    seen = np.where(drawn[:, k:] > 0, drawn[:, k:], np.nan)
    limits = percentile_intervals(drawn[:, :k] / seen, 0.95)
    several = [len(np.unique(groups[own])) > 1 for own in of_class.T]
    return [list(pair) if known else None for pair, known in zip(limits, several, strict=True)]


def _intervals(
    covered: Bool[np.ndarray, "n kinds"], test: Predictions, draws: int, seed: int
) -> list[list[float] | None]:
    """Return the 95 % cluster-bootstrap interval of each column's mean, drawing groups."""
    if len(np.unique(test.groups)) < 2:
        return [None] * covered.shape[1]
    drawn = drawn_means(covered.astype(np.float64), test.groups, draws, seed, test.labels)
    return [list(pair) for pair in percentile_intervals(drawn, 0.95)]
