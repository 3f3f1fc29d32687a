"""Near-duplicates, and the groups of images that must not cross a split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float16, Float32, Int64
from PIL import Image

SIDE = 32


@dataclass(frozen=True)
class Pairs:
    """Near-duplicate pairs.

    Attributes:
        left: row of one image.
        right: row of the other; left < right, sorted by (left, right).
        similarity: normalised correlation after registration, in [-1, 1].
    """

    left: Int64[np.ndarray, " p"]
    right: Int64[np.ndarray, " p"]
    similarity: Float32[np.ndarray, " p"]

    @classmethod
    def none(cls) -> "Pairs":
        """Return no pairs."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


@dataclass(frozen=True)
class Groups:
    """Groups of images that must not cross a split.

    Attributes:
        group: group of each image, numbered from 0 in order of first appearance.
        notes: what was merged and why, one sentence each.
    """

    group: Int64[np.ndarray, " n"]
    notes: list[str]


def fingerprint(pixels: Float32[np.ndarray, "h w"]) -> Float16[np.ndarray, "side side"]:
    """Return a small normalised picture of the head."""
    small = np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX))
    centred = small - small.mean()
    norm = float(np.linalg.norm(centred))
    return (centred / norm if norm else centred).astype(np.float16)


def near_pairs(fingerprints: Float16[np.ndarray, "n side side"]) -> Pairs:
    """Find the near-duplicate pairs."""
    return Pairs.none()


def group_slices(patients: Sequence[str | None], pixels: Sequence[str], pairs: Pairs) -> Groups:
    """Group images."""
    roots: dict[str, int] = {}
    group = [roots.setdefault(digest, len(roots)) for digest in pixels]
    return Groups(np.array(group, np.int64), [])
