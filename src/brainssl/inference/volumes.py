"""Volumes that are classified: which of their slices, as pictures, and what is told of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt

from brainssl.data.letterbox import letterbox
from brainssl.data.pool import in_order
from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.choice import ALL, Choice
from brainssl.data.volumes.planes import MAX_VOXELS
from brainssl.data.volumes.slices import Opened, Plane, open_volume
from brainssl.data.volumes.volume import VolumeRef
from brainssl.inference.given import Given


def told_plane(plane: str) -> str:
    """Return words for a plane of slices."""
    return "as they were acquired" if plane == "native" else f"resampled to {plane}"


def plane_notes(own: str, learnt: str) -> list[str]:
    """Say where slices of volumes are taken otherwise than the classifier learnt them."""
    if own == learnt:
        return []
    return [
        f"Slices of volumes are {told_plane(own)}, and those that the classifier learnt are "
        f"{told_plane(learnt)}: its answers may be worse; --plane {learnt} is its own."
    ]


@dataclass(frozen=True)
class Cutting:
    """How volumes are cut into the slices that are judged.

    Attributes:
        slices: which of those that show the brain.
        plane: in which they are taken; None: in that of the classifier's training.
        key: file of the key by which patients of DICOM files get their pseudonyms; None: one that
            is forgotten.
    """

    slices: Choice = ALL
    plane: Plane | None = None
    key: Path | None = None

    def for_plane(self, learnt: Plane) -> tuple["Cutting", list[str]]:
        """Settle the plane by that of the classifier's training, and say what a reader must know.

        Returns:
            With a plane; and a sentence where that is another than was learnt, or resampled.
        """
        if self.plane is None:
            told = f"Slices of volumes are {told_plane(learnt)}, as in the classifier's training."
            return replace(self, plane=learnt), [] if learnt == "native" else [told]
        return self, plane_notes(self.plane, learnt)


@dataclass(frozen=True, eq=False)
class Cut:
    """The slices of a volume that are judged.

    Attributes:
        pixels: letterboxed, at the depth that was asked for.
        numbers: of the slices, from 1.
        flags: what the reader noticed of each.
        held: slices of the volume.
        without: numbers of those that show no brain.
    """

    pixels: UInt[np.ndarray, "n size size"]
    numbers: tuple[int, ...]
    flags: tuple[tuple[str, ...], ...]
    held: int
    without: tuple[int, ...]


def cuts(
    series: Sequence[Given],
    cutting: Cutting,
    *,
    reader: int,
    size: int,
    bits: int = 8,
    field_of_view: float | None = None,
) -> Iterator[Cut | str]:
    """Read volumes, in order, on all cores; yield the slices of each, or why there are none.

    Args:
        series: to read.
        cutting: which slices; without a plane, as they were acquired.
        reader: version of the normalisation.
        size: side of the slices.
        bits: of a pixel.
        field_of_view: side in mm of what is seen of each slice; None: all is.
    """
    read = partial(
        cut,
        slices=cutting.slices,
        plane=cutting.plane or "native",
        reader=reader,
        size=size,
        bits=bits,
        field_of_view=field_of_view,
    )
    return in_order(read, [one.volume for one in series], large=True)


def cut(
    ref: VolumeRef,
    *,
    slices: Choice,
    plane: Plane,
    reader: int,
    size: int,
    bits: int = 8,
    field_of_view: float | None = None,
    max_voxels: int = MAX_VOXELS,
) -> Cut | str:
    """Read a volume and cut it into the slices that are judged; or return why there are none.

    Args:
        ref: where it lies.
        slices: which of those that show the brain.
        plane: in which they are taken.
        reader: version of the normalisation.
        size: side of the slices.
        bits: of a pixel.
        field_of_view: side in mm of what is seen of each slice; None: all is.
        max_voxels: a volume that has more once it is resampled is refused.
    """
    try:
        opened = open_volume(
            ref, plane=plane, reader=reader, field_of_view=field_of_view, max_voxels=max_voxels
        )
    except UnreadableImage as error:
        return error.reason
    return cut_opened(opened, slices=slices, size=size, bits=bits)


def cut_opened(opened: Opened, *, slices: Choice, size: int, bits: int = 8) -> Cut | str:
    """Cut a volume that is opened; see `cut`."""
    shown = opened.shown()
    numbers = slices.of(shown)
    if not numbers:
        return "shows no brain, or no slice of it is a finite picture"
    taken = [opened.slice(number) for number in numbers]
    return Cut(
        np.stack([letterbox(one.pixels, size, bits, one.field) for one in taken]),
        numbers,
        tuple(tuple(one.flags) for one in taken),
        len(shown),
        tuple((np.flatnonzero(~shown) + 1).tolist()),
    )


def described(
    one: Given, held: Cut | None, classes: Sequence[tuple[str, str, str]], label: str | None
) -> dict[str, Any]:
    """Return what is told of a series beside its class.

    Args:
        one: the series.
        held: its slices; None where it could not be read.
        classes: name, family and sequence of each class.
        label: of the series.

    Returns:
        `source`; `held`, how many slices it has; `without_brain`, the numbers of those that were
        not judged for that; and `note`, where header or name say otherwise than the class.
    """
    told: dict[str, Any] = {"source": one.source}
    if held is not None:
        told |= {"held": held.held, "without_brain": list(held.without)}
    note = sequence_note(one.sequence, classes, label)
    return told | ({"note": note} if note else {})


def sequence_note(
    said: str | None, classes: Sequence[tuple[str, str, str]], label: str | None
) -> str | None:
    """Say where the sequence that header or name say is not that of the class; see `described`."""
    known = sorted({sequence for _, _, sequence in classes if sequence})
    own = next((sequence for name, _, sequence in classes if name == label), "")
    if said is None or not own or said == own:
        return None
    told = f"Header or name say {said}, the answer is a class of {own}"
    if said not in known:
        return f"{told}: the classifier has learnt no {said}."
    return f"{told}: one of them is wrong."
