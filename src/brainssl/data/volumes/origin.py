"""A volume as the origin of several images: what a scan sees of it, and what a store takes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from brainssl.data.letterbox import letterbox
from brainssl.data.lettering import lines, shared
from brainssl.data.look import Seen, seen
from brainssl.data.normalisation import READER
from brainssl.data.origins import Shown
from brainssl.data.read import UnreadableImage
from brainssl.data.shown import SIDE, middle
from brainssl.data.volumes.choice import Choice
from brainssl.data.volumes.slices import Opened, Plane, open_volume
from brainssl.data.volumes.volume import VolumeRef


@dataclass(frozen=True)
class VolumeOrigin:
    """Chosen slices of a volume; see `brainssl.data.origins.Origin`.

    Attributes:
        volume: where it lies.
        numbers: of the slices, from 1.
        plane: in which they lie.
        mask: of the lesion, on the same grid.
        reader: version of the normalisation.
        field_of_view: side in mm of the square that is seen of each slice; None: all is.
    """

    volume: VolumeRef
    numbers: tuple[int, ...]
    plane: Plane = "native"
    mask: VolumeRef | None = None
    reader: int = READER
    large: bool = True
    field_of_view: float | None = None

    @property
    def count(self) -> int:
        """How many slices are taken."""
        return len(self.numbers)

    def images(self) -> Iterator[Shown]:
        """Read the volume once and yield its slices; see `Origin`."""
        opened = open_volume(
            self.volume,
            plane=self.plane,
            mask=self.mask,
            reader=self.reader,
            field_of_view=self.field_of_view,
        )
        for number in self.numbers:
            image = opened.slice(number)
            yield image.pixels, opened.marked(number), image.field


@dataclass(frozen=True)
class SeenVolume:
    """What a scan keeps of a volume.

    Attributes:
        origin: its chosen slices.
        slices: what was seen of each.
        lesions: share of the pixels of each that is lesion; None where that is not known.
        has_lesion: whether a mask shows one anywhere in the volume, chosen slice or not.
        held: slices of the volume.
        spacing: mm between rows and columns of a slice; None where unknown.
        middle: few of its slices, small, by which its header is checked.
    """

    origin: VolumeOrigin
    slices: tuple[Seen, ...]
    lesions: tuple[float | None, ...]
    has_lesion: bool
    held: int
    spacing: tuple[float, float] | None
    middle: UInt8[np.ndarray, "k side side"]


def look_at_volume(
    asked: tuple[VolumeRef, VolumeRef | None],
    *,
    choice: Choice,
    plane: Plane,
    reader: int,
    field_of_view: float | None = None,
) -> SeenVolume | UnreadableImage:
    """Read a volume, choose slices and describe them, or return why that cannot be.

    Args:
        asked: volume and mask.
        choice: of slices.
        plane: of slices.
        reader: version of the normalisation.
        field_of_view: side in mm of the square that is seen of each slice; None: all is.
    """
    ref, mask = asked
    try:
        opened = open_volume(
            ref, plane=plane, mask=mask, reader=reader, field_of_view=field_of_view
        )
    except UnreadableImage as error:
        return error
    numbers = opened.chosen(choice)
    if not numbers:
        return UnreadableImage(ref.name, "shows nothing, or no slice of it is a finite picture")
    text = shared([lines(opened.slice(number).pixels) for number in numbers])
    return SeenVolume(
        VolumeOrigin(ref, numbers, plane, mask, reader, field_of_view=field_of_view),
        tuple(
            seen(opened.slice(number), opened.digest(number), text=one)
            for number, one in zip(numbers, text, strict=True)
        ),
        tuple(_share(opened, number) for number in numbers),
        opened.lesion is not None and bool(opened.lesion.any()),
        len(opened.volume.samples),
        opened.volume.pixel_spacing,
        np.stack([letterbox(opened.slice(number).pixels, SIDE) for number in middle(numbers)]),
    )


def _share(opened: Opened, number: int) -> float | None:
    lesion = opened.marked(number)
    return None if lesion is None else float(lesion.mean())
