"""Folds: splits whose test sets together are the whole collection, each image tested once."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainssl.data.allotment import allot
from brainssl.data.split import Protocol, Split, drawn_split, labelled_classes, shares_missed
from brainssl.foundation.errors import BrainsslError

_FEWEST = 2
_SIZES = 5.0


@dataclass(frozen=True, order=True)
class Fold:
    """Which of several splits.

    Attributes:
        number: from 1.
        of: how many there are.
        column: each of whose values is tested in turn; None where the collection is divided.
    """

    number: int
    of: int
    column: str | None = None

    @property
    def name(self) -> str:
        """What it adds to the names of files: `k1of5`, or `site-1of3` where sites are left out."""
        kind = "k" if self.column is None else re.sub(r"[^A-Za-z0-9]+", "_", self.column) + "-"
        return f"{kind}{self.number}of{self.of}"


def split_name(protocol: Protocol, fold: Fold | None) -> str:
    """Return the name of a split's file, without its ending."""
    return protocol if fold is None else f"{protocol}-{fold.name}"


def make_folds(
    manifest: pd.DataFrame,
    *,
    folds: int,
    protocol: Protocol = "grouped",
    seed: int = 0,
    val_fraction: float = 0.1,
) -> tuple[Split, ...]:
    """Draw K splits for cross-validation.

    Every labelled image is in the test set of one fold. The validation set of a fold is part of the
    next fold's test set, so that no image validates twice: what is judged on the validation
    sets of all folds together counts each image once, too.

    Args:
        manifest: one row an image with `image_id`, `label`, `group` and `given`.
        folds: K, at least 2; with 2 the validation set is taken from the half that trains.
        protocol: `grouped` moves whole groups, `image` and `paper` single images.
        seed: of the draw.
        val_fraction: share of the labelled images for validation in each fold; a fold's share, 1/K,
            at most, and half of it with 2 folds.

    Raises:
        BrainsslError: no labelled image, fewer than two classes, fewer than two folds, fewer groups
            than folds, or the source gives a test set, which is to stay one.
    """
    labelled, classes = labelled_classes(manifest)
    _refuse_given(labelled, "--folds")
    units = _units(labelled, protocol)
    if not _FEWEST <= folds <= units.nunique():
        raise BrainsslError(
            f"{folds} folds cannot be made of {units.nunique()} groups: choose 2 to 10 folds"
        )
    fold = allot(labelled["label"], units, np.full(folds, 1 / folds), seed)
    share = min(val_fraction * folds, 0.5 if folds == _FEWEST else 1.0)
    validating = np.zeros(len(labelled), bool)
    for own in range(folds):
        rows = fold == own
        goal = np.array([share, 1 - share])
        # A class may have a single group here: the size of the part decides where that goes.
        dealt = allot(labelled["label"][rows], units[rows], goal, seed, sizes=_SIZES)
        validating[rows] = dealt == 0
        if not validating[rows].any():
            raise BrainsslError(
                f"{folds} folds leave too few groups to validate with: choose fewer folds"
            )
    splits = []
    for own in range(folds):
        part = pd.Series("train", labelled.index, dtype=object)
        part[(fold == (own + 1) % folds) & validating] = "val"
        part[fold == own] = "test"
        asked = {"val": share / folds}
        missed = shares_missed(part, asked) if protocol == "grouped" else []
        splits.append(drawn_split(manifest, part, classes, protocol, seed, missed))
    return tuple(splits)


def leave_out(
    manifest: pd.DataFrame,
    column: str,
    *,
    protocol: Protocol = "grouped",
    seed: int = 0,
    val_fraction: float = 0.1,
) -> tuple[Split, ...]:
    """Draw a split for each value of a column, such as a site, whose images are its test set.

    Under `grouped`, training images of a group that has images in the test set are left out, and
    unlabelled images of the value always are. Images without a value are never tested.

    Args:
        manifest: as for `make_folds`, with `column`.
        column: its name.
        protocol: how the validation set is drawn.
        seed: of that.
        val_fraction: share of the other labelled images for validation.

    Returns:
        The split of each of `values_of` the column.

    Raises:
        BrainsslError: there is no such column, it has fewer than two values, or the source gives a
            test set, which is to stay one.
    """
    labelled, classes = labelled_classes(manifest)
    _refuse_given(labelled, f"--leave-out {column}")
    values = values_of(manifest, column)
    everywhere = manifest[column].where(manifest[column].notna(), "").astype(str)
    value = everywhere[labelled.index]
    if len(values) < _FEWEST:
        raise BrainsslError(
            f"the column {column} has {len(values)} values: to leave one out takes two or more"
        )
    units = _units(labelled, protocol)
    splits = []
    for own in values:
        tested = (value == own).to_numpy()
        part = pd.Series("test", labelled.index, dtype=object)
        held = units.isin(set(units[tested])).to_numpy()
        part[held & ~tested] = "left_out"
        goal = np.array([1 - val_fraction, val_fraction])
        dealt = allot(labelled["label"][~held], units[~held], goal, seed)
        part[~held] = np.array(["train", "val"], object)[dealt]
        missed = shares_missed(part[~held], {"val": val_fraction}) if protocol == "grouped" else []
        # What is left out is not seen without its label either.
        strange = manifest["label"].isna() & (everywhere == own)
        seen = manifest.assign(given=manifest["given"].where(~strange, "test"))
        splits.append(drawn_split(seen, part, classes, protocol, seed, missed))
    return tuple(splits)


def values_of(manifest: pd.DataFrame, column: str) -> list[str]:
    """Return what a column says of labelled images, sorted.

    Raises:
        BrainsslError: there is no such column.
    """
    if column not in manifest:
        raise BrainsslError(
            f"the column {column} is not known: give it in patients.csv or the label table"
        )
    own = manifest[column][manifest["label"].notna() & manifest[column].notna()]
    return sorted({str(value) for value in own} - {""})


def _units(labelled: pd.DataFrame, protocol: Protocol) -> "pd.Series[int]":
    if protocol == "grouped":
        return labelled["group"]
    return pd.Series(np.arange(len(labelled)), labelled.index)


def _refuse_given(labelled: pd.DataFrame, option: str) -> None:
    if labelled["given"].isin(["val", "test"]).any():
        raise BrainsslError(
            f"the source gives a test set, which stays one: leave out {option}, or put all images "
            "into class folders"
        )
