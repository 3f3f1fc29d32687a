"""Which labels of the training set a fraction allows: nested, stratified, groups whole."""

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from brainssl.data.indices import Indices
from brainssl.data.shots import LabelFraction, Shots, label_fraction
from brainssl.data.split import Split
from brainssl.foundation.errors import BrainsslError

_CANDIDATES = 64
# A group that is larger than most must not be more than this share of all before it: beginnings of
# nearly any length can then be had.
_LARGEST = 0.1


@dataclass(frozen=True)
class LabelShare:
    """What a label fraction came to.

    Attributes:
        asked: share of the training images, or images of each class.
        share: of the training images whose labels are used.
        images: so many they are.
        groups: that they come from.
    """

    asked: LabelFraction
    share: float
    images: int
    groups: int

    def __str__(self) -> str:
        asked = (
            f"{self.asked.each} labels of each class"
            if isinstance(self.asked, Shots)
            else f"{100 * self.asked:g} % of the labels"
        )
        return (
            f"Asked {asked}, got {100 * self.share:.1f} % "
            f"({self.images:,} of {round(self.images / self.share):,} images, "
            f"{self.groups:,} groups)"
        )

    def facts(self) -> dict[str, float | int]:
        """Return what a row of results holds of it, beside the fraction that was asked for."""
        return {
            "label_share": self.share,
            "labelled": self.images,
            "labelled_groups": self.groups,
        }

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "LabelShare | None":
        """Read it from a row of results; None where the row is of an earlier version."""
        if "label_share" not in row:
            return None
        asked = label_fraction(row["label_fraction"])
        return cls(asked, row["label_share"], row["labelled"], row["labelled_groups"])


def label_subset(
    manifest: pd.DataFrame, split: Split, fraction: float | str, *, seed: int = 0
) -> Indices:
    """Choose the training images whose labels may be used: nested, stratified, groups whole.

    The training set is put in one order for a seed, and a fraction is the beginning of that order
    that comes nearest to it. Hence a smaller fraction lies within a larger one. An image of every
    class comes first, from the smallest group that holds it, so that none goes untaught. Then
    groups follow whole, so that every beginning has the classes in nearly their true proportions,
    large groups late. Only the groups that came first go on image by image, as far as their class
    has its share: the one large group of a class would outweigh all others at a small fraction.
    Under `image` and `paper` each image is its own group.

    Of shots ("8-shot") it is so many images of each class, or all that there are, from as many
    different groups as there are: one of each group before a second of any. The rest of a group is
    not used. Fewer shots lie within more.

    Args:
        manifest: of the store.
        split: whose training set is reduced.
        fraction: of training images, in (0, 1], or K-shot.
        seed: of the order.

    Returns:
        Rows of `manifest`, ascending.
    """
    asked = _checked(fraction)
    rows = split.indices(manifest, "train")
    if asked == 1:
        return rows
    train = manifest.iloc[rows]
    units = train["group"].to_numpy() if split.protocol == "grouped" else np.arange(len(train))
    group_of, classes = pd.factorize(units)[0], pd.factorize(train["label"], sort=True)[0]
    generator = np.random.default_rng([seed, 1])
    if isinstance(asked, Shots):
        return np.sort(rows[_of_each(asked.each, group_of, classes, generator)])
    order, ends = _order(group_of, classes, generator)
    # 0.07 of 100 is 7.000000000000001 in floating point: still seven images.
    nearest = ends[np.argmin(np.abs(ends - asked * len(train)).round(6))]
    return np.sort(rows[order[:nearest]])


def _checked(fraction: float | str) -> LabelFraction:
    try:
        asked = label_fraction(fraction)
    except (TypeError, ValueError):
        asked = np.nan
    if not isinstance(asked, Shots) and not 0 < asked <= 1:
        raise BrainsslError(
            f"a label fraction is above 0 and at most 1, or 8-shot and the like, not {fraction}"
        )
    return asked


def _of_each(
    most: int,
    group_of: Int64[np.ndarray, " n"],
    classes: Int64[np.ndarray, " n"],
    generator: np.random.Generator,
) -> Int64[np.ndarray, " kept"]:
    """Return at most so many images of each class, one of each group before a second of any."""
    shuffled = pd.DataFrame({"group": group_of, "label": classes}).iloc[
        generator.permutation(len(classes))
    ]
    turn = shuffled.groupby(["label", "group"]).cumcount()
    by_turn = shuffled.iloc[np.argsort(turn.to_numpy(), kind="stable")]
    return by_turn.groupby("label").head(most).index.to_numpy(np.int64)


def _order(
    group_of: Int64[np.ndarray, " n"],
    classes: Int64[np.ndarray, " n"],
    generator: np.random.Generator,
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " ends"]]:
    """Order images, and say how many of them a beginning may have."""
    counts = pd.crosstab(group_of, classes).to_numpy(np.float64)
    shuffled = generator.permutation(len(classes))
    leading = _of_every_class(counts, generator)
    # Images of the leading groups, each when its class may have so many, the first of a class now.
    early = shuffled[np.isin(group_of[shuffled], leading)]
    due = _place(classes[early], counts.sum(axis=0))
    due[np.unique(classes[early], return_index=True)[1]] = 0
    early, due = early[np.argsort(due, kind="stable")], np.sort(due)
    if len(counts) == len(classes):
        rest = shuffled[~np.isin(shuffled, early)]
        place = _place(classes[np.concatenate([early, rest])], counts.sum(axis=0))
        order = np.concatenate([early, rest[np.argsort(place[len(early) :], kind="stable")]])
        return order, np.arange(counts.shape[1], len(order) + 1)
    followers = _Followers(counts, leading, generator)
    members = np.split(np.argsort(group_of, kind="stable"), counts.sum(axis=1).cumsum().astype(int))
    parts: list[Int64[np.ndarray, " images"]] = []
    ends: list[int] = []
    taken = 0
    filled = np.zeros(counts.shape[1])
    while taken < len(early) or followers:
        reached = filled.sum() / len(classes)
        if taken < len(early) and (due[taken] <= reached or not followers):
            unit = early[taken : taken + 1]
            taken += 1
        else:
            unit = members[followers.next(filled)]
        parts.append(unit)
        filled += np.bincount(classes[unit], minlength=len(filled))
        if due[min(taken, len(due) - 1)] > 0 or taken == len(early):
            ends.append(int(filled.sum()))
    return np.concatenate(parts), np.array(ends)


def _of_every_class(
    counts: Float64[np.ndarray, "groups classes"], generator: np.random.Generator
) -> list[int]:
    """Return the smallest groups that hold a class, class by class, the rarest first."""
    by_size = np.lexsort([generator.random(len(counts)), counts.sum(axis=1)])
    found: list[int] = []
    for c in np.argsort((counts > 0).sum(axis=0), kind="stable"):
        if not counts[found, c].any():
            found.append(int(by_size[np.argmax(counts[by_size, c] > 0)]))
    return found


def _place(
    classes: Int64[np.ndarray, " n"], sizes: Float64[np.ndarray, " classes"]
) -> Float64[np.ndarray, " n"]:
    """Return where in its class each image stands, from 0 to 1, if they come in this order."""
    before = pd.Series(classes).groupby(classes).cumcount().to_numpy()
    return np.asarray((before + 0.5) / sizes[classes], np.float64)


class _Followers:
    """Groups that are still to come: those that keep the proportions of the classes come next."""

    def __init__(
        self,
        counts: Float64[np.ndarray, "groups classes"],
        leading: list[int],
        generator: np.random.Generator,
    ) -> None:
        others = np.setdiff1d(np.arange(len(counts)), leading)
        self.counts = counts[others]
        self.names = others
        self.share = counts.sum(axis=0) / counts.sum()
        self.rank = generator.permutation(len(others))
        self.size = self.counts.sum(axis=1)
        self.usual = float(np.median(counts.sum(axis=1)))
        self.large = sorted(range(len(others)), key=lambda i: (-self.size[i], self.rank[i]))
        self.ready: list[tuple[int, int]] = []  # rank and place, in the order of ranks

    def __bool__(self) -> bool:
        return bool(self.ready or self.large)

    def next(self, filled: Float64[np.ndarray, " classes"]) -> int:
        """Take out the group that best keeps the proportions beside what there is."""
        bound = max(self.usual, _LARGEST * filled.sum())
        while self.large and (self.size[self.large[-1]] <= bound or not self.ready):
            place = self.large.pop()
            insort(self.ready, (int(self.rank[place]), place))
        places = [place for _, place in self.ready[:_CANDIDATES]]
        total = filled + self.counts[places]
        aim = total.sum(axis=1, keepdims=True) * self.share
        best = int(np.argmin(((total - aim) ** 2 / aim).sum(axis=1)))
        return int(self.names[self.ready.pop(best)[1]])
