"""One normalisation for a whole volume, so that its slices can be compared with each other.

Windowed one by one, neighbouring slices would differ by what they contain: without the bright
lesion, or the eyes, everything else would be brighter.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from brainssl.data.normalisation import WINDOW, scaled, window
from brainssl.data.volumes.volume import Volume

_COUNTED = 2**17  # different whole numbers up to which counting them is faster than sorting


@dataclass(frozen=True)
class Window:
    """What becomes black and white in every slice of a volume; `low` = `high` if it is constant."""

    low: float
    high: float

    @property
    def told(self) -> str:
        """What was done, for the provenance."""
        if self.low == self.high:
            return "constant volume, set to 0"
        return (
            f"percentiles {WINDOW[0]} and {WINDOW[1]} of the volume ({self.low:.6g}, "
            f"{self.high:.6g}) to 0 and 1"
        )

    def applied(
        self,
        samples: Float32[np.ndarray, "*shape"],
        padding: Bool[np.ndarray, "*shape"] | None = None,
    ) -> Float32[np.ndarray, "*shape"]:
        """Map samples to [0, 1]; padding becomes black."""
        if self.low == self.high:
            return np.zeros(samples.shape, np.float32)
        levels = scaled(samples, self.low, self.high)
        if padding is not None:
            levels[padding] = 0
        return levels


def window_of(volume: Volume) -> Window:
    """Return the window of a volume, by the rule of `brainssl.data.normalisation.window`.

    It is that of version 2 of the reader over all samples of the volume, padding aside: a volume
    of one slice comes out as a picture of the same samples does, bit for bit.
    """
    measured = volume.samples
    values = measured.ravel() if volume.padding is None else measured[~volume.padding]
    if not values.size or values.min() == values.max():
        return Window(0.0, 0.0)
    return Window(*window(*_distribution(values)))


def _distribution(
    values: Float32[np.ndarray, " n"],
) -> tuple[Float64[np.ndarray, " k"], Int64[np.ndarray, " k"]]:
    """Return levels, ascending, and how many samples are at most as high as each."""
    least = float(values.min())
    if float(values.max()) - least < _COUNTED and least == np.rint(least):
        places = np.rint(values - np.float32(least)).astype(np.int32)
        if (places.astype(np.float32) == values - np.float32(least)).all():
            counts = np.bincount(places)
            return np.arange(len(counts), dtype=np.float64) + least, counts.cumsum()
    levels, counts = np.unique(values, return_counts=True)
    return levels.astype(np.float64), counts.cumsum()
