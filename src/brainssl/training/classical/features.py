"""Hand-made features of a slice: what its texture and its edges are like, by fixed formulas."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float32, Float64, UInt8

from brainssl.data.pool import in_order
from brainssl.data.store import ImageStore
from brainssl.foundation.depth import shallow

LEVELS = 32  # grey levels of the co-occurrence matrices
DISTANCES = (1, 2, 4)  # pixels
PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation")
RADII = (1, 2)  # pixels: of the local binary patterns
POINTS = 8  # on each circle
ORIENTATIONS, CELLS = 9, 6  # of the histograms of gradients; cells to a side
MOST_PIXELS = 128  # to a side; a larger image is shrunk by a whole factor first

TEXTURES = len(DISTANCES) * len(PROPERTIES) + len(RADII) * (POINTS + 2)
SETS = {
    "texture": slice(0, TEXTURES),
    "HOG": slice(TEXTURES, None),
    "texture and HOG": slice(None),
}
"""Columns of the features that a classifier may be given."""


@dataclass
class HandMade:
    """A store and the hand-made features of its images, computed when first needed.

    Attributes:
        store: of the images.
        progress: called with (images described, images in all).
    """

    store: ImageStore
    progress: Callable[[int, int], None] | None = None

    @cached_property
    def vectors(self) -> Float32[np.ndarray, "n dim"]:
        """One row an image, NaN where it has no label; the same on one core and on many."""
        labelled = np.flatnonzero(self.store.labels >= 0)
        own = np.stack(list(self._told([shallow(self.store.images[row]) for row in labelled])))
        found = np.full((len(self.store.images), own.shape[1]), np.nan, np.float32)
        found[labelled] = own
        return found

    def _told(self, images: Sequence["np.ndarray"]) -> Iterator["np.ndarray"]:
        # Processes that share a study share the cores as well.
        found = in_order(describe, images, workers=torch.get_num_threads())
        for done, vector in enumerate(found, start=1):
            yield vector
            if self.progress:
                self.progress(done, len(images))


def describe(image: UInt8[np.ndarray, "size size"]) -> Float32[np.ndarray, " dim"]:
    """Return the features of one slice at 8 bits: textures, then histograms of gradients.

    - Grey-level co-occurrence (Haralick et al. 1973): five properties of the symmetric matrix of
      32 levels at 1, 2 and 4 pixels, each the mean over four directions.
    - Uniform, rotation-invariant local binary patterns (Ojala et al. 2002): their shares among all
      pixels, of 8 neighbours at a radius of 1 and of 2 pixels.
    - HOG (Dalal and Triggs 2005): 9 orientations in about 6 × 6 cells, each normalised by itself.

    Images of more than 128 px are first shrunk by a whole factor (means of squares).
    """
    small = shrunk(image)
    return np.concatenate(
        [cooccurrence(small), *(patterns(small, radius) for radius in RADII), gradients(small)]
    ).astype(np.float32)


def shrunk(image: UInt8[np.ndarray, "size size"]) -> UInt8[np.ndarray, "side side"]:
    """Return an image of at most 128 px; what is left over to the right and below is cut off."""
    factor = math.ceil(len(image) / MOST_PIXELS)
    if factor == 1:
        return image
    side = len(image) // factor
    squares = image[: side * factor, : side * factor].reshape(side, factor, side, factor)
    return np.asarray(np.rint(squares.mean(axis=(1, 3))), np.uint8)


def cooccurrence(image: UInt8[np.ndarray, "side side"]) -> Float64[np.ndarray, " properties"]:
    """Return contrast, dissimilarity, homogeneity, energy, correlation, each at every distance."""
    from skimage.feature import graycomatrix, graycoprops

    coarse = (image.astype(np.uint16) * LEVELS // 256).astype(np.uint8)
    angles = [0, math.pi / 4, math.pi / 2, 3 * math.pi / 4]
    matrix = graycomatrix(  # type: ignore[no-untyped-call]
        coarse, DISTANCES, angles, levels=LEVELS, symmetric=True, normed=True
    )
    found = [graycoprops(matrix, name) for name in PROPERTIES]  # type: ignore[no-untyped-call]
    return np.concatenate([values.mean(axis=1) for values in found])


def patterns(
    image: UInt8[np.ndarray, "side side"], radius: int
) -> Float64[np.ndarray, " patterns"]:
    """Return the shares of the ten uniform patterns among all pixels."""
    from skimage.feature import local_binary_pattern

    codes = local_binary_pattern(  # type: ignore[no-untyped-call]
        image, POINTS, radius, method="uniform"
    )
    counts = np.bincount(codes.astype(np.int64).ravel(), minlength=POINTS + 2)
    return np.asarray(counts / codes.size)


def gradients(image: UInt8[np.ndarray, "side side"]) -> Float64[np.ndarray, " bins"]:
    """Return the histogram of gradient orientations of each cell."""
    from skimage.feature import hog

    cell = len(image) // CELLS
    found: Float64[np.ndarray, " bins"] = hog(image, ORIENTATIONS, (cell, cell), (1, 1))
    return found
