"""Extra folders: images without labels that join a collection for pretraining alone.

The groups of the collection stay what they are without them, so that it is divided alike, and
studies with and without extra images test the same. An extra image is in a group of extra ones,
and knows the groups of the collection that it resembles: a split keeps it out of the pretraining
where images of one of those validate or test.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float16

from brainssl.data.duplicates import Pairs, near_pairs
from brainssl.data.groups import blank_rows, group_slices
from brainssl.foundation.errors import BrainsslError

EXTRA = "unlabelled_from"
"""Column of a manifest: name of the extra folder of an image, None of one of the collection."""

RESEMBLES = "resembles"
"""Column of a manifest: groups of the collection, joined by ";", that an extra image, or one of its
own group, would be in as an image of the collection, or has a near-duplicate in."""


@dataclass(frozen=True)
class ExtraFolder:
    """A folder of images, or archive of volumes, for pretraining alone; labels are not used.

    Attributes:
        name: of the folder.
        path: where it lies.
    """

    name: str
    path: Path

    @property
    def prefix(self) -> str:
        """What its paths begin with in a manifest: no path of a collection does."""
        return f"unlabelled:{self.name}/"


def read_extra(folders: Sequence[Path], source: Path) -> list[ExtraFolder]:
    """Return extra folders, by name.

    Args:
        folders: in any order.
        source: the collection that they join.

    Raises:
        BrainsslError: one is no folder, or a prepared store, two have the same name, or one shares
            images with another or with the source.
    """
    home = source.resolve()
    every = sorted((one.resolve() for one in folders), key=lambda one: one.name)
    for place, folder in enumerate(every):
        if (folder / "store.json").is_file():
            raise BrainsslError(f"{folder} is a prepared store: give the images behind it")
        if not folder.is_dir():
            raise BrainsslError(f"{folder}: is not a folder; name the folder that holds the images")
        _refuse_shared(folder, home)
        for other in every[:place]:
            _refuse_both(folder, other)
    return [ExtraFolder(folder.name, folder) for folder in every]


def _refuse_shared(folder: Path, home: Path) -> None:
    """Refuse an extra folder that shares images with the collection."""
    if folder == home:
        raise BrainsslError(
            f"--unlabelled {folder} is the source itself: leave it out; those of its images that "
            "have no label serve pretraining anyway"
        )
    if folder.is_relative_to(home):
        raise BrainsslError(
            f"--unlabelled {folder} lies inside of the source {home}, whose images it holds: leave "
            "it out, or move it to another place"
        )
    if home.is_relative_to(folder):
        raise BrainsslError(
            f"--unlabelled {folder} holds the source {home} itself: give a folder that holds the "
            "extra images alone"
        )


def _refuse_both(folder: Path, other: Path) -> None:
    """Refuse two extra folders that share images, or a name."""
    if folder == other:
        raise BrainsslError(f"--unlabelled {folder} is given twice: give it once")
    if folder.is_relative_to(other) or other.is_relative_to(folder):
        outer, inner = sorted((folder, other), key=lambda one: len(one.parts))
        raise BrainsslError(
            f"--unlabelled {inner} lies inside of {outer}, which is given, too: leave out {inner}"
        )
    if folder.name == other.name:
        raise BrainsslError(
            f"two folders of --unlabelled are named {folder.name}, {other} and {folder}: rename one"
        )


def joined(
    own: pd.DataFrame,
    extra: pd.DataFrame,
    fingerprints: Float16[np.ndarray, "n 2 side side"],
    together: Sequence[str | None] | None = None,
) -> pd.DataFrame:
    """Return one manifest of a collection and of extra images, which are grouped here.

    Args:
        own: manifest of the collection, grouped.
        extra: of the extra images, with `EXTRA`; their groups are not looked at.
        fingerprints: of both, in this order.
        together: of both, what `group_slices` keeps together; by default nothing.

    Returns:
        The rows of the collection, then those of the extra images, with `EXTRA` and `RESEMBLES`.
    """
    first, blank = len(own), np.concatenate([blank_rows(own), blank_rows(extra)])
    bound = [None] * len(blank) if together is None else list(together)
    # Among themselves they are grouped as if alone, by pairs that no image of the collection hides.
    among = near_pairs(fingerprints[first:])
    group = group_slices(
        extra["patient"].tolist(), extra["pixels"].tolist(), among, blank[first:], bound[first:]
    ).group
    alike = _resembled(own, extra, fingerprints, blank, bound)
    of_group: dict[int, set[int]] = defaultdict(set)
    for number, groups in zip(group.tolist(), alike, strict=True):
        of_group[number] |= groups
    told = [";".join(map(str, sorted(of_group[number]))) for number in group.tolist()]
    names = extra[EXTRA].tolist()
    extra = extra.drop(columns=EXTRA).assign(group=group + int(own["group"].max()) + 1)
    nothing: list[str | None] = [None] * first
    return pd.concat([own, extra], ignore_index=True).assign(
        **{
            EXTRA: pd.Series(nothing + names, dtype=object),
            RESEMBLES: pd.Series(nothing + told, dtype=object),
        }
    )


def _resembled(
    own: pd.DataFrame,
    extra: pd.DataFrame,
    fingerprints: Float16[np.ndarray, "n 2 side side"],
    blank: Bool[np.ndarray, " n"],
    bound: Sequence[str | None],
) -> list[set[int]]:
    """Return, for each extra image, the groups of the collection that it resembles.

    Those that it would share a group with, were it an image of the collection, and those of its
    near-duplicates, which need not share one: of two patients, or where both groups are large.
    """
    first, pairs = len(own), near_pairs(fingerprints)
    patients, pixels = (own[name].tolist() + extra[name].tolist() for name in ("patient", "pixels"))
    together = group_slices(patients, pixels, pairs, blank, bound).group.tolist()
    groups: dict[int, set[int]] = defaultdict(set)
    for number, group in zip(together[:first], own["group"].tolist(), strict=True):
        groups[number].add(group)
    near = _near(own["group"].tolist(), pairs.near(), fingerprints, blank)
    for number, found in zip(together[first:], near, strict=True):
        groups[number] |= found
    return [groups[number] for number in together[first:]]


def _near(
    group: Sequence[int],
    near: Pairs,
    fingerprints: Float16[np.ndarray, "n 2 side side"],
    blank: Bool[np.ndarray, " n"],
) -> list[set[int]]:
    """Return, for each image after those of known group, the groups of its near-duplicates."""
    numbers: dict[bytes, int] = {}
    # Of equal fingerprints a pair names one: what holds for it holds for all.
    picture = [
        -1 if nothing else numbers.setdefault(sha256(row.tobytes()).digest(), len(numbers))
        for row, nothing in zip(fingerprints, blank, strict=True)
    ]
    groups: dict[int, set[int]] = defaultdict(set)
    for number, own in zip(picture, group, strict=False):
        groups[number].add(own)
    neighbours: dict[int, set[int]] = defaultdict(set)
    for left, right in zip(near.left.tolist(), near.right.tolist(), strict=True):
        neighbours[picture[left]].add(picture[right])
        neighbours[picture[right]].add(picture[left])
    return [
        set().union(*(groups[one] for one in {number, *neighbours[number]} - {-1} if one in groups))
        for number in picture[len(group) :]
    ]


def is_extra(manifest: pd.DataFrame) -> Bool[np.ndarray, " n"]:
    """Return which images of a manifest joined for pretraining alone."""
    if EXTRA not in manifest:
        return np.zeros(len(manifest), bool)
    return manifest[EXTRA].notna().to_numpy()


def resembled_groups(manifest: pd.DataFrame) -> list[frozenset[int]]:
    """Return the groups of the collection that each image resembles; none of those of its own."""
    if RESEMBLES not in manifest:
        return [frozenset()] * len(manifest)
    told = manifest[RESEMBLES].fillna("")
    return [frozenset(map(int, filter(None, text.split(";")))) for text in told]


def said_of_extra(manifest: pd.DataFrame, folders: Collection[str]) -> list[str]:
    """Return a sentence about the images of each extra folder."""
    sentences = []
    alike = np.array([bool(groups) for groups in resembled_groups(manifest)])
    for name in folders:
        own = (manifest[EXTRA] == name).to_numpy()
        sentences.append(
            f"{int(own.sum()):,} images of {name}/ joined for pretraining alone; "
            f"{int((own & alike).sum()):,} of them, or others of their groups, resemble images of "
            "the collection, and are left out where those validate or test."
        )
    return sentences
