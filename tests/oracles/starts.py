"""Weights of other starts without a network: drawn from a seed of their own, whatever is asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from brainssl.models.encoder import Encoder, build_encoder

_PLACES = ("studies.steps", "training.pretrain", "training.untrained")


def built(name: str, *, weights: str = "random", seed: int, **what: Any) -> Encoder:
    """Build an encoder whose weights are those of the start alone, unless they are drawn."""
    own = seed if weights == "random" else 100 + len(weights)
    return build_encoder(name, weights="random", seed=own, **what)


@contextmanager
def any_start() -> Iterator[None]:
    """Let a study begin with whatever weights it names."""
    with pytest.MonkeyPatch.context() as patch:
        for place in _PLACES:
            patch.setattr(f"brainssl.{place}.build_encoder", built)
        yield
