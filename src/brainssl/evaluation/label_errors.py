"""Labels that are probably wrong: confident learning, in which groups count and not images.

Northcutt, Jiang and Chuang (2021, JAIR 70, sections 3 and 4), from probabilities that models gave
images whose group they had never seen. Slices of one patient are near-copies: counted one by one, a
patient of forty slices would decide for a whole class. So each group counts once, in equal parts
for its images. (Were each to count once in every class that it holds, a single wrong label would
weigh as much as all right ones of its group.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from brainssl.evaluation.draws import group_weights, strata_of
from brainssl.evaluation.intervals import Interval, percentile_intervals
from brainssl.foundation.errors import BrainsslError

FEWEST_GROUPS = 5
"""Groups of a class below which nothing is said of the share of its labels that is wrong."""

_DRAWS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Joint:
    """How given and true labels go together, as far as models tell.

    Attributes:
        thresholds: of each class, see `class_thresholds`; NaN for one without an image.
        counts: (given, true), in groups, what is confidently of a class: see `confident_counts`.
        shares: (given, true), of the labels of each given class; rows sum to 1. The identity in the
            row of a class of which no image is confidently anything.
        joint: (given, true), the estimated number of images; row j sums to the number of images
            with label j.
    """

    thresholds: Float64[np.ndarray, " classes"]
    counts: Float64[np.ndarray, "classes classes"]
    shares: Float64[np.ndarray, "classes classes"]
    joint: Float64[np.ndarray, "classes classes"]


@dataclass(frozen=True)
class Wrong:
    """The share of labels that is estimated to be wrong, of one class or of all.

    Attributes:
        images: with the label.
        groups: that hold such an image.
        share: estimated to be wrong, weighed by groups; None where there are too few to tell.
        interval: of 95 %, by draws of groups; None where there is none.
    """

    images: int
    groups: int
    share: float | None
    interval: Interval | None


def weights_of(groups: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Return w_i = 1 / (images of i's group): each group weighs 1."""
    _, of, size = np.unique(groups, return_inverse=True, return_counts=True)
    weights: Float64[np.ndarray, " n"] = 1.0 / size[of]
    return weights


def class_thresholds(
    probabilities: Float64[np.ndarray, "n classes"],
    labels: Int64[np.ndarray, " n"],
    weights: Float64[np.ndarray, " n"],
) -> Float64[np.ndarray, " classes"]:
    """Return the mean self-confidence of each class; NaN for one without an image.

        t_j = Σ_{i: y_i = j} w_i p_ij / Σ_{i: y_i = j} w_i

    which is equation 2 of the paper where every w is 1.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    total = np.bincount(labels, weights, classes)
    summed = np.bincount(labels, weights * own, classes)
    means: np.ndarray = np.divide(summed, total, out=np.full(classes, np.nan), where=total > 0)
    return means


def confident_classes(
    probabilities: Float64[np.ndarray, "n classes"],
    labels: Int64[np.ndarray, " n"],
    thresholds: Float64[np.ndarray, " classes"],
) -> Int64[np.ndarray, " n"]:
    """Return of which class each image confidently is; −1 where of none.

    That is the likeliest class l among those with p_il ≥ t_l. Of equally likely ones it is the
    given label if that is among them, else the first: a doubt speaks for whoever labelled.
    """
    # A mean of equal numbers may lie a last digit above them.
    reached = probabilities >= thresholds - 1e-12
    held = np.where(reached, probabilities, -np.inf)
    found = held.argmax(axis=1)
    rows = np.arange(len(labels))
    found = np.where(held[rows, labels] == held[rows, found], labels, found)
    return np.where(reached.any(axis=1), found, -1).astype(np.int64)


def confident_counts(
    confident: Int64[np.ndarray, " n"],
    labels: Int64[np.ndarray, " n"],
    weights: Float64[np.ndarray, " n"],
    classes: int,
) -> Float64[np.ndarray, "classes classes"]:
    """Return C_jl = Σ w_i over images with label j that are confidently l (equation 1)."""
    told = confident >= 0
    cells = labels[told] * classes + confident[told]
    return np.bincount(cells, weights[told], classes**2).reshape(classes, classes)


def confident_joint(
    probabilities: Float64[np.ndarray, "n classes"],
    labels: Int64[np.ndarray, " n"],
    groups: Int64[np.ndarray, " n"],
) -> Joint:
    """Estimate how given labels j and true labels l go together.

    With C of `confident_counts`, weighed by `weights_of`, and N_j images of label j,

        share_jl = C_jl / Σ_m C_jm,   joint_jl = N_j · share_jl,

    which is equation 3 of the paper before it is divided by the number of images: calibrated, so
    that rows sum to the counts of the given labels.

    Args:
        probabilities: of each class, from models that saw no image of the group.
        labels: as given.
        groups: of the images (patients, clusters of near-duplicates).

    Raises:
        BrainsslError: no images, or probabilities that are none.
    """
    _check(probabilities, labels, groups)
    classes = probabilities.shape[1]
    weights = weights_of(groups)
    thresholds = class_thresholds(probabilities, labels, weights)
    confident = confident_classes(probabilities, labels, thresholds)
    counts = confident_counts(confident, labels, weights, classes)
    shares = _shares(counts)
    images = np.bincount(labels, minlength=classes)
    return Joint(thresholds, counts, shares, shares * images[:, None])


def scores(
    probabilities: Float64[np.ndarray, "n classes"], labels: Int64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """Return how much speaks against each label, by the normalised margin: from 0 to 1.

    s_i = (1 − p_iy + max_{l≠y} p_il) / 2 for label y: 1 is certainty of another class, 0 of the
    label, and 1/2 a draw between the two (section 4.2, "normalised margin").
    """
    rows = np.arange(len(labels))
    others = probabilities.copy()
    others[rows, labels] = -np.inf
    found: Float64[np.ndarray, " n"] = (1 - probabilities[rows, labels] + others.max(axis=1)) / 2
    return found


def best_other(
    probabilities: Float64[np.ndarray, "n classes"], labels: Int64[np.ndarray, " n"]
) -> Int64[np.ndarray, " n"]:
    """Return the likeliest class beside the label, the first of equals."""
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    found: Int64[np.ndarray, " n"] = others.argmax(axis=1).astype(np.int64)
    return found


def candidates(
    joint: Joint,
    probabilities: Float64[np.ndarray, "n classes"],
    labels: Int64[np.ndarray, " n"],
) -> Int64[np.ndarray, " n"]:
    """Return the class that each probably wrong label should be; −1 for the others.

    Pruned by noise rate (section 4.2): for each pair of classes j ≠ l the round(joint_jl) images of
    label j with the largest margin p_il − p_ij; of equals those that come first. An image that
    several pairs take gets the class with the largest margin.
    """
    found = np.full(len(labels), -1, np.int64)
    best = np.full(len(labels), -np.inf)
    for given, true in np.argwhere(joint.joint >= 0.5):  # less is rounded to no image
        if given == true:
            continue
        rows = np.flatnonzero(labels == given)
        margin = probabilities[rows, true] - probabilities[rows, given]
        taken = np.argsort(-margin, kind="stable")[: int(np.floor(joint.joint[given, true] + 0.5))]
        better = taken[margin[taken] > best[rows[taken]]]
        found[rows[better]], best[rows[better]] = true, margin[better]
    return found


def wrong_shares(
    probabilities: Float64[np.ndarray, "n classes"],
    labels: Int64[np.ndarray, " n"],
    groups: Int64[np.ndarray, " n"],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[Wrong, list[Wrong]]:
    """Estimate which share of the labels is wrong, of all images and of each given class.

    Of class j it is 1 − share_jj of `confident_joint`; of all the mean over classes, weighed by
    their images. Intervals are the 2.5 % and 97.5 % quantiles over draws of groups, class by class,
    in each of which thresholds and counts are made anew. They know nothing of what other models
    would have said.

    Args:
        probabilities: as for `confident_joint`.
        labels: as given.
        groups: of the images.
        draws: of the cluster bootstrap.
        seed: of the draws.

    Returns:
        Of all, and of each class in order. No share of a class with fewer than `FEWEST_GROUPS`
        groups, or without an image that is confidently anything; none of all where one of the
        classes has none.
    """
    joint = confident_joint(probabilities, labels, groups)
    classes = probabilities.shape[1]
    images = np.bincount(labels, minlength=classes)
    held = np.array([len(np.unique(groups[labels == c])) for c in range(classes)])
    known = (held >= FEWEST_GROUPS) & (joint.counts.sum(axis=1) > 0)
    wrong = 1 - np.diag(joint.shares)
    drawn = _drawn(probabilities, labels, groups, draws, seed)
    limits = percentile_intervals(drawn, 0.95)
    by_class = [
        Wrong(int(images[c]), int(held[c]), float(wrong[c]), limits[c])
        if known[c]
        else Wrong(int(images[c]), int(held[c]), None, None)
        for c in range(classes)
    ]
    number = len(np.unique(groups))
    if not known[images > 0].all():
        return Wrong(len(labels), number, None, None), by_class
    share = float(wrong @ images / images.sum())
    [interval] = percentile_intervals((drawn @ images / images.sum())[:, None], 0.95)
    return Wrong(len(labels), number, share, interval), by_class


def _drawn(
    probabilities: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    draws: int,
    seed: int,
) -> Float64[np.ndarray, "draws classes"]:
    """Return the wrong share of each class under each draw of groups."""
    classes = probabilities.shape[1]
    names, of = np.unique(groups, return_inverse=True)
    found = np.full((draws, classes), np.nan)
    if len(names) < 2:
        return found
    weights = weights_of(groups)
    for start, drawn in group_weights(strata_of(labels, of), draws, seed, _DRAWS_AT_ONCE):
        for row, own in enumerate(drawn, start=start):
            weighed = weights * own[of]
            thresholds = class_thresholds(probabilities, labels, weighed)
            confident = confident_classes(probabilities, labels, thresholds)
            counts = confident_counts(confident, labels, weighed, classes)
            found[row] = 1 - np.diag(_shares(counts))
    return found


def _shares(counts: np.ndarray) -> np.ndarray:
    total = counts.sum(axis=1, keepdims=True)
    found: np.ndarray = np.divide(counts, total, out=np.eye(len(counts)), where=total > 0)
    return found


def _check(probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> None:
    sizes: Sequence[int] = (len(labels), len(groups))
    if probabilities.ndim != 2 or not len(labels) or set(sizes) != {len(probabilities)}:
        raise BrainsslError(
            f"probabilities of shape {probabilities.shape} came with {sizes[0]} labels and "
            f"{sizes[1]} groups: give one row an image, and at least one image"
        )
    known: Bool[np.ndarray, " n"] = np.isclose(probabilities.sum(axis=1), 1, atol=1e-4)
    if not known.all() or probabilities.min() < 0:
        raise BrainsslError(
            f"{int((~known).sum()) or 'some'} rows are no probabilities: they must not be "
            "negative and sum to 1"
        )
