"""Batches of row numbers: the loader moves indices, the images stay where they are."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from brainssl.data.indices import Indices
from brainssl.foundation.errors import BrainsslError
from brainssl.methods.gathering import share


class Batches(Sampler[Tensor]):
    """New batches every epoch that depend on the seed and the epoch alone.

    Hence a run that goes on after a kill sees the batches that it would have seen. Several
    processes form the same ones, and each takes its share of every one: no image is seen twice.

    Args:
        count: of rows; batches hold numbers below it.
        size: of each batch, over all processes.
        seed: of the order.
        passes: how often an epoch goes through the rows, in another order each time.
    """

    def __init__(self, count: int, size: int, seed: int, passes: int = 1) -> None:
        self.count, self.size, self.seed, self.passes, self.epoch = count, size, seed, passes, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each one."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count * self.passes // self.size

    def __iter__(self) -> Iterator[Int64[Tensor, " n"]]:
        for batch in self.joint(seeded(self.seed, 0, self.epoch)):
            yield share(batch)

    def joint(self, generator: torch.Generator) -> tuple[Int64[Tensor, " m"], ...]:
        """Return the batches of an epoch, before processes take their shares."""
        order = [torch.randperm(self.count, generator=generator) for _ in range(self.passes)]
        return torch.split(torch.cat(order), self.size)[: len(self)]


class OnePerGroup(Batches):
    """Batches none of which holds two rows of a group: they would be negatives of each other.

    Args:
        groups: the number of each row's group.
        size: of each batch.
        seed: of the order.
        passes: how often an epoch is formed.

    Raises:
        BrainsslError: there are fewer groups than a batch has rows.
    """

    def __init__(
        self, groups: Int64[np.ndarray, " count"], size: int, seed: int, passes: int = 1
    ) -> None:
        super().__init__(len(groups), size, seed, passes)
        _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        if len(sizes) < size:
            raise BrainsslError(
                f"{len(sizes)} groups do not fill a batch of {size} images, one of each: set "
                f"pretrain.batch_size to {len(sizes)} or less, or pretrain.one_per_group to false"
            )
        self.groups = torch.from_numpy(numbers)
        # A batch takes one row of a group at most, so large groups make for fewer batches.
        self.batches = next(
            batches
            for batches in range(self.count // size, 0, -1)
            if np.minimum(sizes, batches).sum() >= batches * size
        )

    def __len__(self) -> int:
        return self.batches * self.passes

    def joint(self, generator: torch.Generator) -> tuple[Int64[Tensor, " m"], ...]:
        """Deal the rows, group by group, to the batches in turn, like cards.

        Rows of a group lie side by side and are no more than there are batches: each goes to a
        batch of its own. A larger group gives as many rows as there are batches, others each epoch.
        """
        return tuple(batch for _ in range(self.passes) for batch in self._dealt(generator))

    def _dealt(self, generator: torch.Generator) -> list[Int64[Tensor, " m"]]:
        def shuffled(count: int) -> Tensor:
            return torch.randperm(count, generator=generator)

        rows = shuffled(self.count)
        turn = shuffled(int(self.groups.max()) + 1)[self.groups[rows]]
        turn, order = turn.sort(stable=True)
        rows = rows[order]
        # How many rows of the same group lie before each.
        before = torch.arange(self.count) - torch.searchsorted(turn, turn)
        rows = rows[before < self.batches]
        dealt = [rows[batch :: self.batches] for batch in shuffled(self.batches).tolist()]
        return [batch[shuffled(len(batch))[: self.size]] for batch in dealt]


class Balanced(Batches):
    """Batches in which every class comes equally often, give or take one image an epoch.

    An epoch has as many batches as without it: rows of rare classes are repeated, each as often as
    the others of its class, and rows of common ones wait for another epoch.

    Args:
        labels: the class of each row.
        size: of each batch.
        seed: of the order.
        passes: an epoch is as long as so many passes through the rows.
    """

    def __init__(
        self, labels: Int64[np.ndarray, " count"], size: int, seed: int, passes: int = 1
    ) -> None:
        super().__init__(len(labels), size, seed, passes)
        self.classes = [
            torch.from_numpy(np.flatnonzero(labels == label)) for label in np.unique(labels)
        ]

    def joint(self, generator: torch.Generator) -> tuple[Int64[Tensor, " m"], ...]:
        """Return the batches of an epoch, before processes take their shares."""

        def shuffled(rows: Tensor) -> Tensor:
            return rows[torch.randperm(len(rows), generator=generator)]

        total = len(self) * self.size
        share, rest = divmod(total, len(self.classes))
        drawn: list[Tensor] = []
        for place in torch.randperm(len(self.classes), generator=generator).tolist():
            rows, wanted = self.classes[place], share + (len(drawn) < rest)
            rounds = -(-wanted // len(rows))
            drawn.append(torch.cat([shuffled(rows) for _ in range(rounds)] or [rows])[:wanted])
        return torch.split(shuffled(torch.cat(drawn)), self.size)


def refuse_alone(rows: Indices) -> None:
    """Raise BrainsslError for fewer than two images."""
    if len(rows) < 2:
        raise BrainsslError(
            f"{len(rows)} image cannot be trained on: BatchNorm and contrastive losses need "
            "company; give two or more"
        )


def training_batches(
    rows: Indices,
    batch_size: int,
    seed: int,
    *,
    passes: int = 1,
    groups: Int64[np.ndarray, " n"] | None = None,
    balance: Int64[np.ndarray, " n"] | None = None,
) -> DataLoader[Tensor]:
    """Yield shuffled batches of `rows`, all of one size; what is left over waits an epoch.

    A set smaller than a batch is one batch: BatchNorm and contrastive losses need company.

    Args:
        rows: to draw from.
        batch_size: of all processes together; each gets its share.
        seed: of the order.
        passes: how often an epoch goes through the rows, in another order each time.
        groups: the group of each of `rows`; where given, no batch holds two images of a group.
        balance: the class of each of `rows`; where given (and not `groups`), all come equally
            often.

    Raises:
        BrainsslError: there are fewer groups than a batch has images.
    """
    size = min(batch_size, len(rows))
    batches = Batches(len(rows), size, seed, passes)
    if groups is not None:
        batches = OnePerGroup(groups, size, seed, passes)
    elif balance is not None:
        batches = Balanced(balance, size, seed, passes)
    # The sampler gives whole batches: the loader takes each at once, instead of row by row.
    return DataLoader(torch.from_numpy(rows), batch_size=None, sampler=batches)  # type: ignore[arg-type]


def plain_batches(rows: Indices, batch_size: int) -> DataLoader[Tensor]:
    """Yield batches of `rows` in their order, the last one shorter."""
    return DataLoader(torch.from_numpy(rows), batch_size=batch_size)  # type: ignore[arg-type]


def seeded(seed: int, *key: int) -> torch.Generator:
    """Return a CPU generator whose state is a function of the seed and a key of numbers.

    All are numbers from 0. NumPy's SeedSequence keeps neighbouring keys unrelated.
    """
    state = np.random.SeedSequence([seed, *key]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))
