"""A volume out of DICOM files: one a slice, multi-frame, or a mosaic."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

from brainssl.data.grey import Notes
from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.dicom_files import silenced, whole_dataset
from brainssl.data.volumes.dicom_format import Format, format_of
from brainssl.data.volumes.dicom_frames import Frame, frames_of
from brainssl.data.volumes.dicom_geometry import Geometry, geometry_of
from brainssl.data.volumes.dicom_mosaic import Mosaic, frames_of_tiles, mosaic_of, tiles_of
from brainssl.data.volumes.dicom_pixels import values_of
from brainssl.data.volumes.volume import File, Volume, VolumeRef
from brainssl.foundation.extras import require

MAX_VOXELS = 2**28
"""A volume with more is refused before it is decoded: its samples would take more than 1 GiB."""


@dataclass
class _Part:
    """The slices that one file gives, in the order in which they are asked for."""

    form: Format
    frames: tuple[Frame, ...]
    samples: Float32[np.ndarray, "slices rows columns"]
    padding: Bool[np.ndarray, "slices rows columns"] | None
    mosaic: Mosaic | None


def read_dicom(
    ref: VolumeRef, *, max_voxels: int = MAX_VOXELS, max_slices: int | None = None
) -> Volume:
    """Read a volume of a DICOM archive.

    Samples are those after the modality transformation, of each frame its own, and never
    windowed. MONOCHROME1 is inverted within the range of the volume, after rescaling. Colours and
    palettes become grey, mosaics are cut into slices.

    Args:
        ref: where the volume lies. Without `frames` those of all files; slices are sorted along
            their normal in any case.
        max_voxels: a volume with more is refused before it is decoded.
        max_slices: likewise.

    Returns:
        The volume. Its affine map is None where positions, orientation or spacing are not known,
        or slices are not parallel or lie at one place.

    Raises:
        UnreadableImage: a file is no DICOM file with pixels, damaged, too large, compressed in a
            way that is not supported, or does not fit the others; nothing of a header is told.
        BrainsslError: the optional packages are not installed.
    """
    require("scans")
    notes = Notes()
    parts: list[_Part] = []
    with silenced():
        for place, path in enumerate(ref.files):
            name = ref.name if len(ref.files) == 1 else f"{ref.name}, file {place + 1}"
            left = max_voxels - sum(part.samples.size for part in parts)
            parts.append(_part(path, name, _wanted(ref, place), parts, left, notes))
    frames, samples, padding = _joined(ref, parts)
    if max_slices is not None and len(samples) > max_slices:
        raise UnreadableImage(ref.name, f"has more slices than the limit of {max_slices}")
    geometry = geometry_of(frames)
    if geometry.order != tuple(range(len(frames))):
        order = list(geometry.order)
        samples = samples[order]
        padding = None if padding is None else padding[order]
        notes.provenance.append("slices sorted by position along their normal")
    if parts[0].form.photometric == "MONOCHROME1":
        samples = _inverted(samples, padding)
        notes.provenance.append("inverted (MONOCHROME1) within the range of the volume")
    return _volume(parts, samples, padding, geometry, notes)


def _wanted(ref: VolumeRef, place: int) -> tuple[int, ...] | None:
    if ref.frames is None:
        return None
    return tuple(frame for file, frame in ref.frames if file == place)


def _part(
    path: File,
    name: str,
    wanted: tuple[int, ...] | None,
    before: list[_Part],
    left: int,
    notes: Notes,
) -> _Part:
    """Read one file's slices; whatever goes wrong becomes `UnreadableImage` without its words."""
    dataset = whole_dataset(path, name)
    form = format_of(dataset, name)
    try:
        facts, mosaic = frames_of(dataset), mosaic_of(dataset)
    except ValueError as error:
        raise UnreadableImage(name, f"cannot be taken apart ({error})") from None
    places = tuple(range(form.frames)) if wanted is None else wanted
    if len(places) * form.rows * form.columns > left:
        raise UnreadableImage(name, "is a volume of more voxels than the limit")
    if before and (form.rows, form.columns) != (before[0].form.rows, before[0].form.columns):
        raise UnreadableImage(name, "has slices of another size than those before it")
    if before and form.photometric != before[0].form.photometric:
        raise UnreadableImage(name, "has samples of another kind than those before it")
    try:
        values = values_of(dataset, form, facts, places, name, notes)
        samples, padding = _stacked(values)
    except (UnreadableImage, MemoryError):
        raise
    except AttributeError:  # so pydicom says that an element is not there
        raise UnreadableImage(name, "lacks an element that its pixels need") from None
    except Exception as error:  # noqa: BLE001 - decoders raise nearly anything on hostile bytes
        raise UnreadableImage(name, f"is corrupt or truncated ({type(error).__name__})") from None
    frames = tuple(facts[place] for place in places)
    if mosaic:
        frames, samples, padding = _cut(frames, samples, padding, mosaic, notes)
    return _Part(form, frames, samples, padding, mosaic)


def _stacked(
    values: Iterator[tuple[Any, Any]],
) -> tuple[Float32[np.ndarray, "n h w"], Bool[np.ndarray, "n h w"] | None]:
    pairs = list(values)
    samples = np.stack([sample for sample, _ in pairs])
    if all(padding is None for _, padding in pairs):
        return samples, None
    none = np.zeros(samples.shape[1:], dtype=bool)
    return samples, np.stack([none if padding is None else padding for _, padding in pairs])


def _cut(
    frames: tuple[Frame, ...],
    samples: Float32[np.ndarray, "n h w"],
    padding: Bool[np.ndarray, "n h w"] | None,
    mosaic: Mosaic,
    notes: Notes,
) -> tuple[
    tuple[Frame, ...], Float32[np.ndarray, "slices h w"], Bool[np.ndarray, "slices h w"] | None
]:
    told = f"mosaic cut into {mosaic.tiles} slices (by {mosaic.told_by})"
    if told not in notes.provenance:
        notes.provenance.append(told)
    tiles = np.concatenate([tiles_of(picture, mosaic) for picture in samples])
    if padding is not None:
        padding = np.concatenate([tiles_of(picture, mosaic) for picture in padding])
    return sum((frames_of_tiles(frame, mosaic) for frame in frames), ()), tiles, padding


def _joined(
    ref: VolumeRef, parts: list[_Part]
) -> tuple[list[Frame], Float32[np.ndarray, "n h w"], Bool[np.ndarray, "n h w"] | None]:
    """Put the slices of all files into the order of the reference."""
    frames = [frame for part in parts for frame in part.frames]
    samples = np.concatenate([part.samples for part in parts])
    padding = None
    if any(part.padding is not None for part in parts):
        padding = np.concatenate(
            [
                np.zeros(part.samples.shape, bool) if part.padding is None else part.padding
                for part in parts
            ]
        )
        padding = padding if padding.any() else None
    if ref.frames is not None and not any(part.mosaic for part in parts):
        # Each file gave its frames in the order of the reference: a stable sort by file undoes it.
        order = np.argsort(np.argsort([file for file, _ in ref.frames], kind="stable"))
        frames = [frames[at] for at in order]
        samples, padding = samples[order], None if padding is None else padding[order]
    return frames, samples, padding


def _inverted(
    samples: Float32[np.ndarray, "n h w"], padding: Bool[np.ndarray, "n h w"] | None
) -> Float32[np.ndarray, "n h w"]:
    measured = samples if padding is None or padding.all() else samples[~padding]
    return np.asarray(measured.max() + measured.min() - samples, dtype=np.float32)


def _volume(
    parts: list[_Part],
    samples: Float32[np.ndarray, "n h w"],
    padding: Bool[np.ndarray, "n h w"] | None,
    geometry: Geometry,
    notes: Notes,
) -> Volume:
    bits = max(part.form.stored for part in parts)
    flags = dict.fromkeys([*geometry.flags, *notes.flags])
    return Volume(
        np.ascontiguousarray(samples),
        geometry.affine,
        padding,
        bits,
        tuple(notes.provenance),
        tuple(flags),
        geometry.pixel,
    )
