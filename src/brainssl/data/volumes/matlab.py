"""Slices of the figshare collection of brain tumours: MATLAB 7.3 files, one slice each.

Source: J. Cheng, *brain tumor dataset*, figshare 2017, doi 10.6084/m9.figshare.1512427; described
in Cheng et al., PLoS ONE 10(10), 2015. A file holds `cjdata` with `image` (int16), `label` (1
meningioma, 2 glioma, 3 pituitary tumour), `PID`, `tumorBorder` and `tumorMask`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from brainssl.data.read import MAX_PIXELS, UnreadableImage
from brainssl.data.volumes.nifti_bytes import opened
from brainssl.data.volumes.volume import File, Volume, VolumeRef
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.extras import require

LABELS = {1: "meningioma", 2: "glioma", 3: "pituitary tumour"}

_HDF5 = b"\x89HDF\r\n\x1a\n"
_PATIENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")


@dataclass(frozen=True)
class MatlabHeader:
    """What a file says beside its pixels.

    Attributes:
        shape: rows and columns.
        label: class; None for a number that is none.
        patient: the collection's own pseudonym; None where it is none that can be one.
        mask: whether it outlines the tumour.
    """

    shape: tuple[int, int]
    label: str | None
    patient: str | None
    mask: bool


def is_matlab(begun: bytes) -> bool:
    """Tell by the first bytes whether a file is one of MATLAB, of whatever version."""
    return begun.startswith((b"MATLAB 5.0", b"MATLAB 7.3"))


def matlab_header(path: Path, name: str | None = None) -> MatlabHeader:
    """Read what a file of the collection says beside its pixels.

    Raises:
        UnreadableImage: no such file, or an older MATLAB format.
        BrainsslError: h5py is not installed.
    """
    name = name or str(path)
    with _held(path, name) as held:
        rows, columns = _dataset(held, "image", name).shape[::-1]
        mask = "tumorMask" in held and _dataset(held, "tumorMask", name).shape == (columns, rows)
        return MatlabHeader((rows, columns), _label(held, name), _patient(held, name), mask)


def read_matlab(ref: VolumeRef) -> Volume:
    """Read the slice of a file, as MATLAB shows it; where it lies in the patient it does not say.

    Raises:
        UnreadableImage: no file of the collection, damaged, or an older MATLAB format.
        BrainsslError: h5py is not installed.
    """
    pixels = _pixels(ref, "image")
    if not np.isfinite(pixels).all():
        raise UnreadableImage(ref.name, "holds values that are no numbers")
    return _volume(pixels, "decoded MATLAB 7.3")


def read_matlab_mask(ref: VolumeRef) -> Volume:
    """Read the outlined tumour of a file, on the grid of its slice: 1 inside, 0 outside.

    Raises:
        UnreadableImage: as `read_matlab`, or nothing is outlined.
        BrainsslError: h5py is not installed.
    """
    return _volume(_pixels(ref, "tumorMask") != 0, "decoded MATLAB 7.3 (tumour mask)")


def _volume(pixels: Shaped[np.ndarray, "rows columns"], said: str) -> Volume:
    samples = np.ascontiguousarray(pixels, np.float32)[None]
    bits = 1 if pixels.dtype == bool else pixels.dtype.itemsize * 8
    return Volume(samples, None, None, bits, (f"{said} ({pixels.dtype})",), ())


def _pixels(ref: VolumeRef, kind: str) -> Shaped[np.ndarray, "rows columns"]:
    (path,) = ref.files
    with _held(path, ref.name) as held:
        pixels: np.ndarray = _dataset(held, kind, ref.name)[()]
    return pixels.T  # MATLAB stores columns first


@contextmanager
def _held(path: File, name: str) -> Iterator[Any]:
    """Open a file and give its `cjdata`; whatever HDF5 raises becomes one line."""
    try:
        import h5py
    except ImportError:
        require("scans")
        raise
    with opened(path, name) as (handle, packed):
        begun = b"" if packed else handle.read(520)  # what is packed may be cut short
        if begun.startswith(b"MATLAB 5.0"):
            raise UnreadableImage(
                name, "is of an older MATLAB format: save it anew with save(…, '-v7.3')"
            )
        if _HDF5 not in (begun[:8], begun[512:520]):
            raise UnreadableImage(name, "is no MATLAB 7.3 file")
        try:
            with h5py.File(handle, "r") as file:
                yield _own(file, "cjdata", h5py.Group, name)
        except (BrainsslError, MemoryError):
            raise
        except Exception as error:  # HDF5 raises nearly anything on damaged files
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UnreadableImage(name, f"is damaged ({reason[:160]})") from error


def _own(group: Any, key: str, kind: type, name: str) -> Any:
    """Return a member that lies in the file itself: links may lead anywhere on the disk."""
    import h5py

    link = group.get(key, getlink=True)
    if link is None:
        raise UnreadableImage(name, f"holds no {key}: it is none of the figshare collection")
    member = group.get(key) if isinstance(link, h5py.HardLink) else None
    if not isinstance(member, kind):
        raise UnreadableImage(name, f"has an object {key} of a kind that is not read")
    return member


def _dataset(held: Any, key: str, name: str) -> Any:
    """Return a matrix of numbers that can be read safely."""
    import h5py

    found = _own(held, key, h5py.Dataset, name)
    # Storage outside of the file could be any file of this machine.
    if found.dtype.kind not in "iufb" or found.is_virtual or found.external:
        raise UnreadableImage(name, f"has an object {key} of a kind that is not read")
    pixels, piece = (float(np.prod(shape)) for shape in (found.shape, found.chunks or ()))
    if found.ndim != 2 or not 0 < pixels <= MAX_PIXELS or piece > MAX_PIXELS:
        said = " × ".join(map(str, found.shape))
        raise UnreadableImage(name, f"has an object {key} of {said}, which is no slice")
    return found


def _label(held: Any, name: str) -> str | None:
    values = _small(held, "label", name)
    return LABELS.get(int(values[0])) if len(values) == 1 and np.isfinite(values[0]) else None


def _patient(held: Any, name: str) -> str | None:
    """Return the patient's identifier: MATLAB stores a text as numbers of its characters."""
    codes = _small(held, "PID", name)
    text = "".join(chr(int(code)) for code in codes if 0 < code < 128).strip()
    return text if _PATIENT.fullmatch(text) else None


def _small(held: Any, key: str, name: str) -> np.ndarray:
    if key not in held:
        return np.empty(0)
    found = _dataset(held, key, name)
    return np.ravel(found[()]) if found.size <= 64 else np.empty(0)
