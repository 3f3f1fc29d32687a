"""Batches of row numbers: the loader moves indices, the images stay where they are."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from brainssl.data.split import Indices


class ShuffledRows(Sampler[int]):
    """A new order every epoch that depends on the seed and the epoch alone.

    Hence a run that goes on after a kill sees the order that it would have seen.
    """

    def __init__(self, count: int, seed: int, passes: int = 1) -> None:
        self.count, self.seed, self.passes, self.epoch = count, seed, passes, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each one."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count * self.passes

    def __iter__(self) -> Iterator[int]:
        generator = seeded(self.seed, 0, self.epoch)
        for _ in range(self.passes):
            yield from torch.randperm(self.count, generator=generator).tolist()


def training_batches(
    rows: Indices, batch_size: int, seed: int, *, passes: int = 1
) -> DataLoader[Tensor]:
    """Yield shuffled batches of `rows`, all of one size; what is left over waits an epoch.

    An epoch goes through the rows `passes` times, in another order each time.

    A set smaller than a batch is one batch: BatchNorm and contrastive losses need company.
    """
    return DataLoader(
        torch.from_numpy(rows),  # type: ignore[arg-type]
        batch_size=min(batch_size, len(rows)),
        sampler=ShuffledRows(len(rows), seed, passes),
        drop_last=True,
    )


def plain_batches(rows: Indices, batch_size: int) -> DataLoader[Tensor]:
    """Yield batches of `rows` in their order, the last one shorter."""
    return DataLoader(torch.from_numpy(rows), batch_size=batch_size)  # type: ignore[arg-type]


def seeded(seed: int, *key: int) -> torch.Generator:
    """Return a CPU generator whose state is a function of the seed and a key of numbers.

    All are numbers from 0. NumPy's SeedSequence keeps neighbouring keys unrelated.
    """
    state = np.random.SeedSequence([seed, *key]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))
