"""From a volume to the slices that are learnt from: one way for scan, store and prediction.

It is read, resampled if that is asked for, hung as radiologists see it, given square pixels, and
windowed as a whole; then slices are chosen, and where a field of view is asked for it is placed
about the head: the window is that of all that was measured. All that needs the pixels of a volume
passes through here, so that they are the same, bit for bit.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float64

from brainssl.data.field_of_view import (
    HEAD_CUT,
    MOST_PIXELS,
    NO_MILLIMETRES,
    Field,
    HeadBox,
    field_about,
    told_field,
)
from brainssl.data.normalisation import READER, SQUARES
from brainssl.data.read import NO_MEMORY, Slice, UnreadableImage
from brainssl.data.volumes.brain import LEAST, box_of, head_in, shares_of, thinning
from brainssl.data.volumes.choice import ALL, Choice
from brainssl.data.volumes.hanging import hung, plane_of
from brainssl.data.volumes.planes import MAX_VOXELS, resampled
from brainssl.data.volumes.read import read_volume
from brainssl.data.volumes.square import NOT_SQUARE, is_square, squared
from brainssl.data.volumes.volume import Volume, VolumeRef
from brainssl.data.volumes.window import Window, window_of
from brainssl.foundation.errors import BrainsslError

Plane = Literal["native", "axial", "coronal", "sagittal"]
"""The plane of the slices that are taken; native: as they were acquired."""

FIRST = 2
"""The version of the reader by which volumes were read first."""

OLD_READER = f"volumes are read by version {FIRST} of the reader or a later one"

PLANES: tuple[Plane, ...] = get_args(Plane)


@dataclass(frozen=True)
class Opened:
    """A volume that was read, hung and is ready to be cut into slices, numbered from 1.

    Attributes:
        volume: hung; `padding` also marks what is not finite.
        window: of the whole volume.
        lesion: where the lesion is, in the same frame; None where that is not known.
        field_of_view: side in mm of the square that is seen of each slice; None: all is.
    """

    volume: Volume
    window: Window
    lesion: Bool[np.ndarray, "slices rows columns"] | None = None
    field_of_view: float | None = None

    @cached_property
    def _head(self) -> Bool[np.ndarray, "slices thin_rows thin_columns"]:
        samples, padding = self.volume.samples, self.volume.padding
        step = thinning(*samples.shape[1:])
        thin = None if padding is None else padding[:, ::step, ::step]
        return head_in(self.window.applied(samples[:, ::step, ::step], thin), thin)

    @cached_property
    def head_box(self) -> HeadBox:
        """The rectangle that holds the head in all slices that show it."""
        return box_of(self._head, thinning(*self.volume.samples.shape[1:]))

    @cached_property
    def field(self) -> Field | None:
        """The square about the head that is seen of each slice; None: the whole slice."""
        if self.field_of_view is None:
            return None
        spacing = self.volume.pixel_spacing
        assert spacing is not None
        from_top = plane_of(self.volume) in ("coronal", "sagittal")
        return field_about(self.head_box, spacing, self.field_of_view, from_top=from_top)

    def shares(self) -> Float64[np.ndarray, " slices"]:
        """Return the share of brain of each slice, see `brainssl.data.volumes.brain`."""
        return shares_of(self._head)

    def shown(self) -> Bool[np.ndarray, " slices"]:
        """Return which slices show the brain."""
        return self.shares() >= LEAST

    def chosen(self, choice: Choice | Sequence[int]) -> tuple[int, ...]:
        """Return the numbers of the slices to take; numbers that are given are these."""
        if isinstance(choice, Choice):
            return choice.of(self.shown())
        count = len(self.volume.samples)
        if any(not 1 <= number <= count for number in choice):
            raise ValueError(f"a volume of {count} slices has none of the numbers {choice}")
        return tuple(choice)

    def slice(self, number: int) -> Slice:
        """Return one whole slice in [0, 1], with its field, provenance and flags."""
        at = number - 1
        padding = self.volume.padding
        pixels = self.window.applied(
            self.volume.samples[at], None if padding is None else padding[at]
        )
        flags = self.volume.flags
        if pixels.min() == pixels.max():
            flags = (*flags, "blank")
        told = (*self.volume.provenance, self.window.told, f"slice {number}")
        if self.field is not None and self.field_of_view is not None:
            told = (*told, told_field(self.field_of_view))
            flags = (*flags, HEAD_CUT) if self.head_box.is_cut(self.field) else flags
        return Slice(pixels, told, self.volume.source_bits, flags, self.field)

    def digest(self, number: int) -> str:
        """Return the SHA-256 of the samples of a slice, before they are windowed."""
        samples = np.ascontiguousarray(self.volume.samples[number - 1])
        digest = hashlib.sha256("x".join(map(str, samples.shape)).encode())
        digest.update(samples.data)
        return digest.hexdigest()

    def marked(self, number: int) -> Bool[np.ndarray, "rows columns"] | None:
        """Return where the lesion is in a slice; None where that is not known."""
        return None if self.lesion is None else self.lesion[number - 1]


def open_volume(
    ref: VolumeRef,
    *,
    plane: Plane = "native",
    spacing: float | None = None,
    mask: VolumeRef | None = None,
    reader: int = READER,
    field_of_view: float | None = None,
    max_voxels: int = MAX_VOXELS,
) -> Opened:
    """Read a volume and make it ready to be cut into slices.

    Args:
        ref: where it lies.
        plane: of the slices; a volume that was acquired in that plane is not resampled.
        spacing: mm between pixels and slices of a resampled volume; None: its smallest own.
        mask: of the lesion, on the same grid.
        reader: version of the reader; before 3 pixels that are not square stay so.
        field_of_view: side in mm of the square that is seen of each slice; None: all is.
        max_voxels: a volume that has more once it is resampled is refused.

    Raises:
        UnreadableImage: volume or mask cannot be read, the mask lies on another grid, or nothing
            says how a volume lies that is to be resampled, or how large the pixels are of one that
            is to have a field of view.
        BrainsslError: the package that reads it is not installed.
    """
    if reader < FIRST:
        raise UnreadableImage(ref.name, OLD_READER)
    read = _measured(read_volume(ref))
    with _named(ref.name):
        make = partial(_hung, plane=plane, spacing=spacing, reader=reader, max_voxels=max_voxels)
        opened = make(read)
        lesion = None
        if mask is not None:
            from brainssl.data.volumes.masks import mask_volume, read_mask

            marks = make(mask_volume(read_mask(mask, read), read))
            lesion = marks.samples >= np.float32(0.5)
        if field_of_view is not None:
            _refuse_without_field(opened, field_of_view)
    return Opened(opened, window_of(opened), lesion, field_of_view)


def volume_slices(
    ref: VolumeRef,
    choice: Choice | Sequence[int] = ALL,
    *,
    plane: Plane = "native",
    spacing: float | None = None,
    reader: int = READER,
) -> list[tuple[int, Slice]]:
    """Return slices of a volume, with their numbers from 1.

    Args:
        ref: where it lies.
        choice: which slices, of those that show the brain; or their numbers.
        plane: of the slices.
        spacing: of a resampled volume, see `open_volume`.
        reader: version of the reader, see `open_volume`.

    Raises:
        UnreadableImage: as `open_volume` does.
    """
    opened = open_volume(ref, plane=plane, spacing=spacing, reader=reader)
    return [(number, opened.slice(number)) for number in opened.chosen(choice)]


def _measured(volume: Volume) -> Volume:
    """Mark what is not finite as padding; without any, padding is None."""
    padding, finite = volume.padding, np.isfinite(volume.samples)
    if finite.all():
        return replace(volume, padding=padding if padding is not None and padding.any() else None)
    return replace(
        volume,
        samples=np.where(finite, volume.samples, np.float32(0)),
        padding=~finite if padding is None else padding | ~finite,
        provenance=(*volume.provenance, "values that are not finite set to padding"),
        flags=(*volume.flags, "not finite"),
    )


def _hung(
    volume: Volume, *, plane: Plane, spacing: float | None, reader: int, max_voxels: int
) -> Volume:
    """Turn a volume as its slices are hung; resample it where they must be, and its pixels."""
    if plane != "native" and plane_of(volume) != plane:
        volume = resampled(volume, plane, spacing, max_voxels=max_voxels)
    volume = hung(volume)
    if is_square(volume.pixel_spacing):
        return volume
    if reader >= SQUARES and volume.affine is not None:
        return squared(volume, max_voxels=max_voxels)
    return replace(volume, flags=(*volume.flags, NOT_SQUARE))


def _refuse_without_field(volume: Volume, mm: float) -> None:
    """Refuse a volume that can have no field of view."""
    spacing = volume.pixel_spacing
    if spacing is None:
        raise BrainsslError(f"{NO_MILLIMETRES} (slices are to be {told_field(mm)})")
    if mm > MOST_PIXELS * min(spacing):
        raise BrainsslError(
            f"has too many pixels in {mm:g} mm (of {min(spacing):.3g} mm each): its header may be "
            "wrong"
        )


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Say of which volume it is that it cannot be resampled."""
    try:
        yield
    except UnreadableImage:
        raise
    except MemoryError:
        raise UnreadableImage(name, NO_MEMORY) from None
    except BrainsslError as error:
        raise UnreadableImage(name, str(error)) from None
