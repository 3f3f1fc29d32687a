"""Volumes as NIfTI files whose bytes depend on nothing but the volume."""

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Integer


def write_nifti(
    file: Path,
    samples: Integer[np.ndarray, "slice h w"] | Bool[np.ndarray, "slice h w"],
    affine: Float64[np.ndarray, "4 4"],
) -> None:
    """Writes a gzipped NIfTI-1 file; masks and labels as 8 bits, other samples as 16.

    Args:
        file: Its name ends in `.nii.gz`; folders are made.
        samples: Whole numbers from 0 to 32767. The file's axes are column, row and slice.
        affine: From those, in voxels, to millimetres, RAS; written as sform and as qform.
    """
    import nibabel as nib

    image_of: Any = nib.Nifti1Image  # nibabel carries no types for it
    kind = np.uint8 if samples.dtype in (np.bool_, np.uint8) else np.int16
    image = image_of(np.ascontiguousarray(samples.transpose(2, 1, 0), kind), affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    packed = io.BytesIO()
    # Neither a time nor a name: the same volume gives the same bytes.
    with gzip.GzipFile("", "wb", compresslevel=6, fileobj=packed, mtime=0) as stream:
        stream.write(image.to_bytes())
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(packed.getvalue())
