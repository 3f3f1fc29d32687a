"""Order of samples: seeded by epoch, never repeating within one, one image of a group a batch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from jaxtyping import Int64

from brainssl.foundation.errors import BrainsslError
from brainssl.methods import gathering
from brainssl.training.batches import (
    Balanced,
    Batches,
    OnePerGroup,
    plain_batches,
    seeded,
    training_batches,
)

Groups = Int64[np.ndarray, " n"]


def epoch_of(batches: Batches, epoch: int) -> list[list[int]]:
    batches.set_epoch(epoch)
    return [batch.tolist() for batch in batches]


def order(epoch: int, seed: int = 0, count: int = 50) -> list[int]:
    return [row for batch in epoch_of(Batches(count, 1, seed), epoch) for row in batch]


def test_each_epoch_is_a_permutation_of_its_own() -> None:
    assert sorted(order(3)) == list(range(50))
    assert order(3) != order(4)
    assert order(3) == order(3)
    assert order(3) != order(3, seed=1)


def test_training_batches_are_whole_and_hold_no_row_twice() -> None:
    rows = np.arange(100, 150, dtype=np.int64)
    loader = training_batches(rows, 16, seed=0)
    batches = [batch.tolist() for batch in loader]
    assert len(loader) == 3
    assert [len(batch) for batch in batches] == [16, 16, 16]
    seen = [row for batch in batches for row in batch]
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(rows.tolist())


def test_a_small_set_is_one_batch() -> None:
    batches = list(training_batches(np.arange(5, dtype=np.int64), 32, seed=0))
    assert [len(batch) for batch in batches] == [5]


def test_passes_go_through_all_rows_equally_often() -> None:
    batches = list(training_batches(np.arange(8, dtype=np.int64), 4, seed=0, passes=3))
    first, second = (np.concatenate(batches[i : i + 2]) for i in (0, 2))
    assert len(batches) == 6
    assert sorted(first) == sorted(second) == list(range(8))
    assert first.tolist() != second.tolist()


def test_ranks_share_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = Batches(20, 6, seed=0)
    joint = epoch_of(batches, 1)
    monkeypatch.setattr(gathering, "ranks", lambda: 2)
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        shares.append(epoch_of(batches, 1))
    assert [len(batch) for batch in shares[0]] == [3, 3, 3]
    assert [one + two for one, two in zip(*shares, strict=True)] == joint


@st.composite
def cases(draw: st.DrawFn) -> tuple[Groups, int]:
    """Groups of one to thirty rows, in any order, and a size that they can fill."""
    sizes = draw(st.lists(st.integers(1, 6) | st.integers(1, 30), min_size=1, max_size=12))
    numbers = draw(st.permutations(range(100, 100 + len(sizes))))
    groups = draw(st.permutations(np.repeat(numbers, sizes).tolist()))
    return np.array(groups, np.int64), draw(st.integers(1, len(sizes)))


@given(cases(), st.integers(0, 2**40), st.integers(0, 1000))
@examples(deadline=None)
def test_batches_are_full_and_hold_one_row_of_a_group(
    case: tuple[Groups, int], seed: int, epoch: int
) -> None:
    groups, size = case
    batches = OnePerGroup(groups, size, seed)
    joint = epoch_of(batches, epoch)
    assert len(joint) == len(batches) >= 1
    for batch in joint:
        assert len(batch) == size
        assert len(set(groups[batch])) == size
    seen = [row for batch in joint for row in batch]
    assert len(set(seen)) == len(seen)
    assert epoch_of(OnePerGroup(groups, size, seed), epoch) == joint


@given(cases())
@examples(deadline=None)
def test_there_are_as_many_batches_as_the_groups_can_fill(case: tuple[Groups, int]) -> None:
    """One more would need a row that no group can give: each gives one to a batch at most."""
    groups, size = case
    batches = len(OnePerGroup(groups, size, 0))
    _, sizes = np.unique(groups, return_counts=True)
    possible = [b for b in range(1, len(groups) + 1) if np.minimum(sizes, b).sum() >= b * size]
    assert batches == max(possible)


@given(cases(), st.integers(0, 100))
@examples(deadline=None, max_examples=20)
def test_every_row_has_its_turn(case: tuple[Groups, int], seed: int) -> None:
    groups, size = case
    batches = OnePerGroup(groups, size, seed)
    waiting = set(range(len(groups)))
    # A row is left out at most with the chance 1 − (1/30)(1/12), and seldom so: 10,000 epochs are
    # a bound on how long one waits, not what is usual.
    for epoch in range(10_000):
        waiting -= {row for batch in epoch_of(batches, epoch) for row in batch}
        if not waiting:
            return
    raise AssertionError(f"{sorted(waiting)} are never seen")


def test_equal_groups_leave_nothing_out() -> None:
    groups = np.repeat(np.arange(12), 4)
    joint = epoch_of(OnePerGroup(groups, 6, 0), 0)
    assert sorted(row for batch in joint for row in batch) == list(range(48))


def test_grouped_batches_change_with_epoch_seed_and_pass() -> None:
    groups = np.repeat(np.arange(20), 3)
    first = epoch_of(OnePerGroup(groups, 8, 0), 0)
    others = [
        epoch_of(OnePerGroup(groups, 8, 0), 1),
        epoch_of(OnePerGroup(groups, 8, 1), 0),
        epoch_of(OnePerGroup(groups, 8, 0, passes=2), 0)[len(first) :],
    ]
    for other in others:
        assert len(other) == len(first)
        assert sorted(map(sorted, other)) != sorted(map(sorted, first))


def test_pairs_meet_about_equally_often() -> None:
    """Whose company a row has is chance: no two groups go together."""
    groups = np.repeat(np.arange(8), 2)
    batches = OnePerGroup(groups, 4, 0)
    together = np.zeros((8, 8))
    for epoch in range(600):
        for batch in epoch_of(batches, epoch):
            together[np.ix_(groups[batch], groups[batch])] += 1
    # Four batches an epoch; two given groups share 4 · (4 · 3)/(8 · 7) of them on average.
    expected = 600 * 4 * 12 / 56
    assert together[~np.eye(8, dtype=bool)] == pytest.approx(expected, rel=0.25)


def test_too_few_groups_are_refused_with_a_size_that_would_do() -> None:
    rows, groups = np.arange(30, dtype=np.int64), np.repeat(np.arange(5), 6)
    with pytest.raises(BrainsslError, match=r"5 groups .* 8 images.*pretrain.batch_size to 5"):
        training_batches(rows, 8, 0, groups=groups)
    loader = training_batches(rows + 100, 5, 0, groups=groups)
    assert [sorted(groups[batch.numpy() - 100]) for batch in loader] == [[0, 1, 2, 3, 4]] * 6


def test_plain_batches_keep_everything_in_order() -> None:
    rows = np.array([7, 3, 9, 1, 5], np.int64)
    assert [b.tolist() for b in plain_batches(rows, 2)] == [[7, 3], [9, 1], [5]]


def test_neighbouring_keys_give_unrelated_generators() -> None:
    first = {int(seeded(0, 1, step).initial_seed()) for step in range(1000)}
    second = {int(seeded(1, 1, step).initial_seed()) for step in range(1000)}
    third = {int(seeded(0, 2, step).initial_seed()) for step in range(1000)}
    assert len(first | second | third) == 3000


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 16), st.integers(1, 3))
@examples(max_examples=60, deadline=None)
def test_balanced_batches_hold_every_class_equally_often(
    sizes: list[int], size: int, passes: int
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    size = min(size, len(labels))
    batches = Balanced(labels, size, seed=0, passes=passes)
    drawn = epoch_of(batches, 1)
    assert [len(batch) for batch in drawn] == [size] * len(Batches(len(labels), size, 0, passes))
    rows = np.concatenate(drawn)
    classes = np.bincount(labels[rows], minlength=len(sizes))
    assert classes.max() - classes.min() <= 1
    for label in range(len(sizes)):  # within a class, no image twice before all others once
        times = np.bincount(rows, minlength=len(labels))[labels == label]
        assert times.max() - times.min() <= 1
    assert epoch_of(batches, 1) == drawn


def test_balanced_batches_differ_by_epoch() -> None:
    batches = Balanced(np.repeat([0, 1], [30, 10]), 8, seed=0)
    assert epoch_of(batches, 0) != epoch_of(batches, 1)
