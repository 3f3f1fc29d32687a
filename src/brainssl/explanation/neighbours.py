"""Explanation by example: the training slices that an encoder finds most alike."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest of a set for each query.

    Attributes:
        places: in the set, nearest first; −1 where there are not so many.
        distances: cosine distances, from 0 (same direction) to 2; not a number where there is none.
    """

    places: Int64[np.ndarray, "n k"]
    distances: Float64[np.ndarray, "n k"]


def nearest(
    queries: Float32[np.ndarray, "n dim"],
    known: Float32[np.ndarray, "m dim"],
    *,
    query_groups: Int64[np.ndarray, " n"],
    known_groups: Int64[np.ndarray, " m"],
    k: int = 3,
) -> Neighbours:
    """Return the `k` known slices nearest to each query by cosine, one a group, none of its own.

    Slices of the query's own group are left out: they are the same patient, or copies of it, and
    show no other case. For the same reason each group stands once, with its nearest slice.

    Args:
        queries: features of the slices to explain.
        known: features of the slices to choose from, usually those of training.
        query_groups: the group of each query.
        known_groups: the group of each known slice.
        k: how many.
    """
    distances = 1 - _unit(queries) @ _unit(known).T
    places = np.full((len(queries), k), -1, np.int64)
    found = np.full((len(queries), k), np.nan)
    for i, own in enumerate(distances):
        order = np.argsort(own, kind="stable")
        order = order[known_groups[order] != query_groups[i]]
        _, first = np.unique(known_groups[order], return_index=True)
        chosen = order[np.sort(first)[:k]]
        places[i, : len(chosen)] = chosen
        found[i, : len(chosen)] = own[chosen]
    return Neighbours(places, found)


def _unit(features: Float32[np.ndarray, "n dim"]) -> Float64[np.ndarray, "n dim"]:
    wide = features.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: Float64[np.ndarray, "n dim"] = wide / np.maximum(norms, np.finfo(np.float64).tiny)
    return unit
