"""Processes that work together; how one fails, `test_trainer.py` shows."""

import os
from typing import Any

import torch


def test_ranks_form_a_group_and_are_heard(
    two_ranks: tuple[list[dict[str, Any]], list[tuple[int, int]]],
) -> None:
    assert sorted(two_ranks[1]) == [(0, 2), (1, 2)]
    assert not torch.distributed.is_initialized()
    assert "LOCAL_RANK" not in os.environ
