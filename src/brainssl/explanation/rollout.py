"""Attention rollout: how much of each patch reaches the features, if attention alone moved it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from brainssl.foundation.errors import BrainsslError
from brainssl.models.encoder import Encoder
from brainssl.models.tokens import on_grid


def joined(
    attention: Float32[Tensor, "n heads t t"], before: Float32[Tensor, "n t t"] | None = None
) -> Float32[Tensor, "n t t"]:
    """Return the rollout up to a block: (A + 1)/2 · R, of R up to the block before.

    A is the mean over heads, 1 the skip connection. Each row says of which tokens of the input a
    token is made, and sums to 1.

    Source: Abnar and Zuidema, Quantifying Attention Flow in Transformers, ACL 2020, section 3.

    Args:
        attention: of each query (row) to each key, after its softmax.
        before: R; None of the first block.
    """
    mean = attention.mean(1)
    own = (mean + torch.eye(mean.shape[-1], device=mean.device)) / 2
    return own if before is None else own @ before


def has_attention(encoder: Encoder) -> bool:
    """Tell whether attention rollout is to be had: of a transformer that timm lets us look into."""
    return bool(_attentions(encoder.network)) and _pooling(encoder.network) in ("avg", "token")


class Rollout:
    """What the blocks of a network attended to in the run within `rolled_out`."""

    def __init__(self, encoder: Encoder) -> None:
        self.network = encoder.network
        self._all: Tensor | None = None

    def add(self, attention: Tensor) -> None:
        """Take in the attention of the next block."""
        self._all = joined(attention.detach().float(), self._all)

    def on_patches(self) -> Float32[Tensor, "n 1 rows columns"]:
        """Return of which patches the features are made: of the class token, or of the mean."""
        assert self._all is not None, "no run was watched"
        prefix = int(getattr(self.network, "num_prefix_tokens", 0))
        by_class_token = _pooling(self.network) == "token"
        pooled = self._all[:, 0] if by_class_token else self._all[:, prefix:].mean(1)
        return on_grid(self.network, pooled[..., None])


@contextmanager
def rolled_out(encoder: Encoder) -> Iterator[Rollout]:
    """Watch the attention of each block of a transformer while it runs; then leave it as it was.

    Attention that is computed in one step never exists as a matrix, so it is computed in plain
    steps here: features differ by rounding.

    Raises:
        BrainsslError: the network has none, or hides it.
    """
    if not has_attention(encoder):
        raise BrainsslError(
            f"attention rollout needs the attention of a transformer with average or class-token "
            f"pooling, which {encoder.name} does not show: leave rollout out of --maps"
        )
    found, layers = Rollout(encoder), _attentions(encoder.network)
    fused = [layer.fused_attn for layer in layers]

    def look(_layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        found.add(given[0])

    hooks = [layer.attn_drop.register_forward_pre_hook(look) for layer in layers]
    try:
        for layer in layers:
            layer.fused_attn = False
        yield found
    finally:
        for layer, own in zip(layers, fused, strict=True):
            layer.fused_attn = own
        for hook in hooks:
            hook.remove()


def _attentions(network: Any) -> list[Any]:
    """Return the attention of each block, first to last; none where a block shows none."""
    if not hasattr(network, "num_prefix_tokens"):
        return []
    layers = [getattr(block, "attn", None) for block in getattr(network, "blocks", ())]
    shown = [hasattr(layer, "fused_attn") and hasattr(layer, "attn_drop") for layer in layers]
    return layers if all(shown) else []


def _pooling(network: nn.Module) -> object:
    return getattr(network, "global_pool", None)
