"""Folds: every image is tested once, by models that never saw its group; nothing else is lost."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles.manifests import build, manifests
from sklearn.model_selection import StratifiedGroupKFold

from brainssl.data.folds import Fold, leave_out, make_folds, split_name, values_of
from brainssl.data.split import PARTS, check_groups
from brainssl.foundation.errors import BrainsslError


def groups_of(manifest: pd.DataFrame, ids) -> set[int]:
    return set(manifest["group"][manifest["image_id"].isin(ids)])


def folds_of(manifest: pd.DataFrame, folds: int, **options):
    """Return the folds; of data that are too few for so many another example is tried."""
    assume(manifest[manifest["label"].notna()]["group"].nunique() >= folds)
    with suppress(BrainsslError):
        return make_folds(manifest, folds=folds, **options)
    return assume(False)


@settings(max_examples=40, deadline=None)
@given(manifests(), st.integers(2, 5), st.integers(0, 3), st.sampled_from(["grouped", "image"]))
def test_every_image_is_tested_once_and_its_group_seen_by_nothing(manifest, folds, seed, protocol):
    labelled = manifest[manifest["label"].notna()]
    splits = folds_of(manifest, folds, seed=seed, protocol=protocol)
    tested = [one for split in splits for one in split.test]
    assert sorted(tested) == sorted(labelled["image_id"])
    for split in splits:
        sets = [set(split.ids(part)) for part in (*PARTS, "unlabelled", "left_out")]
        assert sum(map(len, sets)) == len(set().union(*sets)) == len(manifest)
        if protocol == "grouped":
            seen = groups_of(manifest, [*split.train, *split.unlabelled, *split.val])
            assert not seen & groups_of(manifest, split.test)


@settings(max_examples=25, deadline=None)
@given(manifests(), st.integers(2, 5), st.floats(0.05, 0.5))
def test_no_image_validates_twice(manifest, folds, share):
    splits = folds_of(manifest, folds, val_fraction=share)
    validating = [one for split in splits for one in split.val]
    assert len(validating) == len(set(validating))
    for split, following in zip(splits, [*splits[1:], splits[0]], strict=True):
        assert set(split.val) <= set(following.test)


def test_a_planted_leak_is_refused():
    """A check of what the other tests rest on: it does see a group on both sides."""
    manifest = build(["a", "b"] * 10, np.arange(20) // 2)
    split, *_ = make_folds(manifest, folds=4)
    leaking = replace(split, train=split.train[1:], val=(*split.val, split.train[0]))
    with pytest.raises(BrainsslError, match="groups stand in train and in val"):
        check_groups(manifest, leaking)


def test_classes_and_their_groups_are_divided_better_than_by_scikit_learn():
    ours, reference = [], []
    for case in range(5):
        rng = np.random.default_rng(case)
        sizes = np.minimum(1 + rng.geometric(0.2, 80), 30)
        groups = np.repeat(np.arange(80), sizes)
        kinds = np.array([f"class {kind}" for kind in rng.integers(6, size=80)])[groups]
        manifest = build(list(kinds), groups)
        splits = make_folds(manifest, folds=5, seed=case)
        place = {one: n for n, split in enumerate(splits) for one in split.test}
        fold = manifest["image_id"].map(place).to_numpy()
        theirs = np.zeros(len(groups), int)
        kfold = StratifiedGroupKFold(5, shuffle=True, random_state=case)
        for n, (_, rows) in enumerate(kfold.split(kinds, kinds, groups)):
            theirs[rows] = n
        for found, misses in ((fold, ours), (theirs, reference)):
            images = pd.crosstab(kinds, found).to_numpy(float)
            whole = manifest.assign(fold=found).drop_duplicates("group")
            held = pd.crosstab(whole["label"], whole["fold"]).to_numpy(float)
            both = np.vstack([images, held])
            aim = both.sum(axis=1, keepdims=True) / 5
            misses.append(((both - aim) ** 2 / aim).sum())
    assert all(own < other for own, other in zip(ours, reference, strict=True))


def test_a_share_of_validation_that_few_groups_miss_is_said_of_each_fold():
    groups = np.repeat(np.arange(12), 10)
    manifest = build([f"class {group % 2}" for group in groups], groups)
    for split in make_folds(manifest, folds=3):
        share = round(100 * len(split.val) / len(manifest))
        assert share > 12
        (told,) = split.warnings
        assert told.startswith(f"The val set has {share} % of the images")
        assert "where 10 % were asked for" in told
    assert all(not s.warnings for s in make_folds(manifest, folds=3, protocol="image"))
    manifest["site"] = np.where(groups < 6, "here", "there")
    for split in leave_out(manifest, "site"):
        share = round(100 * len(split.val) / (len(split.val) + len(split.train)))
        assert share > 12
        assert split.warnings[0].startswith(f"The val set has {share} %")


def test_a_class_of_one_group_is_said():
    manifest = build(["a"] * 9 + ["b"] * 9 + ["rare"] * 3, [*range(18), 18, 18, 18])
    warnings = [warning for split in make_folds(manifest, folds=3) for warning in split.warnings]
    assert any("train set has no image of rare" in warning for warning in warnings)


@pytest.mark.parametrize("folds", [0, 1, 7])
def test_folds_that_cannot_be_made_are_refused(folds):
    with pytest.raises(BrainsslError, match="folds cannot be made of 6 groups"):
        make_folds(build(["a", "b"] * 6, np.arange(12) // 2), folds=folds)


def test_a_given_test_set_stays_one():
    manifest = build(["a", "b"] * 6, np.arange(12), ["test"] + [None] * 11)
    with pytest.raises(BrainsslError, match="gives a test set, which stays one: leave out --folds"):
        make_folds(manifest, folds=3)


def sites() -> pd.DataFrame:
    labels = ["a", "b"] * 12 + [None] * 3
    site = [*["north"] * 8, *["south"] * 8, *["west"] * 7, None, "north", "south", None]
    manifest = build(labels, [*(np.arange(24) // 2), 20, 21, 22])
    return manifest.assign(site=pd.Series(site, dtype=object))


def test_each_site_is_tested_by_models_that_saw_nothing_of_it():
    manifest = sites()
    manifest.loc[8, "group"] = manifest.loc[7, "group"]  # a patient who changed hospitals
    splits = leave_out(manifest, "site")
    names = values_of(manifest, "site")
    assert names == ["north", "south", "west"]
    site = manifest.set_index("image_id")["site"]
    for name, split in zip(names, splits, strict=True):
        assert set(site[list(split.test)]) == {name}
        assert len(split.test) == ((manifest["site"] == name) & manifest["label"].notna()).sum()
        seen = [*split.train, *split.val, *split.unlabelled]
        assert name not in set(site[seen].dropna())
        assert not groups_of(manifest, seen) & groups_of(manifest, split.test)
    tested = {one for split in splits for one in split.test}
    assert manifest["image_id"][23] not in tested, "nobody knows where that is from"
    assert manifest["image_id"][8] in splits[0].left_out


def test_a_column_that_cannot_be_left_out_is_refused():
    with pytest.raises(BrainsslError, match="the column site is not known"):
        leave_out(sites().drop(columns="site"), "site")
    with pytest.raises(BrainsslError, match="the column site has 1 values"):
        leave_out(sites().assign(site="north"), "site")


def test_names_of_files():
    assert split_name("grouped", None) == "grouped"
    assert split_name("grouped", Fold(1, 5)) == "grouped-k1of5"
    assert split_name("image", Fold(2, 3, "site of scan")) == "image-site_of_scan-2of3"


def test_classes_of_one_group_a_fold_leave_something_to_validate_with():
    """20 classes of 3 patients each, who have 5 slices."""
    groups = np.repeat(np.arange(60), 5)
    manifest = build([f"class {group % 20:02}" for group in groups], groups)
    for split in make_folds(manifest, folds=3):
        assert 20 <= len(split.val) <= 40
        assert len(split.test) == 100


def test_too_few_groups_to_validate_with_are_told():
    with pytest.raises(BrainsslError, match="3 folds leave too few groups to validate with"):
        make_folds(build(["a", "b", "c"], [0, 1, 2]), folds=3, val_fraction=0.01)
