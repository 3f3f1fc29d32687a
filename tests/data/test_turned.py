"""Mirrored, turned, shifted and zoomed copies, against pictures turned by SciPy."""

import numpy as np
import pytest
from oracles.made_heads import head_of, prints_of
from scipy.fft import dctn
from scipy.ndimage import affine_transform, rotate

from brainssl.data import turned
from brainssl.data.duplicates import near_pairs
from brainssl.data.groups import group_slices
from brainssl.data.turned import TURNS, aligned_pairs, laid, turn


def turned_by(pixels: np.ndarray, degrees: float) -> np.ndarray:
    return rotate(pixels, degrees, reshape=False, order=1, cval=0.02)


def zoomed_and_shifted(pixels: np.ndarray) -> np.ndarray:
    """Turned by 8 degrees, a tenth larger, and moved to where a part of the head is cut."""
    c, s = np.cos(np.deg2rad(8)) / 1.1, np.sin(np.deg2rad(8)) / 1.1
    matrix, centre = np.array([[c, -s], [s, c]]), np.full(2, (len(pixels) - 1) / 2)
    offset = centre - matrix @ centre + [9, -5]
    return affine_transform(pixels, matrix, offset, order=1, mode="nearest")


CHANGES = {
    "mirrored": lambda p: p[:, ::-1],
    "upside down": lambda p: p[::-1],
    "a quarter turn": lambda p: np.rot90(p),
    "three quarter turns": lambda p: np.rot90(p, 3),
    "half a turn": lambda p: np.rot90(p, 2),
    "mirrored and a quarter turn": lambda p: np.rot90(p[:, ::-1]),
    "10 degrees": lambda p: turned_by(p, 10),
    "-15 degrees": lambda p: turned_by(p, -15),
    "mirrored, 7 degrees": lambda p: turned_by(p[:, ::-1], 7),
    "turned, zoomed, shifted, cut": zoomed_and_shifted,
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_near_duplicates_and_join_the_group_of_their_original(change) -> None:
    originals = [head_of(patient) for patient in range(12)]
    prints = prints_of(originals + [CHANGES[change](picture) for picture in originals])
    pairs = near_pairs(prints)
    near = pairs.near()
    linked = set(zip(near.left.tolist(), near.right.tolist(), strict=True))
    assert linked == {(patient, 12 + patient) for patient in range(12)}
    assert near.similarity.max() <= 1
    groups = group_slices([None] * 24, [str(n) for n in range(24)], pairs).group
    assert groups[12:].tolist() == groups[:12].tolist()


def test_other_heads_stay_strangers_however_they_are_turned() -> None:
    pictures = [head_of(patient) for patient in range(40)]
    assert len(near_pairs(prints_of(pictures)).near()) == 0


def test_a_head_of_zeros_is_like_no_other() -> None:
    heads = prints_of([head_of(0), head_of(1)])[:, 0]
    heads = np.concatenate([heads, np.zeros((3, 32, 32), np.float16)])
    left, right, similarity = aligned_pairs(heads, np.empty(0, np.int64))
    assert (right < 2).all()
    assert (left < right).all()
    assert np.isfinite(similarity).all()
    for few in (heads[:0], heads[:1], heads[2:]):
        assert len(aligned_pairs(few, np.empty(0, np.int64))[0]) == 0


def test_known_pairs_are_not_aligned_again() -> None:
    heads = prints_of([head_of(0), head_of(0)[:, ::-1]])[:, 0]
    assert len(aligned_pairs(heads, np.empty(0, np.int64))[0]) == 1
    assert len(aligned_pairs(heads, np.array([0 * 2 + 1]))[0]) == 0


WAYS = np.arange(8, dtype=np.uint8)


def transformed(pictures: np.ndarray) -> np.ndarray:
    """The coefficients that are searched, by SciPy."""
    u, v = np.mgrid[:32, :32]
    inside = ((u**2 + v**2 < turned._BANDWIDTH**2) & (u + v > 0)).ravel()
    found = dctn(pictures, axes=(1, 2), norm="ortho").reshape(len(pictures), -1)[:, inside]
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_probes_are_the_low_frequencies_of_turned_heads() -> None:
    heads = prints_of([head_of(patient) for patient in range(5)])[:, 0].astype(np.float32)
    low = turned._Frequencies()
    for angle in TURNS:
        expected = transformed(turn(heads, angle))
        assert (low.of(heads, angle) * expected).sum(axis=1).min() > 0.99


def test_the_eight_ways_are_those_of_numpy_and_their_frequencies_follow() -> None:
    heads = prints_of([head_of(0)] * 8)[:, 0].astype(np.float32)
    down = laid(heads, WAYS)
    one = heads[0]
    assert {way.tobytes() for way in down} == {
        np.rot90(side, quarter).tobytes() for side in (one, one.T) for quarter in range(4)
    }
    low = turned._Frequencies()
    np.testing.assert_allclose(low.laid(low.of(heads), WAYS), transformed(down), atol=1e-5)
    both = low.of(heads[:1]) @ low.all_ways(low.of(heads[:1]))
    expected = (transformed(heads[:1]) * transformed(down)).sum(axis=1)
    np.testing.assert_allclose(both[0], expected, atol=1e-5)


def test_two_ways_make_one_and_mirrored_turns_go_the_other_way() -> None:
    heads = prints_of([head_of(0)] * 8)[:, 0].astype(np.float32)
    for then in WAYS:
        twice = laid(laid(heads, WAYS), np.full(8, then))
        np.testing.assert_array_equal(twice, laid(heads, turned._COMPOSED[then, WAYS]))
        one = laid(turn(heads[:1], 10), then[None])
        other = turn(laid(heads[:1], then[None]), 10 * turned._HANDED[then])
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_copies_in_all_eight_ways_are_laid_down_alike() -> None:
    heads = prints_of([head_of(patient) for patient in range(6)])[:, 0].astype(np.float32)
    copies = np.concatenate([laid(heads, np.full(6, way)) for way in WAYS])
    lying = turned._Lying.of(copies.astype(np.float16), np.arange(48))
    shown = lying.shown(np.arange(48)).reshape(8, 6, 32, 32)
    np.testing.assert_array_equal(shown, np.broadcast_to(shown[0], shown.shape))


def test_nobody_need_be_in_doubt_about_how_a_head_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turned, "_DOUBT", -1.0)
    heads = prints_of([head_of(0), head_of(0)[:, ::-1]])[:, 0]
    assert len(aligned_pairs(heads, np.empty(0, np.int64))[0]) == 1
