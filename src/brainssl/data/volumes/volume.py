"""A volume: slices of one acquisition, with their place in the patient."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float32, Float64

Format = Literal["dicom", "nifti", "matlab"]


@dataclass(frozen=True)
class InMemory:
    """A file that is held in memory and lies nowhere, in place of its path.

    Attributes:
        data: its content.
        name: a neutral one: what a sender calls it decides nothing.
    """

    data: bytes = field(repr=False)
    name: str = "file"


File: TypeAlias = Path | InMemory


@dataclass(frozen=True)
class VolumeRef:
    """Where a volume lies; it can be pickled, and holds nothing of a header but numbers.

    Attributes:
        format: which reader reads it.
        files: of a series with one file a slice, in the order of `read_volume`; else one.
        frames: which frames of which file make up the slices, as pairs of places in `files` and
            in the file, in order; None: all, as they come.
        volume: of a 4-D file, which volume.
        name: what it is called in errors; nothing of a header, and of an archive that may hold
            names in its folders no folder.
    """

    format: Format
    files: tuple[File, ...]
    name: str
    frames: tuple[tuple[int, int], ...] | None = None
    volume: int | None = None


@dataclass(frozen=True)
class Volume:
    """Slices of one acquisition, in order along their normal.

    Attributes:
        samples: values after modality rescaling, of each frame its own; not normalised. Rows and
            columns are those of the file.
        affine: from (column, row, slice), in voxels, to patient coordinates in mm, LPS as in DICOM
            (x to the left, y to the back, z to the head); None where the file does not say.
        padding: True where there is no measurement; None where there is one everywhere.
        source_bits: bits a sample in the file.
        provenance: every step from the files to `samples`, in words and in order.
        flags: what a reader of the data should know, e.g. "missing slices", "oblique".
        pixel: mm from row to row and column to column, where a file without affine says so.
    """

    samples: Float32[np.ndarray, "slices rows columns"]
    affine: Float64[np.ndarray, "4 4"] | None
    padding: Bool[np.ndarray, "slices rows columns"] | None
    source_bits: int
    provenance: tuple[str, ...]
    flags: tuple[str, ...]
    pixel: tuple[float, float] | None = None

    @property
    def spacing(self) -> tuple[float, float, float] | None:
        """Millimetres from slice to slice, row to row and column to column; None if unknown."""
        if self.affine is None:
            return None
        column, row, between = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return between, row, column

    @property
    def pixel_spacing(self) -> tuple[float, float] | None:
        """Millimetres from row to row and column to column; None if unknown."""
        return self.pixel if self.spacing is None else self.spacing[1:]
