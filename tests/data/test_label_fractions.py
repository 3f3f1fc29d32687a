"""Label fractions: nested, whole, stratified, and no class untaught."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles.manifests import build, manifests

from brainssl.data.label_fractions import LabelShare, label_subset
from brainssl.data.shots import Shots
from brainssl.data.split import Split, make_split
from brainssl.foundation.errors import BrainsslError

GIVEN = (None, None, None, "train", "test", "val")
FRACTIONS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.9, 1.0)


@settings(max_examples=25, deadline=None)
@given(manifests(givens=GIVEN), st.integers(0, 9), st.sampled_from(["grouped", "image", "paper"]))
def test_label_subsets_are_nested_whole_and_miss_no_class(manifest, seed, protocol):
    split = make_split(manifest, protocol=protocol)
    assume(split.train)
    train = split.indices(manifest, "train")
    subsets = [set(label_subset(manifest, split, f, seed=seed)) for f in FRACTIONS]
    for small_one, large_one in pairwise(subsets):
        assert small_one <= large_one
    assert subsets[-1] == set(train)
    labels, groups = manifest["label"], manifest["group"]
    largest = 1 if protocol != "grouped" else groups.iloc[train].value_counts().max()
    classes = labels.iloc[train].nunique()
    for fraction, rows in zip(FRACTIONS, subsets, strict=True):
        rows = sorted(rows)
        assert labels.iloc[rows].nunique() == classes
        assert len(rows) >= classes
        # As near as the next group allows, unless every class has but its first image.
        assert len(rows) == classes or abs(len(rows) - fraction * len(train)) <= largest / 2
        if protocol == "grouped":
            rest = sorted(set(train) - set(rows))
            parted = set(groups.iloc[rows]) & set(groups.iloc[rest])
            assert len(parted) <= classes


@pytest.mark.parametrize("protocol", ["grouped", "image"])
@pytest.mark.parametrize("seed", range(3))
def test_label_subsets_keep_the_proportions_of_the_classes(protocol, seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, 300)
    groups = np.repeat(np.arange(300), sizes)
    main = rng.choice(6, 300, p=[0.4, 0.2, 0.15, 0.1, 0.1, 0.05])[groups]
    kinds = np.where(rng.random(len(main)) < 0.8, main, rng.integers(6, size=len(main)))
    manifest = build([f"class {kind}" for kind in kinds], groups)
    split = make_split(manifest, protocol=protocol)
    train = split.indices(manifest, "train")
    for fraction in (0.1, 0.25, 0.5):
        rows = label_subset(manifest, split, fraction, seed=seed)
        aim = np.bincount(kinds[train]) * fraction
        slack = 1 + (0 if protocol == "image" else 4)
        assert abs(len(rows) - fraction * len(train)) <= (0.5 if protocol == "image" else 3)
        assert np.abs(np.bincount(kinds[rows], minlength=6) - aim).max() <= slack


def lopsided():
    """80 small groups of two classes, and a third class whose two groups have 60 images each."""
    groups = np.concatenate([np.repeat(np.arange(80), 6), np.repeat([80, 81], 60)])
    labels = np.array(["a", "b"])[groups % 2].astype(object)
    labels[groups >= 80] = "c"
    order = np.random.default_rng(0).permutation(len(groups))
    ids = tuple(f"{number:016x}" for number in range(len(groups)))
    return build(labels[order], groups[order]), Split("grouped", 0, ids, (), ())


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.25, 0.5])
def test_a_large_group_does_not_outweigh_all_others(fraction):
    """Whole, it would be a tenth of the images at any fraction."""
    manifest, split = lopsided()
    rows = label_subset(manifest, split, fraction)
    assert len(rows) == pytest.approx(600 * fraction, abs=3)
    shares = manifest["label"].iloc[rows].value_counts(normalize=True)
    assert shares.to_dict() == pytest.approx({"a": 0.4, "b": 0.4, "c": 0.2}, abs=0.1)


def test_whole_groups_are_taken_where_their_class_has_room_for_them():
    manifest, split = lopsided()
    for fraction in (0.1, 0.25, 0.5):
        chosen = manifest["group"].iloc[label_subset(manifest, split, fraction)].value_counts()
        small = chosen[chosen.index < 80]
        assert (small < 6).sum() <= 2, "only the first of a class may be begun"
    assert chosen[chosen.index >= 80].max() == 60


@settings(max_examples=25, deadline=None)
@given(manifests(givens=GIVEN), st.integers(0, 9), st.sampled_from(["grouped", "image"]))
def test_shots_are_so_many_of_each_class_from_as_many_groups_as_there_are(manifest, seed, protocol):
    split = make_split(manifest, protocol=protocol)
    assume(split.train)
    train = manifest.iloc[split.indices(manifest, "train")]
    subsets = [set(label_subset(manifest, split, f"{k}-shot", seed=seed)) for k in (1, 2, 5, 100)]
    for few, more in pairwise(subsets):
        assert few <= more
    assert subsets[-1] == set(split.indices(manifest, "train"))
    for k, rows in zip((1, 2, 5), subsets, strict=False):
        chosen = manifest.iloc[sorted(rows)]
        there = train.groupby("label").size()
        assert chosen.groupby("label").size().to_dict() == there.clip(upper=k).to_dict()
        if protocol == "grouped":
            groups = train.groupby("label")["group"].nunique().clip(upper=k)
            assert chosen.groupby("label")["group"].nunique().to_dict() == groups.to_dict()


def test_shots_differ_by_seed_and_take_no_group_twice_before_another():
    groups = np.repeat(np.arange(20), 10)
    manifest = build(np.array(["a", "b"])[groups % 2], groups)
    split = Split("grouped", 0, tuple(manifest["image_id"]), (), ())
    first, again, other = (label_subset(manifest, split, "15-shot", seed=s) for s in (0, 0, 1))
    assert (first == again).all()
    assert set(first) != set(other)
    assert np.bincount(groups[first]).tolist().count(2) == 10, "15 of 10 groups: 5 give a second"


def test_what_a_fraction_came_to_is_told_in_words_and_for_rows():
    share = LabelShare(asked=0.05, share=131 / 2520, images=131, groups=43)
    assert str(share) == "Asked 5 % of the labels, got 5.2 % (131 of 2,520 images, 43 groups)"
    assert LabelShare.of_row({"label_fraction": 0.05, **share.facts()}) == share
    assert LabelShare.of_row({"label_fraction": 0.05}) is None
    few = LabelShare(asked=Shots(8), share=0.05, images=136, groups=120)
    assert str(few).startswith("Asked 8 labels of each class, got 5.0 % (136 of 2,720 images")
    assert LabelShare.of_row({"label_fraction": "8-shot", **few.facts()}) == few


def test_label_subsets_differ_by_seed_alone():
    manifest = build(["a", "b"] * 100, np.arange(200))
    split = make_split(manifest)
    first = label_subset(manifest, split, 0.2, seed=0)
    assert (first == label_subset(manifest, split, 0.2, seed=0)).all()
    assert set(first) != set(label_subset(manifest, split, 0.2, seed=1))


@pytest.mark.parametrize(("fraction", "count"), [(0.07, 7), (0.1, 10), (0.29, 29), (0.57, 57)])
def test_a_fraction_of_hundred_images_is_its_percents(fraction, count):
    ids = [f"{number:016x}" for number in range(100)]
    split = Split("image", 0, tuple(ids), (), ())
    assert len(label_subset(build(["a", "b"] * 50, range(100)), split, fraction)) == count


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1, float("nan"), "half", "0-shot"])
def test_a_fraction_outside_of_its_range_is_refused(store, fraction):
    with pytest.raises(BrainsslError, match="above 0 and at most 1"):
        label_subset(store.manifest, make_split(store.manifest), fraction)
