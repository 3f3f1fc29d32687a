"""Order of samples: seeded by epoch, never repeating within one."""

import numpy as np

from brainssl.training.batches import ShuffledRows, plain_batches, seeded, training_batches


def order(epoch: int, seed: int = 0, count: int = 50) -> list[int]:
    rows = ShuffledRows(count, seed)
    rows.set_epoch(epoch)
    return list(rows)


def test_each_epoch_is_a_permutation_of_its_own() -> None:
    assert sorted(order(3)) == list(range(50))
    assert order(3) != order(4)
    assert order(3) == order(3)
    assert order(3) != order(3, seed=1)


def test_training_batches_are_whole_and_hold_no_row_twice() -> None:
    rows = np.arange(100, 150, dtype=np.int64)
    batches = [batch.tolist() for batch in training_batches(rows, 16, seed=0)]
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


def test_plain_batches_keep_everything_in_order() -> None:
    rows = np.array([7, 3, 9, 1, 5], np.int64)
    assert [b.tolist() for b in plain_batches(rows, 2)] == [[7, 3], [9, 1], [5]]


def test_neighbouring_keys_give_unrelated_generators() -> None:
    first = {int(seeded(0, 1, step).initial_seed()) for step in range(1000)}
    second = {int(seeded(1, 1, step).initial_seed()) for step in range(1000)}
    third = {int(seeded(0, 2, step).initial_seed()) for step in range(1000)}
    assert len(first | second | third) == 3000
