"""Split: which images train, which choose, which test; written once, refused if it leaks."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from jaxtyping import Float64

from brainssl.data.allotment import allot
from brainssl.data.extra import is_extra, resembled_groups
from brainssl.data.indices import Indices
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import read_json, write_json

Protocol = Literal["grouped", "image", "paper"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
PARTS = ("train", "val", "test")

_VERSION = 1
_MISS, _MISS_OF_SHARE = 0.02, 0.2  # a share is told that is further from what was asked for


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

    `grouped` moves whole groups (patients, else near-duplicates) so that images and groups of each
    class come as close to their share as they can. `image` and `paper` move single images; `paper`
    expects a manifest that was balanced by augmentation beforehand. A test (or validation) set that
    the source gives stays as it is; under `grouped`, images of its groups elsewhere are left out.

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
    labelled, classes = labelled_classes(manifest)
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
    dealt = allot(labelled[free]["label"], units[free], goal, seed)
    part[free] = [PARTS[place] for place in dealt]
    part[left_out] = "left_out"
    asked = {name: share for name, share in zip(PARTS, goal, strict=True) if name != "train"}
    missed = shares_missed(part[free], asked) if whole else []
    return drawn_split(manifest, part, classes, protocol, seed, missed)


def labelled_classes(manifest: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the labelled images and the names of their classes.

    Raises:
        BrainsslError: no labelled image, or fewer than two classes.
    """
    labelled = manifest[manifest["label"].notna()]
    classes = sorted(labelled["label"].unique())
    if len(classes) < 2:
        raise BrainsslError(
            f"the manifest has {len(labelled)} labelled images in {len(classes)} classes: "
            "a classifier needs at least two classes (see --labels)"
        )
    return labelled, classes


def drawn_split(
    manifest: pd.DataFrame,
    part: "pd.Series[str]",
    classes: list[str],
    protocol: Protocol,
    seed: int,
    warnings: Sequence[str] = (),
) -> Split:
    """Return the split that was drawn, with the unlabelled images that its pretraining may see.

    Args:
        manifest: of all images.
        part: "train", "val", "test" or "left_out" of each labelled one, by the manifest's index.
        classes: names of the classes.
        protocol: the rule by which it was drawn.
        seed: of the draw.
        warnings: further ones than are found here.

    Raises:
        BrainsslError: a group of a `grouped` split stands in two of its sets.
    """
    labelled = manifest.loc[part.index]
    unlabelled = _unlabelled(manifest, part, whole=protocol == "grouped")
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
        warnings=(
            *_warnings(labelled, part, classes),
            *warnings,
            *_of_extra(manifest, unlabelled),
        ),
    )
    check_groups(manifest, split)
    return split


def shares_missed(part: "pd.Series[str]", asked: Mapping[str, float]) -> list[str]:
    """Say which sets have another share of the images than was asked for, as groups are whole.

    Args:
        part: set of each image that was dealt out.
        asked: share of each set in them; nothing is said of one without a share.
    """
    told = []
    for name, share in asked.items():
        own = float((part == name).mean())
        if share and abs(own - share) > max(_MISS, _MISS_OF_SHARE * share):
            told.append(
                f"The {name} set has {100 * own:.0f} % of the images that were divided, where "
                f"{100 * share:.3g} % were asked for: groups are kept whole, and there are few."
            )
    return told


def check_groups(manifest: pd.DataFrame, split: Split) -> None:
    """Raise BrainsslError if a group of a `grouped` split stands in two of its sets.

    Unlabelled images count as training images: pretraining sees them. Extra ones count for the
    groups that they resemble, too.
    """
    if split.protocol != "grouped":
        return
    group, resembled = manifest["group"].to_numpy(), resembled_groups(manifest)
    seen = split.pretraining(manifest)
    sets = {
        "train": {*group[seen]}.union(*(resembled[row] for row in seen)),
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


def _unlabelled(manifest: pd.DataFrame, part: "pd.Series[str]", *, whole: bool) -> pd.DataFrame:
    unlabelled = manifest.loc[manifest["label"].isna(), ["image_id", "group", "given"]].copy()
    held = set(manifest.loc[part.index[part.isin(["val", "test"])], "group"])
    given = unlabelled["given"].isin(["val", "test"])
    # An extra image is never to resemble what is held, however images of the collection are dealt.
    resembled = resembled_groups(manifest.loc[unlabelled.index])
    alike = np.array([not held.isdisjoint(groups) for groups in resembled], bool)
    of_group = unlabelled["group"].isin(held if whole else set())
    return unlabelled.assign(usable=~of_group & ~given & ~alike)


def _of_extra(manifest: pd.DataFrame, unlabelled: pd.DataFrame) -> list[str]:
    """Say how many extra images are left out."""
    extra = is_extra(manifest.loc[unlabelled.index])
    if not extra.any():
        return []
    lost = int((~unlabelled["usable"].to_numpy(bool) & extra).sum())
    return [
        f"Of {int(extra.sum()):,} extra images {lost:,} are left out of pretraining: they, or "
        "others of their groups, resemble images that validate or test."
    ]


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
        warnings.append(f"{lost} labelled images are left out: their groups stand in the test set.")
    return warnings
