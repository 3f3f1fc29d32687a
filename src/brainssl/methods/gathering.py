"""Batches that several processes share: each holds its part, and losses see the whole."""

from typing import Any

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, distributed


def ranks() -> int:
    """Return how many processes share each batch; 1 where no process group is initialised."""
    grouped = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if grouped else 1


def share(joint: Shaped[Tensor, "m ..."]) -> Shaped[Tensor, "n ..."]:
    """Return this rank's part of a joint batch: what `gather` puts together again.

    Args:
        joint: m = n · ranks rows, the same on every rank.
    """
    return joint if ranks() == 1 else joint.chunk(ranks())[distributed.get_rank()]


def gather(rows: Float[Tensor, "n dim"]) -> Float[Tensor, "m dim"]:
    """Return the rows of all ranks, in the order of the ranks; gradients flow to each rank's own.

    Every rank then computes the whole loss of the joint batch, so the gradient of a row is the sum
    of what all ranks' losses give it. DistributedDataParallel divides by the number of ranks: what
    remains is the gradient of one process on the joint batch.

    Args:
        rows: of this rank; every rank has the same number, as the training's batches see to.

    Returns:
        `rows` itself in a single process; else float32 of m = n · ranks rows.
    """
    if ranks() == 1:
        return rows
    # Sums in bfloat16 would lose digits of the gradient.
    joint: Tensor = _Gather.apply(rows.float())
    return joint


def gather_numbers(numbers: Int64[Tensor, " n"]) -> Int64[Tensor, " m"]:
    """Return whole numbers of all ranks, in the order in which `gather` puts their rows."""
    return numbers if ranks() == 1 else _of_all_ranks(numbers)


def mean_over_ranks(tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the mean of every rank's tensor, without gradient; in one process that is its own."""
    tensor = tensor.detach()
    if ranks() == 1:
        return tensor
    total = tensor.clone()
    distributed.all_reduce(total)
    return total / ranks()


def _of_all_ranks(own: Shaped[Tensor, "n ..."]) -> Shaped[Tensor, "m ..."]:
    own = own.contiguous()
    parts = [torch.empty_like(own) for _ in range(ranks())]
    distributed.all_gather(parts, own)
    return torch.cat(parts)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        return _of_all_ranks(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return share(total)
