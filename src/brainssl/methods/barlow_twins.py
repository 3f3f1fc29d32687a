"""Barlow Twins (Zbontar et al. 2021, https://arxiv.org/abs/2103.03230)."""

import torch
from jaxtyping import Float
from torch import Tensor

from brainssl.methods.gathering import gather
from brainssl.methods.heads import mlp
from brainssl.methods.method import Method
from brainssl.models.encoder import Encoder
from brainssl.settings.methods import BarlowTwinsSettings


class BarlowTwins(Method):
    """Each dimension agrees over two views, and no two dimensions say the same."""

    settings_type = BarlowTwinsSettings

    def __init__(self, encoder: Encoder, chosen: BarlowTwinsSettings) -> None:
        super().__init__(encoder)
        self.projector = mlp(encoder.dim, chosen.hidden_dim, chosen.hidden_dim, chosen.output_dim)
        self.redundancy = chosen.redundancy

    def embed(self, view: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n dim"]:
        """Return projections."""
        projected: Tensor = self.projector(self.encoder(view))
        return projected

    def loss(self, views: list[Float[Tensor, "n 1 size size"]]) -> Float[Tensor, ""]:
        """Return the distance of the cross-correlation of both views from the identity."""
        first, second = (gather(self.embed(view)) for view in views)
        return redundancy_reduction(first, second, redundancy=self.redundancy)


def redundancy_reduction(
    first: Float[Tensor, "n dim"], second: Float[Tensor, "n dim"], *, redundancy: float
) -> Float[Tensor, ""]:
    """Return Σᵢ (1 − Cᵢᵢ)² + λ Σ_{i≠j} Cᵢⱼ² (equation 1).

    C is the cross-correlation over the batch of the two views' projections (equation 2).

    Args:
        first: projections of one view of each image.
        second: projections of the other view, in the same order.
        redundancy: λ > 0.

    Returns:
        A float32 scalar.
    """
    with torch.autocast(first.device.type, enabled=False):
        one, two = (_standardised(view.float()) for view in (first, second))
        correlation = one.T @ two / len(one)
        diagonal = correlation.diagonal()
        others = correlation.square().sum() - diagonal.square().sum()
        return (1 - diagonal).square().sum() + redundancy * others


def _standardised(rows: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
    return (rows - rows.mean(dim=0)) / (rows.var(dim=0, correction=0) + 1e-5).sqrt()
