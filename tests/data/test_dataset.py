"""A store and its split: rows of a part from all groups in turn."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainssl.data.dataset import Data, evenly
from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError


def test_some_rows_of_a_part_come_from_all_its_groups(shared_store: ImageStore) -> None:
    split = make_split(shared_store.manifest, val_fraction=0.2, test_fraction=0.3)
    data = Data(shared_store, split)
    groups = shared_store.manifest["group"].to_numpy()
    everyone = split.indices(shared_store.manifest, "test")
    rows = data.sample("test", 6, 0)
    assert set(rows) <= set(everyone)
    assert (np.diff(rows) > 0).all()
    assert len(set(groups[rows])) == min(6, len(set(groups[everyone])))
    assert list(rows) == list(data.sample("test", 6, 0))
    assert set(data.sample("test", 1000, 0)) == set(everyone)


def test_facts_say_by_which_version_the_images_were_read(shared_store: ImageStore) -> None:
    split = make_split(shared_store.manifest)
    assert Data(shared_store, split).facts()["reader"] == 1
    newer = replace(shared_store, facts=shared_store.facts | {"reader": 2})
    assert Data(newer, split).facts()["reader"] == 2


@given(st.lists(st.integers(0, 6), max_size=60), st.integers(1, 40))
def test_groups_give_in_turn(groups: list[int], most: int) -> None:
    kept = evenly(groups, most)
    assert len(kept) == min(most, len(groups))
    assert (np.diff(kept) > 0).all()
    taken = np.bincount(np.array(groups, int)[kept], minlength=7)
    there = np.bincount(np.array(groups, int), minlength=7)
    fullest = taken.max(initial=0)
    # Whoever gave less than another by more than one has nothing left.
    assert all(t >= fullest - 1 or t == n for t, n in zip(taken, there, strict=True))


def test_what_a_label_fraction_came_to_is_counted(shared_store: ImageStore) -> None:
    data = Data(shared_store, make_split(shared_store.manifest))
    train = data.rows(0.3, 0)["train"]
    share = data.labelled(0.3, train)
    assert (share.asked, share.images) == (0.3, len(train))
    assert share.share == len(train) / len(data.split.train)
    assert share.groups == len(set(shared_store.manifest["group"].iloc[train]))


def test_an_encoder_that_has_seen_more_labels_is_refused(shared_store: ImageStore) -> None:
    data = Data(shared_store, make_split(shared_store.manifest))
    taught = data.facts() | {"label_fraction": 0.5, "seed": 3}
    for fraction, seed in ((0.5, 3), (0.8, 3), (1.0, 0)):
        data.refuse_more_labels(taught, fraction, seed)
    for fraction, seed in ((0.2, 3), (0.5, 4), ("1-shot", 3)):
        with pytest.raises(BrainsslError, match=r"--label-fraction 0\.5 and --seed 3"):
            data.refuse_more_labels(taught, fraction, seed)
    # Without labels, or on another split that a user vouches for, nothing is known to be seen.
    data.refuse_more_labels(data.facts() | {"seed": 3}, 0.2, 3)
    data.refuse_more_labels(taught | {"split_digest": "another"}, 0.2, 3)
