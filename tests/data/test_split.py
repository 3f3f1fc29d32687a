"""Splits: no group crosses, nothing is lost, classes come as close as groups allow."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.assignment import absent_cells, all_fillings, chi_square
from oracles.manifests import build, manifests
from sklearn.model_selection import StratifiedGroupKFold

from brainssl.data import allotment
from brainssl.data.split import PARTS, Split, check_groups, make_split
from brainssl.foundation.errors import BrainsslError

SHARES = np.array([0.8, 0.1, 0.1])
SETS = (*PARTS, "unlabelled", "left_out")


def groups_of(manifest: pd.DataFrame, ids) -> set[int]:
    return set(manifest["group"][manifest["image_id"].isin(ids)])


def class_counts(manifest: pd.DataFrame, split: Split) -> np.ndarray:
    """(parts, classes)."""
    part = {one: name for name in PARTS for one in split.ids(name)}
    labelled = manifest[manifest["label"].notna()]
    table = pd.crosstab(labelled["image_id"].map(part).fillna("none"), labelled["label"])
    return table.reindex(PARTS, fill_value=0).to_numpy(float)


def assert_complete(manifest: pd.DataFrame, split: Split) -> None:
    every = [one for name in SETS for one in split.ids(name)]
    assert len(every) == len(set(every)), "an image stands in two sets"
    assert set(every) == set(manifest["image_id"]), "an image is lost"
    labelled = set(manifest["image_id"][manifest["label"].notna()])
    assert {one for name in PARTS for one in split.ids(name)} <= labelled
    assert not set(split.unlabelled) & labelled


GIVEN = (None, None, None, "train", "test", "val")


@settings(max_examples=80, deadline=None)
@given(manifests(givens=GIVEN), st.integers(0, 5))
def test_no_group_crosses_a_grouped_split(manifest, seed):
    split = make_split(manifest, seed=seed)
    assert_complete(manifest, split)
    train, val, test = (groups_of(manifest, split.ids(part)) for part in PARTS)
    seen_in_pretraining = train | groups_of(manifest, split.unlabelled)
    assert not seen_in_pretraining & test
    assert not seen_in_pretraining & val
    assert not val & test


@settings(max_examples=40, deadline=None)
@given(manifests(givens=GIVEN), st.sampled_from(["grouped", "image", "paper"]))
def test_a_given_test_set_stays_as_it_is(manifest, protocol):
    split = make_split(manifest, protocol=protocol)
    assert_complete(manifest, split)
    labelled = manifest[manifest["label"].notna()]
    for name in ("val", "test"):
        ids = labelled["image_id"][labelled["given"] == name]
        if len(ids):
            lost = set(ids) - set(split.ids(name))
            assert set(split.ids(name)) <= set(ids), "the given set took more"
            assert not lost or (name == "val" and protocol == "grouped")
            assert groups_of(manifest, lost) <= groups_of(manifest, split.test)
    held = manifest["image_id"][manifest["label"].isna() & manifest["given"].isin(["val", "test"])]
    assert not set(held) & set(split.unlabelled)


@settings(max_examples=40, deadline=None)
@given(manifests())
def test_images_are_left_out_only_where_a_later_set_needs_their_group(manifest):
    split = make_split(manifest)
    labelled = set(manifest["image_id"][manifest["label"].notna()])
    assert not set(split.left_out) & labelled
    held = groups_of(manifest, split.val) | groups_of(manifest, split.test)
    assert groups_of(manifest, split.left_out) <= held


def test_a_given_test_group_is_left_out_of_training_with_a_warning():
    manifest = build(
        ["a", "a", "b", "b", None, None] + ["a", "b"] * 10,
        [0, 0, 1, 1, 0, 2, *range(3, 23)],
        ["test", None, "test", None, None, "test"] + [None] * 20,
    )
    split = make_split(manifest)
    ids = manifest["image_id"].tolist()
    assert set(split.test) == {ids[0], ids[2]}
    assert set(split.left_out) == {ids[1], ids[3], ids[4], ids[5]}
    assert any("2 labelled images are left out" in warning for warning in split.warnings)


@settings(max_examples=60, deadline=None)
@given(manifests(max_groups=7))
def test_no_class_misses_a_part_that_need_not(manifest):
    """Against all 3 ** groups ways of dividing."""
    labelled = manifest[manifest["label"].notna()]
    counts = pd.crosstab(labelled["group"], labelled["label"]).to_numpy(float)
    found = class_counts(manifest, make_split(manifest))
    assert absent_cells(found) == absent_cells(all_fillings(counts)).min()


def test_a_class_that_dealing_misses_is_found_by_looking_at_all_ways():
    """Dealt one by one in 24 orders, these groups left the third class out of the test set."""
    counts = np.array(
        [
            [0, 1, 2, 1, 3],
            [1, 2, 0, 1, 1],
            [0, 0, 0, 2, 4],
            [1, 1, 1, 0, 1],
            [2, 1, 0, 1, 1],
            [0, 1, 0, 0, 0],
            [0, 1, 1, 3, 1],
        ]
    )
    group, kind = (np.repeat(at.ravel(), counts.ravel()) for at in np.indices(counts.shape))
    manifest = build([f"class {one}" for one in kind], group)
    assert absent_cells(class_counts(manifest, make_split(manifest))) == 0


def test_seeds_differ_where_a_class_must_miss_a_part():
    """A class of one group: no way of dividing gives it to all parts, and none is the only one."""
    kinds = ["a"] * 9 + ["b"] * 12 + ["c"] * 3
    manifest = build(kinds, [*np.arange(9) % 4, *np.arange(12) % 3 + 4, 7, 7, 7])
    fractions = {"val_fraction": 0.2, "test_fraction": 0.2}
    splits = [make_split(manifest, seed=seed, **fractions) for seed in range(6)]
    assert len({split.test for split in splits}) > 1


@pytest.mark.parametrize("goal", [(0.8, 0.1, 0.1), (0.7, 0.3, 0)])
def test_the_best_of_all_ways_is_the_best(goal):
    rng = np.random.default_rng(0)
    for _ in range(5):
        counts = rng.poisson(1, (6, 3)) + np.eye(6, 3, dtype=int)
        table = np.hstack([counts, counts > 0, counts.sum(axis=1, keepdims=True)]).astype(float)
        aim = np.array(goal)[:, None] * table.sum(axis=0)
        weights = np.repeat([1, 1, 0.05], [3, 3, 1])
        dealing = allotment._Dealing(table, 3, aim, np.maximum(aim, 1.0) / weights)
        found = dealing.best_of_all(np.random.default_rng(1))
        assert dealing.miss(found) == pytest.approx(
            min(
                dealing.miss(np.array(way))
                for way in itertools.product(np.flatnonzero(goal), repeat=6)
            )
        )
        assert set(found) <= set(np.flatnonzero(goal))


def miss(filled: np.ndarray, aim: np.ndarray) -> np.ndarray:
    sizes = chi_square(filled[..., -1:], aim[..., -1:])
    return chi_square(filled[..., :-1], aim[..., :-1]) + 0.05 * sizes


def test_few_groups_are_divided_as_well_as_they_can_be():
    """The best of all 3 ** groups ways is found nearly always, and nearly reached otherwise."""
    excess = []
    for case in range(60):
        rng = np.random.default_rng(case)
        groups = np.repeat(np.arange(rng.integers(3, 8)), 5)[rng.random() < 0.5 :]
        kinds = [f"class {kind}" for kind in rng.integers(2 + case % 3, size=len(groups))]
        manifest = build(kinds, groups)
        counts = pd.crosstab(manifest["group"], manifest["label"]).to_numpy(float)
        classes = counts.shape[1]
        both = np.hstack([counts, counts > 0, counts.sum(axis=1, keepdims=True)])
        split = make_split(manifest)
        part = manifest["image_id"].map({one: p for p in PARTS for one in split.ids(p)})
        of_group = part.groupby(manifest["group"]).first()
        found = np.stack([both[(of_group == name).to_numpy()].sum(axis=0) for name in PARTS])
        every = all_fillings(both)
        absent = absent_cells(every[..., :classes])
        every = every[absent == absent.min()]
        aim = SHARES[:, None] * both.sum(axis=0)
        # Images and groups of each class count alike, the sizes of the parts a twentieth of that.
        best = miss(every, aim).min()
        excess.append(miss(found, aim) / best - 1)
    assert np.mean(np.abs(excess) < 1e-9) > 0.95
    assert np.mean(excess) < 0.01


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 12), min_size=3, max_size=12), min_size=2, max_size=6),
    st.integers(0, 3),
)
def test_three_groups_of_a_class_are_enough_for_all_parts(sizes, seed):
    """Where no group spans classes, nothing stands against it."""
    labels, groups, number = [], [], 0
    for kind, of_class in enumerate(sizes):
        for size in of_class:
            labels += [f"class {kind}"] * size
            groups += [number] * size
            number += 1
    manifest = build(labels, groups)
    split = make_split(manifest, seed=seed)
    assert (class_counts(manifest, split) > 0).all()
    assert not any("has no image" in warning for warning in split.warnings)


def test_a_class_too_small_to_split_is_said():
    manifest = build(["a"] * 20 + ["b"] * 20 + ["rare"] * 5, [*range(40), *[40] * 5])
    warnings = make_split(manifest).warnings
    assert sum("rare" in warning for warning in warnings) == 2
    assert not any("has no image of a" in warning for warning in warnings)


@pytest.mark.parametrize(("sizes", "told"), [([25] * 8, True), ([5] * 40, False)])
def test_a_share_that_few_groups_miss_is_said(sizes: list[int], told: bool) -> None:
    """Eight groups have no tenth: one is 12.5 %, the least that validation can have."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    manifest = build([f"class {group % 2}" for group in groups], groups)
    split = make_split(manifest)
    assert len(split.val) / len(manifest) == (0.25 if told else 0.1)  # a group of each class
    own = [warning for warning in split.warnings if warning.startswith("The val set has 25 %")]
    assert len(own) == told
    if told:
        assert "where 10 % were asked for: groups are kept whole" in own[0]
        assert any(w.startswith("The test set has 25 %") for w in split.warnings)
    assert make_split(manifest, protocol="image").warnings == ()
    # Who asks for that much gets it without a word.
    assert make_split(manifest, val_fraction=0.25, test_fraction=0.25).warnings == ()


def test_of_a_given_test_set_no_share_is_said_and_that_of_validation_is_of_the_rest() -> None:
    groups = np.repeat(np.arange(12), 25)
    manifest = build([f"class {group % 2}" for group in groups], groups)
    manifest["given"] = pd.Series(np.where(groups < 4, "test", None), dtype=object)
    split = make_split(manifest)
    assert len(split.val) == 50
    assert [w.split(" of")[0] for w in split.warnings] == ["The val set has 25 %"]


def test_shares_are_closer_than_those_of_scikit_learn():
    """Folds 0 and 1 of a tenfold StratifiedGroupKFold are the reference for test and val."""
    ours, reference = [], []
    for case in range(8):
        rng = np.random.default_rng(case)
        count, classes = int(rng.integers(40, 120)), int(rng.integers(2, 17))
        sizes = np.minimum(1 + rng.geometric(0.25, count), 30)
        groups = np.repeat(np.arange(count), sizes)
        main = rng.integers(classes, size=count)[groups]
        kinds = np.where(rng.random(len(groups)) < 0.7, main, rng.integers(classes, size=len(main)))
        manifest = build([f"class {kind:02}" for kind in kinds], groups)
        present, dense = np.unique(kinds, return_inverse=True)
        aim = SHARES[:, None] * np.bincount(dense)
        found = class_counts(manifest, make_split(manifest, seed=case))
        ours.append(np.abs(found - aim).sum() / len(groups))
        assert np.abs(found.sum(axis=1) / len(groups) - SHARES).max() < 0.02
        folds = StratifiedGroupKFold(10, shuffle=True, random_state=case)
        held = [fold for _, (_, fold) in zip(range(2), folds.split(kinds, kinds, groups))]  # noqa: B905
        filled = [np.bincount(dense[fold], minlength=len(present)) for fold in held]
        filled = np.stack([np.bincount(dense) - sum(filled), *filled])
        reference.append(np.abs(filled - aim).sum() / len(groups))
        assert ours[-1] <= reference[-1] + 0.01
    assert np.mean(ours) < 0.6 * np.mean(reference)


@pytest.mark.parametrize("protocol", ["image", "paper"])
def test_a_split_by_image_is_exact_for_every_class(protocol):
    """The study's 10,625 images after balancing became 8,500, 1,062 and 1,063, in some order."""
    manifest = build([f"class {i % 17:02}" for i in range(10_625)], np.arange(10_625) // 3)
    split = make_split(manifest, protocol=protocol)
    assert sorted(len(split.ids(part)) for part in PARTS) == [1062, 1063, 8500]
    found = class_counts(manifest, split)
    assert np.abs(found - SHARES[:, None] * 625).max() <= 0.5
    assert groups_of(manifest, split.train) & groups_of(manifest, split.test)


@pytest.mark.parametrize(("val", "test"), [(0.2, 0.3), (0.05, 0.15)])
def test_other_shares(val, test):
    manifest = build(["a", "b"] * 100, np.arange(200))
    split = make_split(manifest, val_fraction=val, test_fraction=test)
    shares = [1 - val - test, val, test]
    assert [len(split.ids(part)) for part in PARTS] == pytest.approx(np.multiply(shares, 200))


def test_the_seed_decides_the_split_and_nothing_else_does(store):
    first, again = make_split(store.manifest, seed=3), make_split(store.manifest, seed=3)
    assert first == again
    assert first.test != make_split(store.manifest, seed=4).test
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - that the global one is left alone
    make_split(store.manifest)
    assert (state == np.random.get_state()[1]).all()  # noqa: NPY002


def test_one_class_cannot_be_learnt():
    for labels in ([None] * 4, ["a"] * 4):
        with pytest.raises(BrainsslError, match="two classes"):
            make_split(build(labels, range(4)))


@pytest.mark.parametrize(("val", "test"), [(0.5, 0.5), (0.9, 0.2), (-0.1, 0.1)])
def test_shares_that_leave_no_training_set_are_refused(store, val, test):
    with pytest.raises(BrainsslError, match="below 1"):
        make_split(store.manifest, val_fraction=val, test_fraction=test)


def test_a_given_test_set_may_be_all_there_is():
    manifest = build(["a", "b"], [0, 1], ["test", "test"])
    split = make_split(manifest)
    assert split.test == tuple(manifest["image_id"])
    assert split.train == ()


# Saving and loading


def small() -> Split:
    return Split("grouped", 1, ("a", "b"), ("c",), ("d",), ("e",), ("f",), ("a warning",))


def test_a_saved_split_comes_back(tmp_path, store):
    split = make_split(store.manifest, seed=2)
    split.save(tmp_path / "splits" / "grouped.json")
    loaded = Split.load(tmp_path / "splits" / "grouped.json")
    assert loaded == split
    assert loaded.digest == split.digest


def test_the_digest_knows_no_order_and_everything_else():
    split = small()
    content = vars(split)
    turned = {name: content[name][::-1] for name in SETS}
    assert Split("grouped", 1, **turned).digest == split.digest
    others = [
        Split("image", *[content[n] for n in ("seed", *SETS)]),
        Split("grouped", 2, *[content[n] for n in SETS]),
        Split("grouped", 1, ("a",), ("b", "c"), ("d",), ("e",), ("f",)),
        Split("grouped", 1, ("a", "b"), ("d",), ("c",), ("e",), ("f",)),
        Split("grouped", 1, ("a", "b", "e"), ("c",), ("d",), (), ("f",)),
        Split("grouped", 1, ("a", "b"), ("c",), ("d",), ("e", "f"), ()),
        Split("grouped", 1, ("a", "b", "b"), ("c",), ("d",), ("e",), ("f",)),
    ]
    digests = {other.digest for other in (split, *others)}
    assert len(digests) == 1 + len(others)


def altered(change) -> str:
    content = {"format": "brainssl-split", "version": 1, "protocol": "grouped", "seed": 1}
    content |= {name: list(small().ids(name)) for name in SETS}
    content |= {"digest": small().digest, "warnings": ["a warning"]}
    change(content)
    return json.dumps(content)


def test_the_file_that_the_alterations_start_from_is_sound(tmp_path):
    path = tmp_path / "split.json"
    path.write_text(altered(lambda _: None))
    assert Split.load(path) == small()


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["train"].append(c["test"].pop()),
        lambda c: c["train"].append("d"),
        lambda c: c["train"].pop(),
        lambda c: c["unlabelled"].append(c["left_out"].pop()),
        lambda c: c["left_out"].clear(),
        lambda c: c.update(protocol="image"),
        lambda c: c.update(seed=2),
        lambda c: c.update(digest="0" * 64),
        lambda c: c.update(val=None),
        lambda c: c.update(val=[3]),
        lambda c: c.pop("digest"),
        lambda c: c.pop("warnings"),
        lambda c: c.pop("test"),
    ],
)
def test_a_split_altered_by_hand_is_refused(tmp_path, change):
    path = tmp_path / "split.json"
    path.write_text(altered(change))
    with pytest.raises(BrainsslError, match=r"split\.json was altered"):
        Split.load(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "not a split"),
        ('{"format": "brainssl-store", "version": 1}', "not a split"),
        ('{"format": "brainssl-split", "version": 99}', "upgrade"),
        ('{"format": "brainssl-split"}', "altered"),
        ("{", "damaged"),
    ],
)
def test_what_is_no_split_is_refused(tmp_path, text, says):
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(BrainsslError, match=says):
        Split.load(path)


def test_another_split_is_never_overwritten(tmp_path, store):
    path = tmp_path / "split.json"
    first = make_split(store.manifest, seed=0)
    first.save(path)
    written = path.read_bytes()
    first.save(path)
    with pytest.raises(BrainsslError, match="holds another split"):
        make_split(store.manifest, seed=1).save(path)
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(BrainsslError, match="altered"):
        first.save(path)
    path.write_bytes(written)
    assert Split.load(path) == first


# Rows of a manifest


def test_rows_are_found_by_id_in_any_order(store):
    split = make_split(store.manifest)
    turned = store.manifest.iloc[::-1].reset_index(drop=True)
    for part in PARTS:
        rows = split.indices(turned, part)
        assert (np.diff(rows) > 0).all()
        assert rows.dtype == np.int64
        assert set(turned["image_id"].iloc[rows]) == set(split.ids(part))
    seen = set(turned["image_id"].iloc[split.pretraining(turned)])
    assert seen == set(split.train) | set(split.unlabelled)
    assert len(split.unlabelled) > 0


def test_another_store_is_refused(store):
    split = make_split(store.manifest)
    for part in ("train", "unlabelled"):
        manifest = store.manifest[~store.manifest["image_id"].isin(split.ids(part)[:1])]
        for use in (split.pretraining, lambda m: check_groups(m, split)):
            with pytest.raises(BrainsslError, match="not in this store"):
                use(manifest)


@pytest.mark.parametrize("sets", [("train", "val"), ("unlabelled", "test"), ("val", "test")])
def test_a_group_that_crosses_is_an_error(store, sets):
    split = make_split(store.manifest)
    one, other = sets
    ids = {name: split.ids(name) for name in SETS}
    group = store.manifest.set_index("image_id")["group"]
    moved = store.manifest.assign(
        group=np.where(
            store.manifest["image_id"] == ids[one][0],
            group[ids[other][0]],
            store.manifest["group"],
        )
    )
    check_groups(store.manifest, split)
    with pytest.raises(BrainsslError, match="a grouped split must keep every group"):
        check_groups(moved, split)
    check_groups(moved, Split("image", 0, **ids))
