"""What was said of images without label comes back as it was written; the choice is even."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainssl.errors import BrainsslError
from brainssl.evaluation.unlabelled import Unlabelled, evenly


def test_a_file_holds_everything(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    said = Unlabelled(tuple("abcde"), np.array([3, 3, 1, 2, 1]), logits, ("A T1", "é", "logit:x"))
    said.save(tmp_path / "said.parquet")
    read = Unlabelled.load(tmp_path / "said.parquet")
    assert (read.image_ids, read.classes) == (said.image_ids, said.classes)
    assert np.array_equal(read.groups, said.groups)
    assert np.array_equal(read.logits, logits)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "said.parquet").write_bytes(b"nonsense")
    for name in ("said.parquet", "none.parquet"):
        with pytest.raises(BrainsslError, match=f"{name} is missing or damaged"):
            Unlabelled.load(tmp_path / name)


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
