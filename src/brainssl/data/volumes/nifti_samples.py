"""Values of a NIfTI file, whatever their type: scaled, grey, float32."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped

_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass
class Samples:
    """Turns what a file holds into intensities, a part of a volume at a time.

    No copy in float64 is held of more than that part.

    Attributes:
        slope: the header's factor; None where it states none, or zero or no number.
        intercept: what is added.
        flags: what was seen on the way.
        finite: whether all values so far were numbers.
    """

    slope: float | None
    intercept: float
    flags: list[str] = field(default_factory=list)
    finite: bool = True

    def of(self, values: Shaped[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
        """Return intensities; what is no number, or beyond float32, stays so."""
        grey = self._grey(values)
        if self.slope is not None and (self.slope, self.intercept) != (1.0, 0.0):
            grey = grey * self.slope + self.intercept
        if np.iscomplexobj(grey):
            grey = np.abs(grey)
        with np.errstate(over="ignore"):
            intensities = grey.astype(np.float32, copy=False)
        if self.finite and grey.dtype.kind not in "iu":
            self.finite = bool(np.isfinite(intensities).all())
        return intensities

    def _grey(self, values: Shaped[np.ndarray, "*shape"]) -> np.ndarray:
        """Return one number for each voxel, exact enough to be scaled."""
        if values.dtype.names:
            return self._of_colours(values)
        if values.dtype.kind == "c":
            self._tell("complex")
            return values.astype(np.complex128)
        # Scaling is done in float64: int16 times a slope of float32 would lose digits.
        return values.astype(np.float64) if self.slope is not None else values

    def _of_colours(self, values: np.ndarray) -> np.ndarray:
        """Collapse channels that agree; else return the luminance."""
        red, green, blue = (values[name].astype(np.float64) for name in ("R", "G", "B"))
        if np.array_equal(red, green) and np.array_equal(red, blue):
            return red
        self._tell("coloured annotation")
        parts = zip(_LUMINANCE, (red, green, blue), strict=True)
        return np.asarray(sum(share * channel for share, channel in parts))

    def _tell(self, flag: str) -> None:
        if flag not in self.flags:
            self.flags.append(flag)


def bits_of(dtype: np.dtype[Any]) -> int:
    """Return the bits of a sample: those of a channel of colours, of a part of complex numbers."""
    if dtype.names:
        return 8
    return dtype.itemsize * (4 if dtype.kind == "c" else 8)


def type_of(dtype: np.dtype[Any]) -> str:
    """Return what a type is called in words."""
    return "RGB" if dtype.names else dtype.name
