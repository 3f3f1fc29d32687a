"""Split: which images train, which choose, which test; written once, refused if it leaks."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import read_json, write_json

Protocol = Literal["grouped", "image", "paper"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
PARTS = ("train", "val", "test")
Indices = Int64[np.ndarray, " n"]

_VERSION = 1
_RESTARTS = 20
# A class that misses a part altogether cannot be measured there: worse than any imbalance.
_ABSENT = 1e9


@dataclass(frozen=True)
class Split:
    """Disjoint sets of image ids.

    Attributes:
        protocol: how the sets were drawn.
        seed: of the draw.
        train, val, test: ids of labelled images.
        unlabelled: ids of images without label, for pretraining only.
        left_out: ids that no set may hold, because their group stands in a later set.
        warnings: sentences for the reader of a result.
    """

    protocol: Protocol
    seed: int
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    unlabelled: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over protocol, seed and the sets: two splits are the same iff this is."""
        lines = [self.protocol, str(self.seed)]
        for part in (*PARTS, "unlabelled", "left_out"):
            lines += [f"[{part}]", *sorted(self.ids(part))]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def ids(self, part: str) -> tuple[str, ...]:
        """Return the image ids of `train`, `val`, `test`, `unlabelled` or `left_out`."""
        ids: tuple[str, ...] = getattr(self, part)
        return ids

    def indices(self, manifest: pd.DataFrame, part: str) -> Indices:
        """Return the rows of `part` in `manifest`, ascending.

        Raises:
            BrainsslError: the manifest lacks one of the images: it is another store's.
        """
        rows = pd.Index(manifest["image_id"]).get_indexer(list(self.ids(part)))
        if (rows < 0).any():
            missing = self.ids(part)[int(np.argmin(rows))]
            raise BrainsslError(f"the split names image {missing}, which is not in this store")
        return np.sort(rows).astype(np.int64)

    def pretraining(self, manifest: pd.DataFrame) -> Indices:
        """Return the rows that pretraining may see: the training set and the unlabelled images."""
        rows = [self.indices(manifest, part) for part in ("train", "unlabelled")]
        return np.sort(np.concatenate(rows))

    def save(self, path: Path) -> None:
        """Write the split as JSON with its digest; an existing other split is never replaced."""
        if path.exists():
            if Split.load(path).digest != self.digest:
                raise BrainsslError(f"{path} holds another split: keep it, or delete it first")
            return
        content = {part: list(self.ids(part)) for part in (*PARTS, "unlabelled", "left_out")}
        head = {"format": "brainssl-split", "version": _VERSION, "protocol": self.protocol}
        head |= {"seed": self.seed, "digest": self.digest, "warnings": list(self.warnings)}
        write_json(path, head | content)

    @classmethod
    def load(cls, path: Path) -> "Split":
        """Read a split and verify its digest.

        Raises:
            BrainsslError: not a split, from a newer version, or altered by hand.
        """
        content = read_json(path, "a split")
        if not isinstance(content, dict) or content.get("format") != "brainssl-split":
            raise BrainsslError(f"{path} is not a split: delete it and draw a split anew")
        try:
            if content["version"] > _VERSION:
                raise BrainsslError(
                    f"{path} is a split of version {content['version']}; this brainssl reads up "
                    f"to {_VERSION}: upgrade brainssl"
                )
            sets = {part: tuple(content[part]) for part in (*PARTS, "unlabelled", "left_out")}
            warnings = tuple(content["warnings"])
            split = cls(content["protocol"], content["seed"], **sets, warnings=warnings)
            intact = split.digest == content["digest"]
        except (KeyError, TypeError):
            intact = False
        if not intact:
            raise BrainsslError(f"{path} was altered: its digest does not match, make it anew")
        return split


def make_split(
    manifest: pd.DataFrame,
    *,
    protocol: Protocol = "grouped",
    seed: int = 0,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
) -> Split:
    """Draw a stratified split.

    `grouped` moves whole groups (patients, else near-duplicates) so that each class comes as
    close to its share as groups allow. `image` and `paper` move single images; `paper` expects a
    manifest that was balanced by augmentation beforehand. A test (or validation) set that the
    source gives stays as it is; under `grouped`, images of its groups elsewhere are left out.

    Args:
        manifest: one row an image with `image_id`, `label`, `group` and `given`.
        protocol: the rule.
        seed: of the draw.
        val_fraction: share of labelled images for validation.
        test_fraction: share for the test, unless the source gives a test set.

    Raises:
        BrainsslError: no labelled image, fewer than two classes, or fractions that leave nothing
            to train on.
    """
    if min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction >= 1:
        raise BrainsslError(
            f"val_fraction {val_fraction} and test_fraction {test_fraction} leave no training set: "
            "their sum must be below 1"
        )
    labelled = manifest[manifest["label"].notna()]
    classes = sorted(labelled["label"].unique())
    if len(classes) < 2:
        raise BrainsslError(
            f"the manifest has {len(labelled)} labelled images in {len(classes)} classes: "
            "a classifier needs at least two classes (see --labels)"
        )
    whole = protocol == "grouped"
    part = labelled["given"].where(labelled["given"].isin(["val", "test"])).astype(object)
    held = _groups_of(manifest, part, "test") if whole else set[int]()
    left_out = part.isna() & labelled["group"].isin(held)
    if whole:
        # The test set goes before the validation set where one group stands in both.
        left_out |= part.eq("val") & labelled["group"].isin(held)
        left_out |= part.isna() & labelled["group"].isin(_groups_of(manifest, part, "val"))
    free = part.isna() & ~left_out
    goal = _goal(part, val_fraction, test_fraction)
    units = labelled["group"] if whole else pd.Series(np.arange(len(labelled)), labelled.index)
    part[free] = _assign(labelled[free]["label"], units[free], classes, goal, seed)
    part[left_out] = "left_out"
    unlabelled = _unlabelled(manifest, part, whole=whole)
    ids = labelled["image_id"]
    split = Split(
        protocol,
        seed,
        train=tuple(ids[part == "train"]),
        val=tuple(ids[part == "val"]),
        test=tuple(ids[part == "test"]),
        unlabelled=tuple(unlabelled["image_id"][unlabelled["usable"]]),
        left_out=(
            *ids[part == "left_out"],
            *unlabelled["image_id"][~unlabelled["usable"]],
        ),
        warnings=tuple(_warnings(labelled, part, classes)),
    )
    check_groups(manifest, split)
    return split


def check_groups(manifest: pd.DataFrame, split: Split) -> None:
    """Raise BrainsslError if a group of a `grouped` split stands in two of its sets.

    Unlabelled images count as training images: pretraining sees them.
    """
    if split.protocol != "grouped":
        return
    group = manifest["group"].to_numpy()
    sets = {
        "train": {*group[split.pretraining(manifest)]},
        "val": {*group[split.indices(manifest, "val")]},
        "test": {*group[split.indices(manifest, "test")]},
    }
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        if crossing := sets[one] & sets[other]:
            raise BrainsslError(
                f"{len(crossing)} groups stand in {one} and in {other} (first: {min(crossing)}): "
                "a grouped split must keep every group on one side; make the split anew"
            )


def _groups_of(manifest: pd.DataFrame, part: "pd.Series[str]", name: str) -> set[int]:
    given = part.index[part == name]
    return set(manifest.loc[given, "group"])


def _goal(
    part: "pd.Series[str]", val_fraction: float, test_fraction: float
) -> Float64[np.ndarray, " 3"]:
    """Shares of the images that are still free; a part that the source gives takes no more."""
    val = 0.0 if (part == "val").any() else val_fraction
    test = 0.0 if (part == "test").any() else test_fraction
    return np.array([1 - val - test, val, test])


def _assign(
    labels: "pd.Series[str]",
    units: "pd.Series[int]",
    classes: list[str],
    goal: Float64[np.ndarray, " 3"],
    seed: int,
) -> list[str]:
    counts = pd.crosstab(units.to_numpy(), labels.to_numpy()).reindex(columns=classes, fill_value=0)
    # The images in all are a column of their own, after the classes.
    table = np.column_stack([counts, counts.sum(axis=1)]).astype(np.float64)
    # Units of one image are alike: no order of them is better than another.
    restarts = _RESTARTS if (table[:, -1] > 1).any() else 1
    tries = (
        _greedy(table, goal, np.random.default_rng([seed, restart]), disorder=restart / restarts)
        for restart in range(restarts)
    )
    _, best = min(tries, key=lambda attempt: attempt[0])
    of_unit = dict(zip(counts.index, best, strict=True))
    return [PARTS[of_unit[unit]] for unit in units]


def _greedy(
    counts: Float64[np.ndarray, "groups columns"],
    goal: Float64[np.ndarray, " 3"],
    generator: np.random.Generator,
    *,
    disorder: float,
) -> tuple[float, Int64[np.ndarray, " groups"]]:
    """Give each group, largest first, to the part that needs its classes most.

    Args:
        counts: images of each class in each group, and of all classes in the last column.
        goal: shares of train, val and test.
        generator: of the order.
        disorder: how far the order may stray from the largest first: standard deviation of the
            logarithm of a factor on each group's size.

    Returns:
        The squared miss of the class counts relative to their aims, and the part of each group.
    """
    aim = goal[:, None] * counts.sum(axis=0)
    scale = np.maximum(aim, 1.0)
    scale[:, -1] *= 100  # the size of a part decides only what the classes leave open
    part = np.zeros(len(counts), np.int64)
    filled = np.zeros_like(aim)
    has = counts > 0
    has[:, -1] = False
    to_come = has.sum(axis=0)
    size = counts[:, -1] * np.exp(disorder * generator.standard_normal(len(counts)))
    for group in np.lexsort([generator.random(len(counts)), -size]):
        before = (filled - aim) ** 2 / scale
        after = (filled + counts[group] - aim) ** 2 / scale
        cost = (after - before).sum(axis=1)
        # Where a class has no more groups to come than parts without it, none may be spent on a
        # part that has it already.
        lacks = (filled == 0) & (aim > 0)
        scarce = has[group] & (to_come <= lacks.sum(axis=0))
        cost += _ABSENT * (scarce & ~lacks).sum(axis=1)
        part[group] = np.argmin(np.where(goal > 0, cost, np.inf))
        filled[part[group]] += counts[group]
        to_come -= has[group]
    absent = ((filled == 0) & (aim > 0))[:, :-1].sum()
    return float(((filled - aim) ** 2 / scale).sum() + _ABSENT * absent), part


def _unlabelled(manifest: pd.DataFrame, part: "pd.Series[str]", *, whole: bool) -> pd.DataFrame:
    unlabelled = manifest.loc[manifest["label"].isna(), ["image_id", "group", "given"]].copy()
    held = set(manifest.loc[part.index[part.isin(["val", "test"])], "group"]) if whole else set()
    given = unlabelled["given"].isin(["val", "test"])
    return unlabelled.assign(usable=~unlabelled["group"].isin(held) & ~given)


def _warnings(labelled: pd.DataFrame, part: "pd.Series[str]", classes: list[str]) -> list[str]:
    table = pd.crosstab(labelled["label"], part).reindex(classes).fillna(0)
    warnings = []
    for name in PARTS:
        present = table[name] if name in table else pd.Series(0, index=classes)
        if missing := [label for label in classes if present[label] == 0]:
            warnings.append(
                f"The {name} set has no image of {', '.join(missing)}: too few groups to split."
            )
    if lost := int((part == "left_out").sum()):
        warnings.append(
            f"{lost} labelled images are left out: their groups stand in a given test set."
        )
    return warnings
