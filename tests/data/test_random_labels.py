"""Random labels: of a group, not of an image; where they can be learnt, a split leaks."""

from pathlib import Path

import numpy as np
import pandas as pd

from brainssl.data.dataset import Data
from brainssl.data.prepare import write_store
from brainssl.data.random_labels import with_random_labels
from brainssl.data.split import Protocol, make_split
from brainssl.data.store import ImageStore

GROUPS, IMAGES = 120, 5


def copies(path: Path, seed: int = 0) -> ImageStore:
    """Return groups of five almost equal images of noise; labels that are not of the picture."""
    generator = np.random.default_rng(seed)
    centres = generator.integers(0, 246, (GROUPS, 1, 16, 16))
    images = centres + generator.integers(0, 10, (GROUPS, IMAGES, 16, 16))
    group = np.repeat(np.arange(GROUPS), IMAGES)
    labels = np.where(group % 10 == 9, None, np.where(group % 3 == 0, "B", "A"))
    ids = [f"{row:04d}" for row in range(GROUPS * IMAGES)]
    manifest = pd.DataFrame({"image_id": ids, "path": ids, "label": labels, "group": group})
    manifest = manifest.assign(patient=None, sequence=None, pixels=ids, flags="", given=None)
    flat = images.reshape(-1, 16, 16).astype(np.uint8)
    return write_store(path, manifest, iter(flat), size=16, facts={})


def split_of(store: ImageStore, protocol: Protocol) -> Data:
    split = make_split(
        store.manifest, protocol=protocol, seed=0, val_fraction=0.1, test_fraction=0.2
    )
    return Data(store, split)


def nearest_neighbour_accuracy(data: Data) -> float:
    rows = data.rows(1.0, 0)
    flat = data.store.images.reshape(len(data.store.images), -1).astype(np.float64)
    train, test = flat[rows["train"]], flat[rows["test"]]
    nearest = ((test[:, None] - train[None]) ** 2).sum(-1).argmin(1)
    labels = data.store.labels
    return float((labels[rows["train"]][nearest] == labels[rows["test"]]).mean())


def test_a_group_has_one_label_and_the_split_stays(tmp_path: Path) -> None:
    data = split_of(copies(tmp_path / "store"), "grouped")
    drawn = with_random_labels(data, seed=3)
    before, after = data.store.manifest["label"], drawn.store.manifest["label"]
    assert (after.isna() == before.isna()).all()
    assert drawn.store.manifest.groupby("group")["label"].nunique().max() == 1
    assert set(after.dropna()) == set(before.dropna())
    assert drawn.split == data.split
    assert 0.2 < (before == after)[before.notna()].mean() < 0.8
    again = with_random_labels(data, seed=3).store.manifest["label"]
    other = with_random_labels(data, seed=4).store.manifest["label"]
    assert after.equals(again)
    assert not after.equals(other)


def test_they_are_as_frequent_as_the_labels(tmp_path: Path) -> None:
    data = split_of(copies(tmp_path / "store"), "grouped")
    shares = [
        (with_random_labels(data, seed).store.manifest["label"].dropna() == "A").mean()
        for seed in range(60)
    ]
    truth = (data.store.manifest["label"].dropna() == "A").mean()
    assert abs(np.mean(shares) - truth) < 0.02


def test_they_are_learnt_where_groups_cross_the_split_alone(tmp_path: Path) -> None:
    """By image nearly every test image has a near-copy in training; grouped has none."""
    store = copies(tmp_path / "store")
    leaking = nearest_neighbour_accuracy(with_random_labels(split_of(store, "image"), 0))
    honest = nearest_neighbour_accuracy(with_random_labels(split_of(store, "grouped"), 0))
    assert leaking > 0.95
    assert honest < 0.75
