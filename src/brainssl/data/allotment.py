"""Deal groups out to parts so that each part gets its share of every class."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64

_RESTARTS = 24
_EVERY = 20_000  # ways to divide, up to which all are looked at where a class would miss a part
# A class that misses a part altogether cannot be measured there: worse than any imbalance.
_ABSENT = 1e9
# What a group counts against an image: a class of one large group and three small ones is not
# divided well where one part has all its groups but one.
_GROUPS = 1.0


def allot(
    labels: "pd.Series[str]",
    units: "pd.Series[int]",
    goal: Float64[np.ndarray, " parts"],
    seed: int,
    *,
    sizes: float = 0.05,
) -> Int64[np.ndarray, " n"]:
    """Return the part of each image; the images of a unit are never parted.

    The squared miss of the images and of the units of each class, relative to their aims, is made
    small, by dealing out the units one by one in several orders. Where a class then misses a part
    that it need not miss, and the units are few, the best of all ways is taken.

    Args:
        labels: class of each image.
        units: group of each image.
        goal: shares of the parts, which sum to 1.
        seed: of the orders.
        sizes: what the sizes of the parts count against a class: little where every class has
            groups for every part.
    """
    counts = pd.crosstab(units.to_numpy(), labels.to_numpy())
    images = counts.to_numpy(np.float64)
    # Units of one image are alike: no order of them is better than another, and they count once.
    single = (images.sum(axis=1) == 1).all()
    held = np.zeros((len(images), 0)) if single else (images > 0).astype(np.float64)
    # The images in all are a column of their own, after the classes.
    table = np.column_stack([images, held, images.sum(axis=1)])
    weights = np.repeat([1.0, _GROUPS, sizes], [images.shape[1], held.shape[1], 1])
    aim = goal[:, None] * table.sum(axis=0)
    dealing = _Dealing(table, images.shape[1], aim, np.maximum(aim, 1.0) / weights)
    restarts = 1 if single else _RESTARTS
    tries = (
        dealing.dealt(np.random.default_rng([seed, restart]), disorder=restart / restarts)
        for restart in range(restarts)
    )
    best = min(tries, key=dealing.miss)
    parts = np.count_nonzero(goal)
    # A class of fewer groups than parts misses some however they are dealt.
    unavoidable = np.maximum(0, parts - (images > 0).sum(axis=0)).sum()
    if dealing.missing(best) > unavoidable and parts ** len(table) <= _EVERY:
        best = dealing.best_of_all(np.random.default_rng(seed))
    return best[counts.index.get_indexer(pd.Index(units))]


@dataclass(frozen=True)
class _Dealing:
    """What is dealt out, and how it is judged.

    Attributes:
        counts: images of each class in each group, whether it has any, and its images in all.
        classes: how many of the columns count images of a class: the first ones.
        aim: of the columns in each part; a part without a share has zeros.
        scale: by which squared misses are divided.
    """

    counts: Float64[np.ndarray, "groups columns"]
    classes: int
    aim: Float64[np.ndarray, "parts columns"]
    scale: Float64[np.ndarray, "parts columns"]

    def dealt(
        self, generator: np.random.Generator, *, disorder: float
    ) -> Int64[np.ndarray, " groups"]:
        """Give each group, largest first, to the part that needs its classes most.

        Args:
            generator: of the order.
            disorder: how far the order may stray from the largest first: standard deviation of
                the logarithm of a factor on each group's size.
        """
        part = np.zeros(len(self.counts), np.int64)
        filled = np.zeros_like(self.aim)
        has = self.counts[:, : self.classes] > 0
        to_come = has.sum(axis=0)
        size = self.counts[:, -1] * np.exp(disorder * generator.standard_normal(len(self.counts)))
        for group in np.lexsort([generator.random(len(self.counts)), -size]):
            cost = self._cost(filled + self.counts[group]) - self._cost(filled)
            # Where a class has no more groups to come than parts without it, none may be spent on
            # a part that has it already.
            lacks = self._lacks(filled)
            scarce = has[group] & (to_come <= lacks.sum(axis=0))
            cost += _ABSENT * (scarce & ~lacks).sum(axis=1)
            part[group] = np.argmin(np.where(self.aim[:, -1] > 0, cost, np.inf))
            filled[part[group]] += self.counts[group]
            to_come -= has[group]
        return part

    def miss(self, part: Int64[np.ndarray, " groups"]) -> float:
        """Return the squared miss of the counts relative to their aims."""
        filled = self._filled(part)
        return float(self._cost(filled).sum() + _ABSENT * self._lacks(filled).sum())

    def missing(self, part: Int64[np.ndarray, " groups"]) -> int:
        """Return how many times a class misses a part."""
        return int(self._lacks(self._filled(part)).sum())

    def best_of_all(self, generator: np.random.Generator) -> Int64[np.ndarray, " groups"]:
        """Return a way with the smallest miss, of all ways to give the groups to parts.

        Args:
            generator: chooses among equals.
        """
        shares = np.flatnonzero(self.aim[:, -1] > 0)
        ways = np.array(list(product(shares, repeat=len(self.counts))), np.int64)
        generator.shuffle(ways)
        filled = np.zeros((len(ways), *self.aim.shape))
        for group, counts in enumerate(self.counts):
            filled[np.arange(len(ways)), ways[:, group]] += counts
        missed = self._cost(filled).sum(axis=-1) + _ABSENT * self._lacks(filled).sum(axis=(-2, -1))
        return np.asarray(ways[np.argmin(missed)])

    def _filled(self, part: Int64[np.ndarray, " groups"]) -> Float64[np.ndarray, "parts columns"]:
        filled = np.zeros_like(self.aim)
        np.add.at(filled, part, self.counts)
        return filled

    def _cost(
        self, filled: Float64[np.ndarray, "*ways parts columns"]
    ) -> Float64[np.ndarray, "*ways parts"]:
        return np.asarray(((filled - self.aim) ** 2 / self.scale).sum(axis=-1))

    def _lacks(
        self, filled: Float64[np.ndarray, "*ways parts columns"]
    ) -> Bool[np.ndarray, "*ways parts classes"]:
        return np.asarray((filled == 0) & (self.aim > 0))[..., : self.classes]
