"""Whether a model's scores tell images of classes that it never saw from those that it knows."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64
from scipy.special import logsumexp, softmax

from brainssl.evaluation.draws import group_weights
from brainssl.evaluation.intervals import percentile_intervals
from brainssl.foundation.errors import BrainsslError

ACCEPTED = 0.95  # of the known images, at the threshold of `fpr95`

_MEASURES = ("auroc", "fpr95")
# Weights of images × draws held at once: 16 MiB of float64, and a few times that in work arrays.
_CHUNK = 2**21


def msp(logits: Float[np.ndarray, "n classes"]) -> Float64[np.ndarray, " n"]:
    """Return the maximum softmax probability of each image (Hendrycks and Gimpel 2017)."""
    scores: Float64[np.ndarray, " n"] = softmax(logits.astype(np.float64), axis=1).max(axis=1)
    return scores


def energy(logits: Float[np.ndarray, "n classes"]) -> Float64[np.ndarray, " n"]:
    """Return the negative free energy log Σ exp(logit) of each image (Liu et al. 2020).

    Unlike `msp` it sees how large the logits are, not only how they differ.
    """
    scores: Float64[np.ndarray, " n"] = logsumexp(logits.astype(np.float64), axis=1)
    return scores


SCORES: dict[str, Callable[[Float[np.ndarray, "n classes"]], Float64[np.ndarray, " n"]]] = {
    "msp": msp,
    "energy": energy,
}


def novelty(
    known: Float[np.ndarray, "n classes"],
    novel: Float[np.ndarray, "m classes"],
    known_groups: Int64[np.ndarray, " n"],
    novel_groups: Int64[np.ndarray, " m"],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure how well each of `SCORES` tells known images (high) from novel ones (low).

    - `auroc`: the probability that a known image scores higher than a novel one; a tie counts one
      half. 0.5 is blindness.
    - `fpr95`: the share of novel images that pass the highest threshold which at least 95 % of the
      known images pass (Liu et al. 2020). 0.95 is blindness, 0 the best.

    Intervals are 95 % percentile intervals over draws of groups, the known and the novel ones each
    among themselves, as many as there are; the threshold is found anew in each draw.

    Args:
        known: logits of images of the classes that the model was trained for, not themselves
            among its training images.
        novel: its logits of images of other classes.
        known_groups: the group (patient, cluster of near-duplicates) of each known image.
        novel_groups: that of each novel image.
        draws: of the cluster bootstrap.
        seed: of the draws.

    Returns:
        A dictionary ready for JSON: `known` and `novel` (numbers of images), then for each of
        `SCORES` its `auroc`, its `fpr95` and `intervals` of both, each [low, high], or None where
        a side has fewer than two groups.

    Raises:
        BrainsslError: A side has no images, the sides have different numbers of classes, a logit is
            not finite, groups are not one an image, or draws make no sense.
    """
    _check(known, novel, known_groups, novel_groups)
    if draws < 1:
        raise BrainsslError(f"{draws} draws make no bootstrap: ask for 2000")
    separations = {name: _Separation(score(known), score(novel)) for name, score in SCORES.items()}
    drawn = _drawn(list(separations.values()), known_groups, novel_groups, draws, seed)
    result: dict[str, Any] = {"known": len(known), "novel": len(novel)}
    for i, (name, separation) in enumerate(separations.items()):
        (point,) = separation.measure(np.ones((1, len(known))), np.ones((1, len(novel))))
        intervals: list[list[float] | None] = [None, None]
        if drawn is not None:
            intervals = [list(pair) for pair in percentile_intervals(drawn[:, i], 0.95)]
        result[name] = {
            **dict(zip(_MEASURES, point.tolist(), strict=True)),
            "intervals": dict(zip(_MEASURES, intervals, strict=True)),
        }
    return result


class _Separation:
    """AUROC and FPR95 of one score, ready to be had under many weightings of the images."""

    def __init__(self, known: Float64[np.ndarray, " n"], novel: Float64[np.ndarray, " m"]) -> None:
        self.known_order = np.argsort(-known)
        self.novel_order = np.argsort(novel)
        falling, rising = known[self.known_order], novel[self.novel_order]
        # How many novel images lie below each known one, and below it or level with it.
        self.below = np.searchsorted(rising, falling, side="left")
        self.level = np.searchsorted(rising, falling, side="right")

    def measure(
        self, known: Float64[np.ndarray, "draws n"], novel: Float64[np.ndarray, "draws m"]
    ) -> Float64[np.ndarray, "draws 2"]:
        """Return `_MEASURES` under each row of weights of the known and the novel images."""
        known, novel = known[:, self.known_order], novel[:, self.novel_order]
        reached = np.pad(np.cumsum(novel, axis=1), ((0, 0), (1, 0)))
        accepted = np.cumsum(known, axis=1)
        all_known, all_novel = accepted[:, -1], reached[:, -1]
        beaten = (reached[:, self.below] + reached[:, self.level]) / 2
        auroc = np.einsum("dn,dn->d", known, beaten) / (all_known * all_novel)
        last = (accepted >= ACCEPTED * all_known[:, None]).argmax(axis=1)
        rejected = reached[np.arange(len(last)), self.below[last]]
        return np.stack([auroc, 1 - rejected / all_novel], axis=1)


def _drawn(
    separations: list[_Separation],
    known_groups: Int64[np.ndarray, " n"],
    novel_groups: Int64[np.ndarray, " m"],
    draws: int,
    seed: int,
) -> Float64[np.ndarray, "draws scores 2"] | None:
    """Return what each score measures in each draw; None with fewer than two groups on a side."""
    names, of = zip(
        *(np.unique(g, return_inverse=True) for g in (known_groups, novel_groups)), strict=True
    )
    if min(map(len, names)) < 2:
        return None
    rows = max(1, _CHUNK // (len(known_groups) + len(novel_groups)))
    # With one seed, two sides of equally many groups would be drawn alike.
    # A novel image has no class; the known ones are drawn as it is.
    sides = [
        group_weights(np.zeros(len(g), np.int64), draws, seed + i, rows)
        for i, g in enumerate(names)
    ]
    found = []
    for (_, known), (_, novel) in zip(*sides, strict=True):
        weights = known[:, of[0]], novel[:, of[1]]
        found.append(np.stack([s.measure(*weights) for s in separations], axis=1))
    return np.concatenate(found)


def _check(
    known: Float[np.ndarray, "n classes"],
    novel: Float[np.ndarray, "m classes"],
    known_groups: Int64[np.ndarray, " n"],
    novel_groups: Int64[np.ndarray, " m"],
) -> None:
    for side, logits, groups in (("known", known, known_groups), ("novel", novel, novel_groups)):
        if logits.ndim != 2 or logits.size == 0 or len(groups) != len(logits):
            raise BrainsslError(
                f"{side} images came with logits of shape {logits.shape} and {len(groups)} groups: "
                "give one row and one group an image, and at least one image"
            )
        if not np.isfinite(logits).all():
            raise BrainsslError(f"logits of {side} images are not all finite: NaN tells nothing")
    if known.shape[1] != novel.shape[1]:
        raise BrainsslError(
            f"known images have {known.shape[1]} logits, novel ones {novel.shape[1]}: "
            "give what one model said of both"
        )
