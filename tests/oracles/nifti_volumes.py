"""NIfTI volumes for tests: small, written by nibabel, with a place in the patient."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from brainssl.data.volumes.volume import VolumeRef

SPACING = (0.9, 1.0, 5.0)
"""mm along the axes of a file: slices along the third."""


def ramp(shape: Sequence[int] = (4, 5, 6), dtype: str = "int16") -> np.ndarray:
    """A different value in each voxel."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def placed(spacing: Sequence[float] = SPACING) -> np.ndarray:
    """An affine to RAS, axes as they are, somewhere off the origin."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-7, 11, 3)
    return affine


def write_nifti(
    path: Path, data: np.ndarray | None = None, affine: np.ndarray | None = None, **header: Any
) -> VolumeRef:
    """Write a volume, with fields of its header set afterwards; without affine, with none."""
    data = ramp() if data is None else data
    image = nib.Nifti1Image(data, placed() if affine is None else affine)
    image.header.set_xyzt_units("mm")
    for name, value in header.items():
        image.header[name] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return VolumeRef("nifti", (path,), path.name)


def without_place(path: Path) -> None:
    """Let the header of a volume say nothing of where it lies: neither sform nor qform."""
    patched(path, 252, bytes(4))


def patched(path: Path, offset: int, data: bytes) -> None:
    """Overwrite bytes of a file."""
    content = bytearray(path.read_bytes())
    content[offset : offset + len(data)] = data
    path.write_bytes(bytes(content))
