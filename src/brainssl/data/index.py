"""Where vectors are looked up: all of them while they are few, the likeliest cells beyond."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32

EXACT = 8192
"""Vectors up to which every one is compared with every other."""


_BLOCK = 4096  # as many as faiss multiplies at once: in larger blocks nothing changes


def blocks(count: int, size: int = _BLOCK) -> Iterator[slice]:
    """Yield the rows of one block after another; the last may have half as many more."""
    ends = [*range(size, count - size // 2, size), count]
    return map(slice, [0, *ends[:-1]], ends)


def index_of(
    count: int, vectors: Callable[[slice], Float32[np.ndarray, "b k"]], *, visited: int = 24
) -> Any:
    """Return a faiss index by inner product that holds vectors.

    Args:
        count: of the vectors.
        vectors: makes some of them, of unit norm, by their rows.
        visited: cells that are looked into, of 4·√n; a search of n vectors is O(n^1.5).
    """
    import faiss

    width = vectors(slice(0, 1)).shape[1]
    index: Any = faiss.IndexFlatIP(width)
    if count > EXACT:
        cells = int(4 * np.sqrt(count))
        index = faiss.IndexIVFFlat(index, width, cells, faiss.METRIC_INNER_PRODUCT)
        index.cp.niter, index.cp.min_points_per_centroid, index.cp.seed = 8, 4, 0
        index.train(_whole(count, width, vectors))
        index.nprobe = visited
    for part in blocks(count):
        index.add(vectors(part))
    return index


def _whole(
    count: int, width: int, vectors: Callable[[slice], Float32[np.ndarray, "b k"]]
) -> Float32[np.ndarray, "n k"]:
    whole = np.empty((count, width), np.float32)
    for part in blocks(count):
        whole[part] = vectors(part)
    return whole
