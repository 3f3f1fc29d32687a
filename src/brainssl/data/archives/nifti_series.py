"""From NIfTI files to series: headers of many files, and what they say of each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from brainssl.data.archives.archive import Series, Told
from brainssl.data.archives.walk import bare
from brainssl.data.pool import in_order
from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.hanging import plane_of_affine
from brainssl.data.volumes.nifti import NiftiHeader, nifti_header
from brainssl.data.volumes.volume import VolumeRef

Progress = Callable[[int, int], None]
Read = tuple[dict[str, NiftiHeader], list[tuple[str, str]]]

_LOW_B, _HIGH_B = 300.0, 1_200.0  # s/mm²: between them a diffusion-weighted image of a clinic
_APART = 0.1  # of a voxel by which two grids may differ


def read_headers(
    root: Path,
    paths: Sequence[str],
    *,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Read:
    """Read the headers of files, relative to a folder.

    Returns:
        Header of each that has one; path and reason of the others.
    """
    found: dict[str, NiftiHeader] = {}
    unreadable = []
    results = in_order(partial(_header, root), paths, workers=workers)
    for number, (path, result) in enumerate(zip(paths, results, strict=True), start=1):
        if isinstance(result, NiftiHeader):
            found[path] = result
        else:
            unreadable.append((path, result.reason))
        if progress:
            progress(number, len(paths))
    return found, unreadable


def _header(root: Path, path: str) -> NiftiHeader | UnreadableImage:
    try:
        return nifti_header(root / path, path)
    except UnreadableImage as error:
        return error


def series_of(
    root: Path,
    path: str,
    header: NiftiHeader,
    *,
    name: str | None = None,
    patient: str | None = None,
    study: str | None = None,
    sequence: Told = Told(),  # noqa: B008 - frozen
    columns: Mapping[str, str] | None = None,
    label: str | None = None,
    mask: str | None = None,
    exclusion: str | None = None,
    b_values: Sequence[float] = (),
) -> Series:
    """Return the series of a file.

    Of a file of several volumes that are told apart by `b_values` the one stands that is weighted
    by diffusion as in a clinic; of other such files none does.

    Args:
        root: folder that the paths are relative to.
        path: of the file.
        header: of it.
        name: of the series; by default the path without suffix.
        patient: and `study`: pseudonyms.
        study: see `patient`.
        sequence: what is known of it.
        columns: further facts.
        label: that the source gives.
        mask: path of the lesion's mask, on the same grid.
        exclusion: why it is none to learn from, where that is known already.
        b_values: of each volume, s/mm².
    """
    name = name or bare(path)
    volume, flags = None, header.flags
    if header.volumes > 1:
        volume = _weighted(b_values, header.volumes)
        if volume is None:
            exclusion = exclusion or "several volumes"
        else:
            told = f"volume {volume + 1} of {header.volumes}, b {b_values[volume]:.0f}"
            flags = (*flags, told)
    return Series(
        name=name,
        volume=VolumeRef("nifti", (root / path,), path, volume=volume),
        patient=patient,
        study=study,
        series=name,
        shape=header.shape,
        pixel=header.pixel,
        sequence=sequence,
        plane=plane_told(header),
        columns=dict(columns or {}),
        label=label,
        mask=VolumeRef("nifti", (root / mask,), mask) if mask else None,
        exclusion=exclusion,
        flags=flags,
        placed=header.affine is not None,
    )


def _weighted(b_values: Sequence[float], volumes: int) -> int | None:
    if len(b_values) != volumes:
        return None
    held = [(-b, place) for place, b in enumerate(b_values) if _LOW_B <= b <= _HIGH_B]
    if held:
        return min(held)[1]
    higher = [(b, place) for place, b in enumerate(b_values) if b > _HIGH_B]
    return min(higher)[1] if higher else None


def read_b_values(file: Path) -> list[float]:
    """Return the numbers of a `.bval` file; none where it holds something else."""
    from brainssl.data.read import file_bytes

    try:
        return [float(word) for word in file_bytes(file, max_bytes=2**20).split()]
    except (UnreadableImage, ValueError):
        return []


def plane_told(header: NiftiHeader) -> Told:
    """Return the plane of the slices: confidence a² / (a² + b²) of their normal's largest parts."""
    plane = plane_of_affine(header.affine)
    if header.affine is None or plane == "unknown":
        return Told(evidence=("orientation: the header does not say",))
    normal = np.cross(header.affine[:3, 0], header.affine[:3, 1])
    second, first = np.sort(np.abs(normal / np.linalg.norm(normal)))[1:]
    degrees = np.degrees(np.arccos(min(1.0, first)))
    sure = round(min(0.99, float(first**2 / (first**2 + second**2))), 4)
    return Told(plane, sure, (f"orientation: {degrees:.0f} degrees from {plane}",))


def same_grid(one: NiftiHeader, other: NiftiHeader) -> bool:
    """Tell whether voxels of two files lie at the same places, whichever axes are slices."""
    if _stored(one) != _stored(other):
        return False
    if one.affine is None or other.affine is None:
        return one.affine is None and other.affine is None
    first, second = _of_file(one), _of_file(other)
    ends = np.array(_stored(one)) - 1
    apart = np.abs((first - second)[:3, :3]) @ ends + np.abs((first - second)[:3, 3])
    return bool(apart.max() < _APART * np.linalg.norm(first[:3, :3], axis=0).min())


def _stored(header: NiftiHeader) -> tuple[int, ...]:
    return header.stored[::-1]


def _of_file(header: NiftiHeader) -> np.ndarray:
    """Return the affine from the file's own axes."""
    assert header.affine is not None
    affine = np.array(header.affine)
    for place, axis in enumerate(header.axes[::-1]):
        affine[:, axis] = header.affine[:, place]
    return affine


def file_names(paths: Iterable[str]) -> dict[str, list[str]]:
    """Return the files of each folder, by its path."""
    found: dict[str, list[str]] = {}
    for path in paths:
        found.setdefault(PurePosixPath(path).parent.as_posix(), []).append(path)
    return found
