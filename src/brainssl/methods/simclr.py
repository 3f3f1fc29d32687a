"""SimCLR (Chen et al. 2020, https://arxiv.org/abs/2002.05709)."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from brainssl.methods.gathering import gather, gather_numbers
from brainssl.methods.heads import mlp
from brainssl.methods.method import Method
from brainssl.models.encoder import Encoder
from brainssl.settings.methods import SimCLRSettings


class SimCLR(Method):
    """Two views of one image attract; views of all other images of the batch repel."""

    settings_type = SimCLRSettings

    def __init__(self, encoder: Encoder, chosen: SimCLRSettings) -> None:
        super().__init__(encoder)
        self.projector = mlp(
            encoder.dim, chosen.hidden_dim, chosen.output_dim, norm=chosen.projector_norm
        )
        self.temperature = chosen.temperature

    def embed(self, view: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n dim"]:
        """Return projections."""
        projected: Tensor = self.projector(self.encoder(view))
        return projected

    def loss(self, views: list[Float[Tensor, "n 1 size size"]]) -> Float[Tensor, ""]:
        """Return NT-Xent over the projections of both views."""
        # One forward over both views: BatchNorm sees 2n images, as in the original.
        first, second = self.embed(torch.cat(views)).chunk(2)
        pools = None if self.pools is None else gather_numbers(self.pools)
        return nt_xent(gather(first), gather(second), temperature=self.temperature, pools=pools)


def nt_xent(
    first: Float[Tensor, "n dim"],
    second: Float[Tensor, "n dim"],
    *,
    temperature: float,
    pools: Int64[Tensor, " n"] | None = None,
) -> Float[Tensor, ""]:
    """Return the normalised temperature-scaled cross-entropy over 2n views.

    For each view i with partner j(i): −log( exp(s_ij/τ) / Σ_{k≠i} exp(s_ik/τ) ), s the cosine
    similarity, averaged over all 2n views (the study's section 3.5.2, matrix form).

    Args:
        first: projections of one view of each image; need not be normalised.
        second: projections of the other view, in the same order.
        temperature: τ > 0.
        pools: a number of each image; views of other images with the same number are left out of
            the sum over k. None: none are.

    Returns:
        A float32 scalar whatever the autocast: at τ = 0.1 bf16 would keep two digits of s/τ.
    """
    n = len(first)
    with torch.autocast(first.device.type, enabled=False):
        z = functional.normalize(torch.cat([first, second]).float(), dim=1)
        similarity = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
        partner = torch.arange(2 * n, device=z.device).roll(n)
        if pools is not None:
            similarity = similarity.masked_fill(no_negatives(pools).tile(2, 2), -torch.inf)
        return functional.cross_entropy(similarity, partner)


def no_negatives(pools: Int64[Tensor, " n"]) -> Bool[Tensor, "n n"]:
    """Tell which images of a batch are no negatives of each other: different ones of one pool."""
    alike = pools[:, None] == pools[None]
    return alike.fill_diagonal_(False)
