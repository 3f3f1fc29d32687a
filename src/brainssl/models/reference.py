"""Reference: features of some training images, by which a classifier knows what it has seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float16, Float32, Int64
from torch import Tensor

_PREFIX = "reference."

MOST = 2000
"""Images at most; more tell little more, and take space."""

_SHARE = 4  # the features take at most a quarter of the bytes of the weights


@dataclass(frozen=True, eq=False)
class Reference:
    """Training images without their pixels.

    Attributes:
        image_ids: as in the manifest.
        labels: places among the classes.
        groups: of the training's store.
        features: standardised, see `brainssl.evaluation.familiarity.standardised`.
        frame: mean and deviation by which they are.
        looks: how training images look, see `brainssl.evaluation.appearance.whitening`.
    """

    image_ids: tuple[str, ...]
    labels: Int64[np.ndarray, " n"]
    groups: Int64[np.ndarray, " n"]
    features: Float16[np.ndarray, "n dim"]
    frame: Float32[np.ndarray, "2 dim"]
    looks: Float32[np.ndarray, "21 20"]

    def __len__(self) -> int:
        return len(self.image_ids)

    def tensors(self) -> dict[str, Tensor]:
        """Return what a safetensors file holds of it; the ids are text and go into its header."""
        return {f"{_PREFIX}{name}": torch.from_numpy(getattr(self, name)) for name in _ARRAYS}

    @classmethod
    def taken(cls, tensors: dict[str, Tensor], image_ids: Sequence[str]) -> "Reference":
        """Take its tensors out of those of a file."""
        return cls(tuple(image_ids), *(tensors.pop(f"{_PREFIX}{name}").numpy() for name in _ARRAYS))


_ARRAYS = tuple(one.name for one in fields(Reference))[1:]


def rows_held(state: Mapping[str, Tensor], dim: int) -> int:
    """Return how many images fit: at most 2,000, and a quarter of the weights' bytes."""
    weights = sum(value.numel() * value.element_size() for value in state.values())
    return int(min(MOST, weights // (_SHARE * 2 * dim)))


def rows_spread(
    labels: Int64[np.ndarray, " n"], groups: Int64[np.ndarray, " n"], most: int
) -> Int64[np.ndarray, " kept"]:
    """Return the places of at most `most` images, in their order, from all classes and groups.

    Classes take turns, and within a class its groups.
    """
    turn = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        turn[own[np.lexsort((own, _within(groups[own])))]] = np.arange(len(own))
    return np.sort(np.lexsort((labels, turn))[:most]).astype(np.int64)


def _within(groups: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Return how many of its group come before each."""
    order = np.argsort(groups, kind="stable")
    _, first, size = np.unique(groups[order], return_index=True, return_counts=True)
    found = np.empty(len(groups), np.int64)
    found[order] = np.arange(len(groups)) - np.repeat(first, size)
    return found
