"""Copies that were mirrored, turned, shifted or zoomed: looked up in orientations, then aligned.

Each head is looked up among the others in sixteen orientations. The likeliest others are aligned
with it by the best turn, zoom and shift; what they have in common then is their similarity.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
from jaxtyping import Bool, Complex64, Float16, Float32, Int32, Int64, UInt8
from scipy.fft import idctn

from brainssl.data.fingerprint import SIDE
from brainssl.data.index import blocks, index_of

ORIENTATIONS = tuple(
    (angle, mirrored) for angle in (0, 90, 180, 270, -20, -10, 10, 20) for mirrored in (False, True)
)
"""Degrees, and whether mirrored, in which heads are looked up: the symmetries of the square and
small turns. Aligning bridges what lies between."""

CANDIDATES = 8
"""Others, each in its best orientation, that are aligned with an image."""

_BANDWIDTH = 9  # DCT coefficients below this radius are searched: 5 degrees change them little
_SEARCHED = 0.6  # their similarity from which two heads are aligned
_STEPS = 6
_HOPELESS = 0.6  # similarity below which, after two steps, the others are not taken
_ZOOM = 1.35  # a copy's head that differs by more was cut
_BATCH = 2048

_Heads = Float32[np.ndarray, "n side side"]
_Rows = Int64[np.ndarray, " c"]
_PLACES = (np.arange(SIDE) - (SIDE - 1) / 2).astype(np.float32)
# Places of pixels as x + iy from the centre: a turn, zoom and shift takes z to a·z + b.
_GRID = (_PLACES[None, :] + 1j * _PLACES[:, None]).astype(np.complex64).ravel()


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
    rows = np.arange(len(heads)) if rows is None else rows
    found = list(_candidates(heads, rows, known))
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    row, other, way = (np.concatenate(part) for part in zip(*found, strict=True))
    # Often each of two has found the other: they are aligned once.
    codes = np.minimum(row, other) * np.int64(len(rows)) + np.maximum(row, other)
    once = np.unique(codes, return_index=True)[1]
    angles, mirrors = (np.array(part) for part in zip(*ORIENTATIONS, strict=True))
    similarity = np.empty(len(once), np.float32)
    for start in range(0, len(once), 256):
        part = once[start : start + 256]
        moved, still = (heads[rows[one[part]]].astype(np.float32) for one in (row, other))
        moved = np.where(mirrors[way[part], None, None], moved[..., ::-1], moved)
        begin = angles[way[part]].astype(np.float32)
        similarity[start : start + 256] = aligned(still, moved, begin)
    return codes[once] // len(rows), codes[once] % len(rows), similarity


def _candidates(
    heads: Float16[np.ndarray, "n side side"],
    rows: _Rows,
    known: Int64[np.ndarray, " k"],
) -> Iterator[tuple[Int32[np.ndarray, " c"], Int32[np.ndarray, " c"], UInt8[np.ndarray, " c"]]]:
    """Yield places among rows, others that they resemble, and the orientation in which they do."""
    count = len(rows)
    probes = _probes()
    if not count:
        return
    index = index_of(count, partial(_upright, heads, rows, probes[0]))
    for part in blocks(count, _BATCH):
        some = heads[rows[part]]
        found = [index.search(_searched(some, probe), CANDIDATES + 1) for probe in probes]
        score, other = (np.stack(both) for both in zip(*found, strict=True))
        way, row, _ = np.indices(score.shape).reshape(3, -1)
        row, other, score = row + part.start, other.astype(np.int64).ravel(), score.ravel()
        code = np.minimum(row, other) * count + np.maximum(row, other)
        kept = np.flatnonzero((score >= _SEARCHED) & (other != row) & ~_among(code, known))
        kept = kept[np.argsort(-score[kept], kind="stable")]
        # The best orientation of each other, then the best others of each row.
        kept = kept[np.sort(np.unique(row[kept] * count + other[kept], return_index=True)[1])]
        kept = kept[np.argsort(row[kept], kind="stable")]
        rank = np.arange(len(kept)) - np.searchsorted(row[kept], row[kept])
        kept = kept[rank < CANDIDATES]
        yield row[kept].astype(np.int32), other[kept].astype(np.int32), way[kept].astype(np.uint8)


def _upright(
    heads: Float16[np.ndarray, "n side side"],
    rows: _Rows,
    probe: Float32[np.ndarray, "d k"],
    part: slice,
) -> Float32[np.ndarray, "b k"]:
    return _searched(heads[rows[part]], probe)


def _among(
    codes: Int64[np.ndarray, " c"], known: Int64[np.ndarray, " k"]
) -> Bool[np.ndarray, " c"]:
    """Tell which codes are among those that are known, which are sorted."""
    if not len(known):
        return np.zeros(len(codes), bool)
    at = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    return np.asarray(known[at] == codes)


def _probes() -> Float32[np.ndarray, "ways side*side k"]:
    """Return what a head is multiplied with for the low frequencies of each orientation of it.

    A coefficient of a turned picture is the product of the picture with a cosine turned back.
    """
    u, v = np.mgrid[:SIDE, :SIDE]
    radius = np.hypot(u, v).ravel()
    inside = np.flatnonzero((radius > 0) & (radius < _BANDWIDTH))
    basis = np.eye(SIDE * SIDE, dtype=np.float32)[inside].reshape(-1, SIDE, SIDE)
    cosines = idctn(basis, axes=(1, 2), norm="ortho")
    back = [(turn(cosines, -angle), mirrored) for angle, mirrored in ORIENTATIONS]
    both = [(one[..., ::-1] if mirrored else one) for one, mirrored in back]
    return np.stack([one.reshape(len(inside), -1).T for one in both])


def _searched(
    heads: Float16[np.ndarray, "n side side"], probe: Float32[np.ndarray, "d k"]
) -> Float32[np.ndarray, "n k"]:
    vectors = heads.reshape(len(heads), -1).astype(np.float32) @ probe
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.divide(vectors, norms, out=vectors, where=norms > 0)
    return np.asarray(vectors, np.float32)


def turn(heads: _Heads, angle: float) -> _Heads:
    """Return pictures turned clockwise by `angle` degrees, with nothing in the corners."""
    a = np.full(len(heads), np.exp(1j * np.deg2rad(-angle)), np.complex64)
    return _sampled(_framed(heads), a, np.zeros_like(a)).reshape(heads.shape)


def aligned(
    still: _Heads, moved: _Heads, angle: Float32[np.ndarray, " n"]
) -> Float32[np.ndarray, " n"]:
    """Return the similarity of pairs of heads after the best turn, zoom and shift of one of them.

    Gauss-Newton steps on the difference of the normalised pictures, in the inverse compositional
    form: the gradients are those of the picture that stays (Baker and Matthews 2004, section 3.2).

    Args:
        still: pictures of mean 0 and norm 1 that stay.
        moved: pictures that are turned onto them.
        angle: degrees, clockwise, to begin with.

    Returns:
        The largest correlation that a step reached, in [-1, 1].
    """
    steepest = _steepest(still)
    goal, framed = still.reshape(len(still), -1), _framed(moved)
    a = np.exp(-1j * np.deg2rad(angle)).astype(np.complex64)
    b = np.zeros_like(a)
    best = np.full(len(still), -1, np.float32)
    live = np.arange(len(still))
    for step in range(_STEPS):
        seen = _sampled(framed[live], a[live], b[live])
        seen -= seen.mean(axis=1, keepdims=True)
        seen /= np.linalg.norm(seen, axis=1, keepdims=True) + np.float32(1e-9)
        likeness = np.einsum("nd,nd->n", seen, goal[live])
        best[live] = np.maximum(best[live], likeness)
        going = likeness > (0.2 if step < 2 else _HOPELESS)
        live, excess = live[going], seen[going] / likeness[going, None] - goal[live[going]]
        move = np.clip(np.einsum("nkd,nd->kn", steepest[live], excess).T, -_LONGEST, _LONGEST)
        a[live] /= 1 + move[:, 0] + 1j * move[:, 1]
        b[live] -= a[live] * (move[:, 2] + 1j * move[:, 3])
        size = np.abs(a[live])
        live = live[(size < _ZOOM) & (size > 1 / _ZOOM)]
    return best


_LONGEST = np.array([0.15, 0.15, 2, 2], np.float32)  # of one step: share, radians, pixels, pixels


def _steepest(still: _Heads) -> Float32[np.ndarray, "n 4 d"]:
    """Return what turns a difference from each picture into zoom, turn and shift."""
    down, right = np.gradient(still, axis=(1, 2))
    gradient = (right + 1j * down).reshape(len(still), -1)
    around = gradient.conj() * _GRID
    slopes = np.stack([around.real, -around.imag, gradient.real, gradient.imag], axis=1)
    flat = still.reshape(len(still), -1)
    # What only brightens or stretches the picture is no movement.
    slopes -= slopes.mean(axis=2, keepdims=True)
    slopes -= np.einsum("nkd,nd->nk", slopes, flat)[..., None] * flat[:, None]
    curvature = slopes @ slopes.transpose(0, 2, 1)
    return np.asarray(np.linalg.pinv(curvature, hermitian=True) @ slopes, np.float32)


def _framed(heads: _Heads) -> Float32[np.ndarray, "n d"]:
    """Put two pixels of nothing around each picture: places outside read them."""
    return np.pad(heads, ((0, 0), (2, 2), (2, 2))).reshape(len(heads), -1)


def _sampled(
    framed: Float32[np.ndarray, "n d"],
    a: Complex64[np.ndarray, " n"],
    b: Complex64[np.ndarray, " n"],
) -> Float32[np.ndarray, "n pixels"]:
    """Read each picture at a·z + b for every place z, linearly between pixels."""
    wide = SIDE + 4
    places = a[:, None] * _GRID + b[:, None]
    x, y = (np.clip(part + (wide - 1) / 2, 0, wide - 2) for part in (places.real, places.imag))
    left, top = x.astype(np.int32), y.astype(np.int32)
    x, y = x - left, y - top
    at = top * wide + left + (np.arange(len(framed), dtype=np.int32) * wide**2)[:, None]
    flat = framed.ravel()
    above = flat[at] * (1 - x) + flat[at + 1] * x
    below = flat[at + wide] * (1 - x) + flat[at + wide + 1] * x
    return np.asarray(above + (below - above) * y, np.float32)
