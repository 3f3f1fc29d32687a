"""Where vectors are looked up: all of them while they are few, the likeliest cells beyond."""

from typing import Any

import numpy as np
from jaxtyping import Float32

EXACT = 8192
"""Vectors up to which every one is compared with every other."""


def index_of(vectors: Float32[np.ndarray, "n k"], *, visited: int = 24) -> Any:
    """Return a faiss index by inner product that holds the vectors.

    Args:
        vectors: of unit norm.
        visited: cells that are looked into, of 4·√n; a search of n vectors is O(n^1.5).
    """
    import faiss

    count, width = vectors.shape
    index: Any = faiss.IndexFlatIP(width)
    if count > EXACT:
        cells = int(4 * np.sqrt(count))
        index = faiss.IndexIVFFlat(index, width, cells, faiss.METRIC_INNER_PRODUCT)
        index.cp.niter, index.cp.min_points_per_centroid, index.cp.seed = 8, 4, 0
        index.train(vectors)
        index.nprobe = visited
    index.add(vectors)
    return index
