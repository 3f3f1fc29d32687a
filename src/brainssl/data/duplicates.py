"""Near-duplicates: pictures are compared by their fingerprints, in two frames.

Their similarity is the larger of the two correlations; of copies that were mirrored, turned,
shifted or zoomed, that of the heads when they are aligned.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float16, Float32, Int64

from brainssl.data.fingerprint import SIDE as SIDE
from brainssl.data.fingerprint import fingerprint as fingerprint
from brainssl.data.fingerprint import widened
from brainssl.data.frequencies import cosines, unit
from brainssl.data.index import EXACT, blocks, index_of
from brainssl.data.turned import aligned_pairs

NEAR = 0.85
"""Similarity from which two images are called near-duplicates: seldom of two patients."""

ALWAYS = 0.95
"""Similarity that links groups of any size: the same picture saved twice."""

NEIGHBOURS = 24
"""Neighbours looked up for each image in each frame."""

GAINED = 0.04
"""Similarity that aligning lends to strangers, which does not count: see `_turned`."""

# Chosen by hand: see `needed_similarity` for what that rests on.
_BASE, _HALVING = 0.56, 0.015

_BANDWIDTH = 13  # DCT coefficients below this radius are searched; all are compared
# Of 36,000 pairs of two collections whose pictures are 0.7 alike or more none had low frequencies
# that were less alike by more than 0.08; some hundredths are what the index takes.
_LOWER = 0.15
_PARTS = 16  # in which pairs are sorted


@dataclass(frozen=True)
class Pairs:
    """Pairs of images that resemble each other.

    Attributes:
        left: row of one image.
        right: row of the other; left < right, sorted by (left, right).
        similarity: the larger correlation of the two frames, in [-1, 1].
    """

    left: Int64[np.ndarray, " p"]
    right: Int64[np.ndarray, " p"]
    similarity: Float32[np.ndarray, " p"]

    @classmethod
    def none(cls) -> "Pairs":
        """Return no pairs."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))

    def __len__(self) -> int:
        return len(self.left)

    def where(self, kept: Bool[np.ndarray, " p"]) -> "Pairs":
        """Return the pairs that `kept` marks."""
        return Pairs(self.left[kept], self.right[kept], self.similarity[kept])

    def near(self) -> "Pairs":
        """Return the near-duplicates among the pairs."""
        return self.where(self.similarity >= NEAR)


def needed_similarity(images: int, chances: float = 1.0) -> float:
    """Return the similarity that links two groups.

    Two groups of a and b images offer a·b chances for a false link, and n images offer each of them
    n. Were unrelated pairs to become half as frequent with every 0.015 of similarity, false links
    would stay as rare whatever the sizes under

        s = 0.56 + 0.015 · log2(n · a · b), at most 0.95.

    Both constants are empirical: they were swept on one public collection and an early version of
    the phantom, and nothing was held out to test them on. Nor is there one halving: on the phantom
    unrelated pairs halve about every 0.034 of similarity between 0.6 and 0.65, every 0.022 between
    0.7 and 0.75, and every 0.013 between 0.75 and 0.8 (`results/near-duplicates-2cores.json`).

    Args:
        images: images in all, n.
        chances: pairs that could have linked the two groups, a · b.
    """
    return min(ALWAYS, _BASE + _HALVING * float(np.log2(max(1, images) * chances)))


def near_pairs(fingerprints: Float16[np.ndarray, "n 2 side side"]) -> Pairs:
    """Find the pairs that resemble each other enough to link two images.

    Up to 8,192 images all pairs are searched; beyond, an inverted file with 4·√n cells of which 24
    are visited: O(n^1.5). Fingerprints are read in blocks, so that they may lie on disk.

    Args:
        fingerprints: of distinct images or copies, as `fingerprint` returns them.

    Returns:
        Each image's most similar others, if at least `needed_similarity(n)`, and those of which
        one looks like the other mirrored, turned, shifted or zoomed, if near-duplicates.
    """
    count = len(fingerprints)
    if not count:
        return Pairs.none()
    flat = np.asarray(fingerprints).reshape(count, 2, SIDE * SIDE)
    kept, owner = _distinct(flat)
    codes, similarity = _alike(flat, kept)
    turned, likeness = _turned(flat, kept, codes[similarity >= NEAR])
    codes, similarity = _once(
        np.concatenate([codes, turned]), np.concatenate([similarity, likeness]), len(kept)
    )
    pairs = Pairs(kept[codes // len(kept)], kept[codes % len(kept)], similarity)
    copies = np.flatnonzero(owner != np.arange(count))
    copies = copies[[bool(flat[row].any()) for row in copies.tolist()]]
    if not len(copies):  # what is kept is in the order of rows
        return pairs
    left = np.concatenate([pairs.left, owner[copies]])
    right = np.concatenate([pairs.right, copies])
    similarity = np.concatenate([similarity, np.ones(len(copies), np.float32)])
    order = np.lexsort((right, left))
    return Pairs(left[order], right[order], similarity[order])


def _alike(
    flat: Float16[np.ndarray, "n 2 d"], kept: Int64[np.ndarray, " m"]
) -> tuple[Int64[np.ndarray, " c"], Float32[np.ndarray, " c"]]:
    """Return pairs of kept rows that are alike as they lie, as left · m + right, and how much."""
    needed = needed_similarity(len(flat))
    # An image is in many pairs: widened once while that takes no more than 64 MiB.
    rows = widened(flat) if len(flat) <= EXACT else flat
    codes, similarity = np.empty(0, np.int64), np.empty(0, np.float32)
    for frame in range(2):
        found, likeness = [codes], [similarity]
        for some in _neighbours(flat, kept, frame, needed - _LOWER):
            alike = _similarity(rows, kept[some // len(kept)], kept[some % len(kept)])
            found.append(some[alike >= needed])
            likeness.append(alike[alike >= needed])
        codes, similarity = np.concatenate(found), np.concatenate(likeness)
        del found, likeness
        codes, similarity = _once(codes, similarity, len(kept))
    return codes, similarity


def _turned(
    flat: Float16[np.ndarray, "n 2 d"],
    kept: Int64[np.ndarray, " m"],
    known: Int64[np.ndarray, " k"],
) -> tuple[Int64[np.ndarray, " c"], Float32[np.ndarray, " c"]]:
    """Return near-duplicates that must be aligned to be seen, as left · m + right.

    Where much may be moved, strangers come closer, too. On a phantom of 768 slices 34 other heads
    were 0.75 alike as they lay and as many 0.82 when aligned; at the highest likenesses of
    strangers the two were 0.05 apart, and none reached 0.86 (with six steps of whole pictures, an
    earlier way to align that came to the same likenesses). With less subtracted more is found.
    """
    heads = flat[:, 0].reshape(-1, SIDE, SIDE)
    left, right, similarity = aligned_pairs(heads, known, rows=kept)
    similarity = similarity - np.float32(GAINED)
    near = similarity >= max(NEAR, needed_similarity(len(kept)))
    return left[near] * len(kept) + right[near], similarity[near]


def _once(
    codes: Int64[np.ndarray, " c"], similarity: Float32[np.ndarray, " c"], count: int
) -> tuple[Int64[np.ndarray, " u"], Float32[np.ndarray, " u"]]:
    """Return each code of left · count + right once, sorted, with the larger of its similarities.

    Part by part: to sort all at once would take several times the memory of the codes.
    """
    step = -(-count // _PARTS) * count
    unique, larger = [], []
    for low in range(0, count**2, step):
        some = np.flatnonzero((codes >= low) & (codes < low + step))
        some = some[np.lexsort((-similarity[some], codes[some]))]
        kept, first = np.unique(codes[some], return_index=True)
        unique.append(kept)
        larger.append(similarity[some[first]])
    return np.concatenate(unique), np.concatenate(larger)


def _distinct(
    flat: Float16[np.ndarray, "n 2 d"],
) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " n"]]:
    """Return the first row of each distinct fingerprint, and for each row its first equal.

    A hundred copies would otherwise fill each other's lists of neighbours.
    """
    digests = np.empty((len(flat), 2), np.int64)  # the fingerprints themselves take 4 KB each
    for at, row in enumerate(flat):
        digest = hashlib.sha256(np.ascontiguousarray(row).data).digest()
        digests[at] = np.frombuffer(digest[:16], np.int64)
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # equal ones stay in the order of rows
    begins = np.r_[True, (digests[order[1:]] != digests[order[:-1]]).any(axis=1)]
    owner = np.empty(len(flat), np.int64)
    owner[order] = order[begins][np.cumsum(begins) - 1]
    return np.flatnonzero(owner == np.arange(len(flat))), owner


def _neighbours(
    flat: Float16[np.ndarray, "n 2 d"], kept: Int64[np.ndarray, " m"], frame: int, least: float
) -> Iterator[Int64[np.ndarray, " c"]]:
    """Yield candidates as left · m + right with left < right, from one frame's low frequencies.

    Those whose low frequencies are less alike than `least` are left.
    """
    count = len(kept)
    probe = cosines(_BANDWIDTH)[2].reshape(-1, SIDE * SIDE).T

    def vectors(places: Int64[np.ndarray, " b"]) -> Float32[np.ndarray, "b k"]:
        return unit(widened(flat[kept[places], frame]) @ probe)

    index = index_of(count, vectors)
    for part in blocks(count):
        places = np.arange(part.start, part.stop)
        score, found = index.search(vectors(places), min(count, NEIGHBOURS + 1))
        rows = np.repeat(places, found.shape[1])
        others = found.ravel()
        valid = (others >= 0) & (others != rows) & (score.ravel() >= least)
        low, high = np.minimum(rows, others)[valid], np.maximum(rows, others)[valid]
        yield np.unique(low * count + high)


def _similarity(
    rows: Float16[np.ndarray, "n 2 d"] | Float32[np.ndarray, "n 2 d"],
    left: Int64[np.ndarray, " p"],
    right: Int64[np.ndarray, " p"],
) -> Float32[np.ndarray, " p"]:
    """Return the larger correlation of the two frames, in float32."""
    similarity = np.empty(len(left), np.float32)
    for start in range(0, len(left), 1024):
        part = slice(start, start + 1024)
        one, other = (rows[end[part]] for end in (left, right))
        if one.dtype == np.float16:
            one, other = widened(one), widened(other)
        similarity[part] = np.einsum("pfd,pfd->pf", one, other).max(axis=1)
    return similarity
