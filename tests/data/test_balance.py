"""Balancing as the study did it: by augmented copies, before any split."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brainssl.data.balance import balance, copies_to_balance
from brainssl.data.duplicates import Pairs
from brainssl.data.leakage import Leakage
from brainssl.data.prepare import write_store
from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.views.recipes import augment_table2


def noisy(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return images // 2 + generator.integers(0, 100, images.shape, dtype=np.uint8)


@pytest.fixture
def uneven(store: ImageStore, tmp_path) -> ImageStore:
    """The shared store without most images of one class."""
    manifest = store.manifest
    rare = np.flatnonzero(manifest["label"] == "Normal T1")[4:]
    rows = np.setdiff1d(np.arange(len(manifest)), rare)
    kept = manifest.iloc[rows].reset_index(drop=True)
    return write_store(tmp_path / "uneven", kept, iter(store.images[rows]), size=32, facts={})


def with_given(store: ImageStore, path, rows: np.ndarray) -> ImageStore:
    given = pd.Series([None] * len(store.manifest), dtype=object)
    given[rows] = "test"
    manifest = store.manifest.assign(given=given)
    return write_store(path, manifest, iter(store.images), size=store.size, facts={})


def test_every_class_reaches_the_largest(uneven, tmp_path):
    before = uneven.manifest["label"].value_counts()
    assert before.min() == 4
    balanced = balance(uneven, tmp_path / "balanced", augment=noisy)
    after = balanced.manifest["label"].value_counts()
    assert (after == before.max()).all()
    assert balanced.classes == uneven.classes
    assert len(balanced.images) == len(balanced.manifest)


@pytest.mark.parametrize("reader", [1, 2])
def test_copies_are_of_the_version_of_their_originals(uneven, tmp_path, reader):
    told = replace(uneven, facts=uneven.facts | {"reader": reader})
    assert balance(told, tmp_path / "out", augment=noisy).reader == reader


def test_originals_come_first_and_unchanged(uneven, tmp_path):
    balanced = balance(uneven, tmp_path / "balanced", augment=noisy)
    count = len(uneven.manifest)
    assert (balanced.images[:count] == uneven.images).all()
    pd.testing.assert_frame_equal(balanced.manifest[:count], uneven.manifest)
    assert balanced.manifest["label"].isna().sum() == uneven.manifest["label"].isna().sum() > 0
    assert balanced.facts["balanced_from"] == uneven.checksum
    assert balanced.facts["originals"] == count


def test_a_copy_keeps_what_its_original_is(uneven, tmp_path):
    balanced = balance(uneven, tmp_path / "balanced", augment=noisy)
    manifest = balanced.manifest
    assert manifest["image_id"].is_unique
    copies = manifest[len(uneven.manifest) :]
    assert copies["label"].notna().all()
    originals = uneven.manifest.set_index("image_id").loc[copies["image_id"].str.split("+").str[0]]
    for column in ("label", "group", "patient", "sequence", "path"):
        assert copies[column].tolist() == originals[column].tolist()
    assert (copies["flags"] == "augmented copy").all()
    assert not manifest["flags"][: len(uneven.manifest)].str.contains("copy").any()


def test_the_pixels_of_a_copy_are_those_of_its_original_augmented(uneven, tmp_path):
    balanced = balance(uneven, tmp_path / "balanced", augment=lambda images, _: 255 - images)
    rows = {one: row for row, one in enumerate(uneven.manifest["image_id"])}
    copies = balanced.manifest["image_id"][len(uneven.manifest) :]
    for row, one in copies.items():
        assert (balanced.images[row] == 255 - uneven.images[rows[one.split("+")[0]]]).all()


def test_copies_of_one_image_differ(uneven, tmp_path):
    balanced = balance(uneven, tmp_path / "balanced", augment=augment_table2)
    copies = balanced.images[len(uneven.manifest) :]
    assert len({image.tobytes() for image in copies}) == len(copies)
    assert not {image.tobytes() for image in copies} & {image.tobytes() for image in uneven.images}


def test_each_original_is_copied_equally_often():
    manifest = pd.DataFrame({"label": ["a"] * 23 + ["b"] * 5 + [None] * 3, "given": None})
    rows = copies_to_balance(manifest, np.random.default_rng(0))
    assert rows.dtype == np.int64
    times = np.bincount(rows, minlength=31)
    assert times[:23].sum() == times[28:].sum() == 0
    assert sorted(times[23:28]) == [3, 3, 4, 4, 4]


def test_the_seed_decides(uneven, tmp_path):
    first, again, other = (
        balance(uneven, tmp_path / name, augment=augment_table2, seed=seed)
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert (first.images == again.images).all()
    assert first.manifest["image_id"].tolist() == again.manifest["image_id"].tolist()
    assert (first.images[-1] != other.images[-1]).any()


def test_a_given_test_set_is_neither_copied_nor_counted(uneven, tmp_path):
    labels = uneven.manifest["label"]
    test = np.concatenate([np.flatnonzero(labels == name)[:2] for name in uneven.classes])
    source = with_given(uneven, tmp_path / "given", test)
    balanced = balance(source, tmp_path / "balanced", augment=noisy)
    assert (balanced.manifest["given"] == "test").sum() == len(test)
    free = balanced.manifest[balanced.manifest["given"] != "test"]["label"].value_counts()
    assert free.nunique() == 1
    split = make_split(balanced.manifest, protocol="paper")
    assert set(split.test) == set(source.manifest["image_id"].iloc[test])


def test_a_class_that_stands_in_the_given_test_set_alone_gets_no_copies():
    manifest = pd.DataFrame({"label": ["a", "a", "b", "c"], "given": [None, None, None, "test"]})
    assert copies_to_balance(manifest, np.random.default_rng(0)).tolist() == [2]


def test_nothing_is_copied_where_nothing_is_labelled():
    manifest = pd.DataFrame({"label": [None, None], "given": [None, None]}, dtype=object)
    assert len(copies_to_balance(manifest, np.random.default_rng(0))) == 0


def test_a_split_by_image_puts_copies_of_one_original_on_both_sides(uneven, tmp_path):
    """The leak of the study, which the protocol `paper` is there to show."""
    balanced = balance(uneven, tmp_path / "balanced", augment=noisy)
    split = make_split(balanced.manifest, protocol="paper")
    originals = {part: {one.split("+")[0] for one in split.ids(part)} for part in ("train", "test")}
    assert originals["train"] & originals["test"]
    grouped = make_split(balanced.manifest, protocol="grouped")
    originals = {
        part: {one.split("+")[0] for one in grouped.ids(part)} for part in ("train", "test")
    }
    assert not originals["train"] & originals["test"]


def test_progress_counts_every_image(uneven, tmp_path):
    calls = []
    balanced = balance(
        uneven,
        tmp_path / "b",
        augment=noisy,
        progress=lambda done, total: calls.append((done, total)),
    )
    count = len(balanced.manifest)
    assert calls == [(number, count) for number in range(1, count + 1)]


def test_a_copy_is_a_near_duplicate_of_what_its_original_resembles(uneven, tmp_path):
    pairs = Pairs(np.array([0]), np.array([1]), np.array([0.9], np.float32))
    manifest, size = uneven.manifest, uneven.size
    near = write_store(
        tmp_path / "n", manifest, iter(uneven.images), size=size, facts={}, near=pairs
    )
    balanced = balance(near, tmp_path / "balanced", augment=noisy)
    assert (balanced.near.left.tolist(), balanced.near.right.tolist()) == ([0], [1])
    pixels = balanced.manifest["pixels"]
    copies = np.flatnonzero(pixels == pixels[0])
    seen = Leakage.of(balanced.manifest, balanced.near).seen(copies, np.array([1]))
    assert seen["near_duplicate"].tolist() == [True]
