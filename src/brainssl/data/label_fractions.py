"""Which labels of the training set a fraction allows: nested, stratified, groups whole."""

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from brainssl.data.split import Indices, Split
from brainssl.foundation.errors import BrainsslError

_CANDIDATES = 32


def label_subset(
    manifest: pd.DataFrame, split: Split, fraction: float, *, seed: int = 0
) -> Indices:
    """Choose the training images whose labels may be used: nested, stratified, groups whole.

    The groups of the training set are put in one order for a seed, in which every beginning has
    the classes in nearly their true proportions; a fraction is a beginning of that order. Hence a
    smaller fraction lies within a larger one. The first group of each class in that order is always
    chosen, so that no class goes untaught, even where this takes a little more than the fraction.
    Under `image` and `paper` each image is its own group.

    Args:
        manifest: of the store.
        split: whose training set is reduced.
        fraction: of training images, in (0, 1].
        seed: of the order.

    Returns:
        Rows of `manifest`, ascending.
    """
    if not 0 < fraction <= 1:
        raise BrainsslError(f"a label fraction is above 0 and at most 1, not {fraction}")
    rows = split.indices(manifest, "train")
    if fraction == 1:
        return rows
    train = manifest.iloc[rows]
    units = train["group"].to_numpy() if split.protocol == "grouped" else np.arange(len(train))
    counts = pd.crosstab(units, train["label"].to_numpy())
    order = _balanced_order(counts.to_numpy(np.float64), np.random.default_rng([seed, 1]))
    ordered = counts.to_numpy()[order]
    # 0.07 of 100 is 7.000000000000001 in floating point: still seven images.
    enough = ordered.sum(axis=1).cumsum() >= fraction * len(train) - 1e-6
    first_of_class = (ordered > 0).argmax(axis=0)
    places = np.union1d(np.arange(int(np.argmax(enough)) + 1), first_of_class)
    chosen = counts.index[order[places]]
    return np.asarray(rows[np.isin(units, chosen)], np.int64)


def _balanced_order(
    counts: Float64[np.ndarray, "groups classes"], generator: np.random.Generator
) -> Int64[np.ndarray, " groups"]:
    """Order groups so that every beginning has nearly the class proportions of the whole."""
    if (counts.sum(axis=1) == 1).all():
        return _interleaved(counts.argmax(axis=1), generator)
    share = counts.sum(axis=0) / counts.sum()
    left = list(generator.permutation(len(counts)))
    filled = np.zeros(counts.shape[1])
    order = []
    while left:
        candidates = counts[left[:_CANDIDATES]]
        total = filled + candidates
        aim = total.sum(axis=1, keepdims=True) * share
        best = int(np.argmin(((total - aim) ** 2 / aim).sum(axis=1)))
        order.append(left.pop(best))
        filled += counts[order[-1]]
    return np.array(order, np.int64)


def _interleaved(
    classes: Int64[np.ndarray, " images"], generator: np.random.Generator
) -> Int64[np.ndarray, " images"]:
    """Order single images so that each class is spread evenly over the whole order."""
    shuffled = generator.permutation(len(classes))
    of_class = pd.Series(classes[shuffled]).groupby(classes[shuffled])
    place = (of_class.cumcount() + 0.5) / of_class.transform("size")
    return shuffled[np.argsort(place.to_numpy(), kind="stable")]
