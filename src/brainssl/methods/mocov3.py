"""MoCo v3 (Chen, Xie & He 2021, https://arxiv.org/abs/2104.02057)."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from brainssl.methods.gathering import gather, gather_numbers
from brainssl.methods.heads import mlp
from brainssl.methods.momentum import MomentumMethod
from brainssl.methods.simclr import no_negatives
from brainssl.models.encoder import Encoder
from brainssl.models.tokens import patch_projection
from brainssl.settings.methods import MoCoV3Settings


class MoCoV3(MomentumMethod):
    """A query of one view finds the key of the other among the keys of the whole batch."""

    settings_type = MoCoV3Settings

    def __init__(self, encoder: Encoder, chosen: MoCoV3Settings) -> None:
        hidden, out = chosen.hidden_dim, chosen.output_dim
        inner = [hidden] * (chosen.projector_layers - 1)
        patches = patch_projection(encoder.network) if chosen.freeze_patches else None
        if patches is not None:  # a random one suffices, and training is steadier (section 4.2)
            patches.requires_grad_(False)
        super().__init__(
            encoder, mlp(encoder.dim, *inner, out, last_norm=chosen.projector_norm), chosen
        )
        self.predictor = mlp(out, hidden, out) if chosen.predictor else nn.Identity()
        self.temperature, self.symmetric = chosen.temperature, chosen.symmetric
        self.scale = 2 * chosen.temperature if chosen.scaled else 1.0

    def embed(self, view: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n dim"]:
        """Return projections of the online network."""
        projected: Tensor = self.online(view)
        return projected

    def loss(self, views: list[Float[Tensor, "n 1 size size"]]) -> Float[Tensor, ""]:
        """Return InfoNCE(q₁, k₂) + InfoNCE(q₂, k₁), or its first half."""
        first, second = views
        loss = self._direction(first, second)
        if self.symmetric:
            loss = loss + self._direction(second, first)
        return self.scale * loss

    def _direction(
        self, query: Float[Tensor, "n 1 size size"], key: Float[Tensor, "n 1 size size"]
    ) -> Float[Tensor, ""]:
        with torch.no_grad():
            keys = self.teacher(key)
        queries = self.predictor(self.embed(query))
        pools = None if self.pools is None else gather_numbers(self.pools)
        return info_nce(gather(queries), gather(keys), temperature=self.temperature, pools=pools)


def info_nce(
    queries: Float[Tensor, "n dim"],
    keys: Float[Tensor, "n dim"],
    *,
    temperature: float,
    pools: Int64[Tensor, " n"] | None = None,
) -> Float[Tensor, ""]:
    """Return −log( exp(q·k⁺/τ) / Σ_k exp(q·k/τ) ), averaged over queries (the study's equation 21).

    Args:
        queries: of one view of each image; need not be normalised.
        keys: of the other view, in the same order; the other images' keys are the negatives.
        temperature: τ > 0.
        pools: a number of each image; keys of other images with the same number are left out of
            the sum over k. None: none are.

    Returns:
        A float32 scalar.
    """
    with torch.autocast(queries.device.type, enabled=False):
        q = functional.normalize(queries.float(), dim=1)
        k = functional.normalize(keys.float(), dim=1)
        own = torch.arange(len(q), device=q.device)
        similarity = q @ k.T / temperature
        if pools is not None:
            similarity = similarity.masked_fill(no_negatives(pools), -torch.inf)
        return functional.cross_entropy(similarity, own)
