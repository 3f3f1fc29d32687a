"""NIfTI files: the pixels of one volume.

They are read a slice at a time, so that a file in float64 is never held whole, and to the end, so
that what gzip's checksum tells is heard.
"""

from typing import BinaryIO

import numpy as np
from jaxtyping import Bool, Float32

from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.nifti_bytes import count_rest, exactly, opened, skip
from brainssl.data.volumes.nifti_headers import NiftiHeader, in_words, nifti_header
from brainssl.data.volumes.nifti_samples import Samples, bits_of, type_of
from brainssl.data.volumes.volume import Volume, VolumeRef

__all__ = ["NiftiHeader", "nifti_header", "read_nifti"]


def read_nifti(ref: VolumeRef) -> Volume:
    """Read one volume.

    Args:
        ref: one file, and which volume of it where it holds several.

    Returns:
        The volume, neither turned nor mirrored: only the order of its axes was chosen. Values are
        scaled as the header says; of complex ones it is the magnitude, of colours the luminance.
        What is no finite number is padding, and holds the smallest value that is one.

    Raises:
        UnreadableImage: as `nifti_header`; truncated, damaged, of another size than its header
            says, without a finite value, or `ref.volume` is none of it.
        BrainsslError: nibabel is not installed.
    """
    (path,) = ref.files
    header = nifti_header(path, ref.name)
    volume = _chosen(header, ref)
    samples = Samples(header.slope, header.intercept)
    with in_words(ref.name), opened(header.pixels, ref.name) as (handle, packed):
        skip(handle, header.offset + volume * header.volume_bytes, packed=packed)
        stored = _stored(handle, header, samples)
        left_over = _left_over(handle, header, volume, ref.name)
    slices, rows, columns = (2 - axis for axis in header.axes)
    values = np.ascontiguousarray(stored.transpose(slices, rows, columns))
    padding = None if samples.finite else _mend(values, ref.name)
    return Volume(
        values,
        header.affine,
        padding,
        bits_of(header.dtype),
        (
            f"decoded NIfTI ({type_of(header.dtype)}{', gzip' if packed else ''})",
            *([f"volume {volume + 1} of {header.volumes}"] if header.volumes > 1 else []),
            *_scaling(header),
            *(["magnitude of complex values"] if "complex" in samples.flags else []),
            *header.provenance,
            *([f"{left_over} bytes after the pixels were not read"] if left_over else []),
        ),
        (*header.flags, *samples.flags, *([] if padding is None else ["not finite"])),
        header.pixel,
    )


def _chosen(header: NiftiHeader, ref: VolumeRef) -> int:
    volume = ref.volume
    if volume is None:
        if header.volumes > 1:
            raise UnreadableImage(ref.name, f"holds {header.volumes} volumes; name one of them")
        return 0
    if not 0 <= volume < header.volumes:
        raise UnreadableImage(
            ref.name, f"holds {header.volumes} volumes; there is no number {volume + 1}"
        )
    return volume


def _stored(
    handle: BinaryIO, header: NiftiHeader, samples: Samples
) -> Float32[np.ndarray, "third second first"]:
    """Read a volume in the order of the file."""
    count, height, width = header.stored
    stored = np.empty((count, height, width), np.float32)
    for number in range(count):
        data = exactly(handle, height * width * header.dtype.itemsize)
        stored[number] = samples.of(np.frombuffer(data, header.dtype).reshape(height, width))
    return stored


def _left_over(handle: BinaryIO, header: NiftiHeader, volume: int, name: str) -> int:
    """Read what remains; return how many bytes the header does not account for.

    Some programs fill a file up, but never with a whole slice.
    """
    due = (header.volumes - volume - 1) * header.volume_bytes
    a_slice = header.volume_bytes // header.stored[0]
    rest = count_rest(handle, due + a_slice)
    if rest < due:
        raise EOFError
    if rest - due >= a_slice:
        raise UnreadableImage(name, "holds more pixels than its header says; one of them is wrong")
    return rest - due


def _mend(values: Float32[np.ndarray, "s r c"], name: str) -> Bool[np.ndarray, "s r c"]:
    """Put the smallest number where there is none, in place; return where that is."""
    missing: Bool[np.ndarray, "s r c"] = ~np.isfinite(values)
    if missing.all():
        raise UnreadableImage(name, "holds no finite value")
    values[missing] = values.min(where=~missing, initial=np.inf)
    return missing


def _scaling(header: NiftiHeader) -> list[str]:
    if header.slope is None or (header.slope, header.intercept) == (1.0, 0.0):
        return []
    return [f"scaled by {header.slope:.6g}, {header.intercept:+.6g}"]
