import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, shift, zoom

from brainssl.data import duplicates, index
from brainssl.data.duplicates import (
    ALWAYS,
    NEAR,
    fingerprint,
    near_pairs,
    needed_similarity,
)
from brainssl.data.groups import group_slices


def slice_of(patient: int, position: float = 0.0, size: int = 128) -> np.ndarray:
    """A made-up head: an outline of its own, and folds that change slowly with `position`."""
    generator = np.random.default_rng(patient)
    first, second = gaussian_filter(generator.standard_normal((2, size, size)), (0, 5, 5))
    folds = np.cos(position) * first + np.sin(position) * second
    y, x = np.mgrid[:size, :size] / size - 0.5
    long, broad = generator.uniform(0.3, 0.4, 2)
    angle, waves = np.arctan2(y, x), np.arange(2, 5)
    phase = generator.uniform(0, 2 * np.pi, (3, 1, 1))
    outline = 1 + 0.08 * np.cos(waves[:, None, None] * angle + phase).sum(axis=0)
    inside = np.hypot(y / long, x / broad) < outline
    picture = np.where(inside, 0.5 + 0.2 * folds / folds.std(), 0.02)
    return np.clip(gaussian_filter(picture, 0.7), 0, 1).astype(np.float32)


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """The definition, computed directly: the larger correlation of the two frames."""
    left, right = (fingerprint(picture).astype(np.float64) for picture in (one, other))
    return max(float((left[frame] * right[frame]).sum()) for frame in range(2))


def jpeg(pixels: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(stream, "JPEG", quality=40)
    return np.asarray(Image.open(stream), np.float32) / 255


CHANGES = {
    "brighter": lambda p: np.clip(1.2 * p + 0.05, 0, 1),
    "gamma": lambda p: p**0.75,
    "jpeg": jpeg,
    "smaller": lambda p: np.clip(zoom(p, 0.6, order=1), 0, 1),
    "larger": lambda p: np.clip(zoom(p, 1.7, order=1), 0, 1),
    "cropped": lambda p: p[8:-8, 10:-10],
    "padded": lambda p: np.pad(p, ((5, 30), (40, 60)), constant_values=0.02),
    "shifted": lambda p: shift(p, (4, -5), order=0, cval=0.02),
    "shaded": lambda p: np.clip(p * np.linspace(0.8, 1.2, p.shape[1]), 0, 1),
    "noisy": lambda p: np.clip(p + np.random.default_rng(9).normal(0, 0.03, p.shape), 0, 1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_near_duplicates(change: str) -> None:
    found = [
        similarity(slice_of(patient), CHANGES[change](slice_of(patient)).astype(np.float32))
        for patient in range(8)
    ]
    assert min(found) > NEAR


def test_other_patients_are_not_near_duplicates() -> None:
    slices = [slice_of(patient) for patient in range(12)]
    found = [similarity(slices[a], slices[b]) for a in range(12) for b in range(a)]
    assert max(found) < needed_similarity(12)


def test_changed_copies_are_found_and_grouped_among_others() -> None:
    originals = [slice_of(patient) for patient in range(30)]
    copies = [change(originals[0]).astype(np.float32) for change in CHANGES.values()]
    prints = np.stack([fingerprint(picture) for picture in originals + copies])
    pairs = near_pairs(prints)
    groups = group_slices([None] * len(prints), [str(n) for n in range(len(prints))], pairs).group
    assert set(groups[30:]) == {groups[0]}
    assert groups[0] not in groups[1:30]
    assert len(set(groups[:30])) >= 28, "a false link wastes, but must stay rare"


def test_blank_slices_resemble_nothing() -> None:
    blank = fingerprint(np.full((40, 50), 0.3, np.float32))
    assert not blank.any()
    assert len(near_pairs(np.stack([blank, blank, fingerprint(slice_of(0))]))) == 0


def test_tiny_and_thin_slices_have_fingerprints() -> None:
    for shape in [(1, 1), (1, 40), (3, 2), (500, 3)]:
        pixels = np.random.default_rng(0).random(shape).astype(np.float32)
        assert np.isfinite(fingerprint(pixels)).all()


def random_prints(count: int, patients: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    anatomy = gaussian_filter(generator.standard_normal((patients, 2, 32, 32)), (0, 0, 2, 2))
    own = gaussian_filter(generator.standard_normal((count, 2, 32, 32)), (0, 0, 2, 2))
    flat = (anatomy[np.arange(count) % patients] + 0.4 * own).reshape(count, 2, -1)
    flat -= flat.mean(axis=2, keepdims=True)
    return (flat / np.linalg.norm(flat, axis=2, keepdims=True)).reshape(own.shape).astype("f2")


def test_pairs_are_those_of_an_exhaustive_comparison() -> None:
    prints = random_prints(300, 75)
    flat = prints.reshape(300, 2, -1).astype(np.float64)
    both = np.einsum("afd,bfd->abf", flat, flat).max(axis=2)
    left, right = np.nonzero(np.triu(both >= needed_similarity(300), 1))
    pairs = near_pairs(prints)
    assert list(zip(pairs.left, pairs.right, strict=True)) == list(zip(left, right, strict=True))
    np.testing.assert_allclose(pairs.similarity, both[left, right], atol=1e-4)
    assert len(left) > 300


def test_the_approximate_search_finds_nearly_all_and_the_same_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prints = random_prints(3000, 750)
    nothing = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    monkeypatch.setattr(duplicates, "aligned_pairs", lambda *_, **__: nothing)
    exact = near_pairs(prints)
    monkeypatch.setattr(index, "EXACT", 100)
    first, again = near_pairs(prints), near_pairs(prints)
    np.testing.assert_array_equal(first.left, again.left)
    np.testing.assert_array_equal(first.similarity, again.similarity)
    there = set(zip(exact.left, exact.right, strict=True))
    found = set(zip(first.left, first.right, strict=True))
    assert found <= there
    assert len(found) > 0.97 * len(there) > 0


def test_many_copies_do_not_hide_a_neighbour() -> None:
    one, near, other = slice_of(1), slice_of(1, 0.15), slice_of(2)
    prints = np.stack([fingerprint(p) for p in [one] * 60 + [near, other]])
    names = ["one"] * 30 + [f"saved again {n}" for n in range(30)] + ["near", "other"]
    groups = group_slices([None] * 62, names, near_pairs(prints)).group
    assert groups[:61].tolist() == [0] * 61
    assert groups[61] == 1


@pytest.mark.parametrize(("a", "b"), [(1, 1), (2, 3), (16, 4)])
def test_needed_similarity_follows_its_formula(a: int, b: int) -> None:
    assert needed_similarity(1000, a * b) == pytest.approx(0.56 + 0.015 * np.log2(1000 * a * b))
    assert needed_similarity(10**9, 10**9) == ALWAYS


def test_nothing_gives_nothing() -> None:
    assert len(near_pairs(np.empty((0, 2, 32, 32), np.float16))) == 0
    assert len(near_pairs(fingerprint(slice_of(0))[None])) == 0


@pytest.mark.parametrize("count", [1, 5, 100])
def test_each_pair_is_kept_once_with_its_larger_similarity(count: int) -> None:
    generator = np.random.default_rng(count)
    codes = generator.integers(count**2, size=3 * count)
    similarity = generator.random(len(codes)).astype(np.float32)
    largest: dict[int, float] = {}
    for code, alike in zip(codes.tolist(), similarity.tolist(), strict=True):
        largest[code] = max(alike, largest.get(code, -1))
    found, larger = duplicates._once(codes, similarity, count)
    assert dict(zip(found.tolist(), larger.tolist(), strict=True)) == largest
    assert found.tolist() == sorted(largest)


def test_equal_fingerprints_are_told_in_little_memory() -> None:
    flat = np.random.default_rng(0).standard_normal((1000, 2, 1024)).astype(np.float16)
    flat[600] = flat[3]
    tracemalloc.start()
    kept, owner = duplicates._distinct(flat)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sorted({*range(1000)} - set(kept.tolist())) == [600]
    assert (owner[600], owner[601]) == (3, 601)
    assert peak < 400 * len(flat), "a fingerprint has 4096 bytes"
