"""Two processes see what one would see, and give the gradients that one would give."""

from typing import Any

import pytest
import torch
from oracles.joint_batch import STEPS, judged, learn, weights

from brainssl.methods import METHODS
from brainssl.methods.gathering import gather, mean_over_ranks, ranks, share

Ranks = tuple[list[dict[str, Any]], list[tuple[int, int]]]


def test_one_process_keeps_what_it_has() -> None:
    rows = torch.randn(4, 3, requires_grad=True)
    assert ranks() == 1
    assert gather(rows) is rows
    assert share(rows) is rows
    mean = mean_over_ranks(rows)
    assert not mean.requires_grad
    assert torch.equal(mean, rows)


def test_every_rank_has_the_rows_of_all_in_their_order(two_ranks: Ranks) -> None:
    for result in two_ranks[0]:
        assert torch.equal(result["joint"], torch.arange(12.0).view(6, 2))


def test_a_row_gets_the_sum_of_what_all_ranks_give_it(two_ranks: Ranks) -> None:
    """Σ_r w_r is the gradient of a row where rank r's loss is Σ w_r · joint."""
    expected = (weights(0) + weights(1)).chunk(2)
    for result, rows in zip(two_ranks[0], expected, strict=True):
        torch.testing.assert_close(result["gradient"], rows)


def test_means_are_taken_over_ranks_without_gradient(two_ranks: Ranks) -> None:
    for result in two_ranks[0]:
        assert torch.equal(result["mean"], torch.tensor([1.5, 15.0]))
        assert not result["mean"].requires_grad


def test_gradients_are_those_of_one_process_on_the_joint_batch(two_ranks: Ranks) -> None:
    """SimCLR's loss, through BatchNorm; averaged by DistributedDataParallel."""
    alone = learn()
    assert max(float(g.abs().max()) for g in alone["gradients"][0].values()) > 0.1
    for result in two_ranks[0]:
        torch.testing.assert_close(result["losses"], alone["losses"], atol=1e-10, rtol=0)
        for step in range(STEPS):
            for name, gradient in alone["gradients"][step].items():
                torch.testing.assert_close(
                    result["gradients"][step][name], gradient, atol=1e-10, rtol=0, msg=name
                )


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_the_same_from_a_shared_batch(two_ranks: Ranks, name: str) -> None:
    """Negatives, keys, correlations and neighbours of all ranks; centre and statistics too."""
    alone = judged(name)
    results = [result["methods"][name] for result in two_ranks[0]]
    loss = (results[0]["loss"] + results[1]["loss"]) / 2
    torch.testing.assert_close(loss, alone["loss"], atol=0, rtol=1e-10)
    # Gradients of some losses are large.
    largest = max(float(gradient.abs().max()) for gradient in alone["gradients"].values())
    for result in results:
        torch.testing.assert_close(
            result["gradients"], alone["gradients"], atol=1e-10 * max(1, largest), rtol=0
        )
        torch.testing.assert_close(result["buffers"], alone["buffers"], atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", ["state", "answers"])
def test_ranks_stay_alike(two_ranks: Ranks, name: str) -> None:
    torch.testing.assert_close(two_ranks[0][0][name], two_ranks[0][1][name], atol=0, rtol=0)
