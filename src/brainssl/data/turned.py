"""Copies that were mirrored, turned, shifted or zoomed: looked up, then aligned.

Of the eight ways to lay a square picture down, each head is laid as it is most like some others of
the collection, so that copies that were mirrored or turned by quarters come to lie alike. So it
is looked up among the others, as it is and turned a little. The likeliest are aligned with it by
the best turn, zoom and shift; what they have in common then is their similarity.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float16, Float32, Int32, Int64, UInt8
from scipy.ndimage import rotate

from brainssl.data.fingerprint import widened
from brainssl.data.frequencies import cosines, unit
from brainssl.data.index import blocks, evenly, index_of

TURNS = (0, -10, 10, -20, 20)
"""Degrees, clockwise, by which heads are turned when they are looked up. Aligning bridges what lies
between."""

CANDIDATES = 10
"""Others, each in its likeliest orientation, that are aligned with an image."""

_WAYS = 8  # 4: transposed, and then 2: upside down, and 1: left is right
_EXAMPLES = 256  # heads that tell how others are laid down: no mean, which may have symmetries
_DOUBT = 0.1  # a head that is so nearly as alike laid down otherwise is looked up so, too
_BANDWIDTH = 9  # DCT coefficients below this radius are searched: 5 degrees change them little
_SEARCHED = 0.6  # their similarity from which two heads are aligned
_BATCH = 2048

_Heads = Float32[np.ndarray, "n side side"]
_Ways = UInt8[np.ndarray, " n"]
_Rows = Int64[np.ndarray, " c"]
_Few = Int32[np.ndarray, " c"]


def aligned_pairs(
    heads: Float16[np.ndarray, "n side side"],
    known: Int64[np.ndarray, " k"],
    *,
    rows: _Rows | None = None,
) -> tuple[_Rows, _Rows, Float32[np.ndarray, " c"]]:
    """Return pairs of heads that may be copies of each other, and their similarity when aligned.

    Args:
        heads: pictures around the head, of mean 0 and norm 1; one of zeros is like no other.
        known: pairs that need no aligning, as left · m + right with left < right, sorted.
        rows: of the m heads that are compared; by default all. They are read in blocks.

    Returns:
        Places left < right among these, each pair once, and the correlation in [-1, 1].
    """
    from brainssl.data.aligning import aligned  # with PyTorch, of no use to who only predicts

    rows = np.arange(len(heads)) if rows is None else rows
    if not len(rows):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    lying = _Lying.of(heads, rows)
    found = [np.concatenate(part) for part in zip(*_candidates(lying, known), strict=True)]
    row, other, way, angle, score = found
    # Often each of two has found the other: they are aligned once, as they were more alike.
    codes = np.minimum(row, other) * np.int64(len(rows)) + np.maximum(row, other)
    likeliest = np.lexsort((-score, codes))
    once = likeliest[np.unique(codes[likeliest], return_index=True)[1]]
    similarity = np.empty(len(once), np.float32)
    for start in range(0, len(once), 256):
        part = once[start : start + 256]
        still, moved = lying.shown(other[part]), laid(heads[rows[row[part]]], way[part])
        similarity[start : start + 256] = aligned(still, moved, angle[part].astype(np.float32))
    return codes[once] // len(rows), codes[once] % len(rows), similarity


def laid(heads: Float16[np.ndarray, "n side side"] | _Heads, ways: _Ways) -> _Heads:
    """Return pictures as they are laid down in one of eight ways."""
    heads = heads if heads.dtype == np.float32 else widened(heads)
    result = np.empty_like(heads)
    for way in range(_WAYS):
        some = heads[ways == way]
        some = some.transpose(0, 2, 1) if way & 4 else some
        some = some[:, ::-1] if way & 2 else some
        result[ways == way] = some[..., ::-1] if way & 1 else some
    return result


def turn(heads: _Heads, angle: float) -> _Heads:
    """Return pictures turned clockwise by `angle` degrees, with nothing in the corners."""
    return np.asarray(
        rotate(heads, -angle, axes=(1, 2), reshape=False, order=1, mode="grid-constant"), np.float32
    )


class _Frequencies:
    """The low frequencies of heads, turned or not, and what laying them down makes of these."""

    def __init__(self) -> None:
        u, v, waves = cosines(_BANDWIDTH)
        # A coefficient of a turned picture is its product with a cosine turned back.
        self.probes = {a: turn(waves, -a).reshape(len(waves), -1).T for a in TURNS}
        across = np.lexsort((u, v))  # from u, v to v, u
        self.order = np.stack([across if way & 4 else np.arange(len(u)) for way in range(_WAYS)])
        self.signs = np.stack(
            [(-1.0) ** ((way >> 1 & 1) * u + (way & 1) * v) for way in range(_WAYS)]
        ).astype(np.float32)

    def of(self, heads: _Heads, angle: int = 0) -> Float32[np.ndarray, "n k"]:
        """Return the low frequencies of turned heads, as unit vectors."""
        return unit(heads.reshape(len(heads), -1) @ self.probes[angle])

    def laid(self, vectors: Float32[np.ndarray, "n k"], ways: _Ways) -> Float32[np.ndarray, "n k"]:
        """Return what they are when the heads are laid down."""
        moved = np.take_along_axis(vectors, self.order[ways], axis=1)
        return np.asarray(moved * self.signs[ways], np.float32)

    def all_ways(self, vectors: Float32[np.ndarray, "n k"]) -> Float32[np.ndarray, "k ways*n"]:
        """Return what a vector is multiplied with to be compared with these, laid in each way."""
        back = np.empty((_WAYS, *vectors.shape), np.float32)
        for way in range(_WAYS):
            back[way][:, self.order[way]] = vectors * self.signs[way]
        return back.reshape(-1, vectors.shape[1]).T


@dataclass(frozen=True)
class _Lying:
    """Heads of a collection, as they are laid down.

    Attributes:
        heads: of the collection.
        rows: those that are compared.
        low: their frequencies.
        examples: of some heads, laid down in each way, as `all_ways` gives them.
        ways: how each of those that are compared is laid down.
    """

    heads: Float16[np.ndarray, "n side side"]
    rows: _Rows
    low: _Frequencies
    examples: Float32[np.ndarray, "k examples"]
    ways: _Ways

    @classmethod
    def of(cls, heads: Float16[np.ndarray, "n side side"], rows: _Rows) -> "_Lying":
        """Find how heads are laid down."""
        low, ways = _Frequencies(), np.zeros(len(rows), np.uint8)
        upright = cls(heads, rows, low, np.empty((0, 0), np.float32), ways)
        some = upright.vectors(evenly(len(rows), _EXAMPLES))
        for at in range(1, len(some)):
            # Each as it is most like those before: a set of copies would lie in all ways otherwise.
            before = cls(heads, rows, low, low.all_ways(some[:at]), ways)
            one = some[at : at + 1]
            some[at] = low.laid(one, before.likeness(one).argmax(1).astype(np.uint8))[0]
        found = cls(heads, rows, low, low.all_ways(some), ways.copy())
        for part in blocks(len(rows)):
            vectors = upright.vectors(np.arange(part.start, part.stop))
            found.ways[part] = found.likeness(vectors).argmax(1)
        return found

    def shown(self, places: _Rows) -> _Heads:
        """Return heads as they are laid down."""
        return laid(self.heads[self.rows[places]], self.ways[places])

    def vectors(self, places: _Rows) -> Float32[np.ndarray, "b k"]:
        """Return the low frequencies of heads that are laid down."""
        return self.low.of(self.shown(places))

    def likeness(self, vectors: Float32[np.ndarray, "n k"]) -> Float32[np.ndarray, "n ways"]:
        """Return how much heads are like the most alike example, laid in each way."""
        both = vectors @ self.examples
        return np.asarray(both.reshape(len(vectors), _WAYS, -1).max(axis=2), np.float32)


def _candidates(
    lying: _Lying, known: Int64[np.ndarray, " k"]
) -> Iterator[tuple[_Few, _Few, _Ways, _Few, Float32[np.ndarray, " c"]]]:
    """Yield places, others, how a head is then laid down and turned, and how alike they are."""
    count = len(lying.rows)
    index = index_of(count, lying.vectors)
    for part in blocks(count, _BATCH):
        found = _looked_up(lying, index, np.arange(part.start, part.stop))
        row, other, way, angle, score = (np.concatenate(one) for one in zip(*found, strict=True))
        code = np.minimum(row, other) * np.int64(count) + np.maximum(row, other)
        kept = np.flatnonzero((score >= _SEARCHED) & (other != row) & ~_among(code, known))
        kept = kept[np.argsort(-score[kept], kind="stable")]
        # The best orientation of each other, then the best others of each row.
        kept = kept[np.sort(np.unique(row[kept] * count + other[kept], return_index=True)[1])]
        kept = kept[np.argsort(row[kept], kind="stable")]
        rank = np.arange(len(kept)) - np.searchsorted(row[kept], row[kept])
        kept = kept[rank < CANDIDATES]
        few = row[kept].astype(np.int32), other[kept].astype(np.int32)
        yield *few, way[kept], angle[kept], score[kept]


def _looked_up(
    lying: _Lying, index: Any, places: _Rows
) -> Iterator[tuple[_Rows, _Rows, _Ways, _Few, Float32[np.ndarray, " c"]]]:
    """Yield places, others, how the head is then laid down and turned, and how alike they are."""
    heads, low = lying.shown(places), lying.low
    for angle in TURNS:
        vectors = low.of(heads, angle)
        likeness = lying.likeness(vectors)
        best = np.argsort(-likeness, axis=1, kind="stable")[:, :2]
        first, second = np.take_along_axis(likeness, best, axis=1).T
        doubtful = second > first - _DOUBT
        for rank, asked in enumerate((np.ones(len(places), bool), doubtful)):
            laid_down = best[asked, rank].astype(np.uint8)
            score, other = index.search(low.laid(vectors[asked], laid_down), CANDIDATES + 1)
            way = _COMPOSED[laid_down, lying.ways[places[asked]]]
            turned = _HANDED[laid_down] * np.int32(angle)
            each = score.shape[1]
            place, way, turned = (one.repeat(each) for one in (places[asked], way, turned))
            yield place, other.ravel(), way, turned, score.ravel()


def _composed() -> UInt8[np.ndarray, "ways ways"]:
    """Return the way that laying down in one way, and then in another, comes to: [then, first]."""
    ways = np.arange(_WAYS, dtype=np.uint8)
    mark = np.arange(4, dtype=np.float32).reshape(1, 2, 2)
    once = laid(mark.repeat(_WAYS, 0), ways)
    twice = np.stack([laid(once, np.full(_WAYS, way)) for way in ways])
    return np.asarray((twice[:, :, None] == once).all(axis=(3, 4)).argmax(axis=2), np.uint8)


def _among(
    codes: Int64[np.ndarray, " c"], known: Int64[np.ndarray, " k"]
) -> Bool[np.ndarray, " c"]:
    """Tell which codes are among those that are known, which are sorted."""
    if not len(known):
        return np.zeros(len(codes), bool)
    at = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    return np.asarray(known[at] == codes)


_COMPOSED = _composed()
# What turns right turns left once it was mirrored.
_HANDED = np.array([1 - 2 * (way.bit_count() % 2) for way in range(_WAYS)], np.int32)
