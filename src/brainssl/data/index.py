"""Where vectors are looked up: all of them while they are few, the likeliest cells beyond."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

EXACT = 8192
"""Vectors up to which every one is compared with every other."""


_BLOCK = 4096  # as many as faiss multiplies at once: in larger blocks nothing changes
_A_CELL = 32  # vectors for each cell from which the cells are learnt

Vectors = Callable[[Int64[np.ndarray, " b"]], Float32[np.ndarray, "b k"]]
"""Makes some vectors of unit norm, by their rows."""


def blocks(count: int, size: int = _BLOCK) -> Iterator[slice]:
    """Yield the rows of one block after another; the last may have half as many more."""
    ends = [*range(size, count - size // 2, size), count]
    return map(slice, [0, *ends[:-1]], ends)


def index_of(count: int, vectors: Vectors, *, visited: int = 24) -> Any:
    """Return a faiss index by inner product that holds vectors.

    Many are held by four bits a number, which changes scores by some hundredths (Andre et al. 2015,
    "Cache locality is not enough"), in 4·√n cells.

    Args:
        count: of the vectors.
        vectors: makes them.
        visited: cells that are looked into; a search of n vectors is O(n^1.5).
    """
    import faiss

    width = vectors(np.arange(1)).shape[1]
    index: Any = faiss.IndexFlatIP(width)
    if count > EXACT:
        cells = int(4 * np.sqrt(count))
        index = faiss.IndexIVFPQFastScan(index, width, cells, width, 4, faiss.METRIC_INNER_PRODUCT)
        index.by_residual = False
        index.cp.niter, index.cp.min_points_per_centroid, index.cp.seed = 8, 4, 0
        some = evenly(count, cells * _A_CELL)
        index.train(np.concatenate([vectors(some[part]) for part in blocks(len(some))]))
        index.nprobe = visited
    for part in blocks(count):
        index.add(vectors(np.arange(part.start, part.stop)))
    return index


def evenly(count: int, most: int) -> Int64[np.ndarray, " b"]:
    """Return rows, at most so many, spread evenly over all."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
