"""Supervised contrastive learning (Khosla et al. 2020, https://arxiv.org/abs/2004.11362)."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from brainssl.methods.gathering import gather, gather_numbers
from brainssl.methods.simclr import SimCLR, no_negatives
from brainssl.settings.methods import SupConSettings


class SupCon(SimCLR):
    """SimCLR whose views of all images of one class attract, as far as labels may be used."""

    settings_type = SupConSettings

    def loss(self, views: list[Float[Tensor, "n 1 size size"]]) -> Float[Tensor, ""]:
        """Return the supervised contrastive loss over the projections of both views."""
        first, second = self.embed(torch.cat(views)).chunk(2)
        classes = torch.full((len(first),), -1) if self.classes is None else self.classes
        pools = None if self.pools is None else gather_numbers(self.pools)
        return supervised_contrastive(
            gather(first),
            gather(second),
            gather_numbers(classes.to(first.device)),
            temperature=self.temperature,
            pools=pools,
        )


def supervised_contrastive(
    first: Float[Tensor, "n dim"],
    second: Float[Tensor, "n dim"],
    classes: Int64[Tensor, " n"],
    *,
    temperature: float,
    pools: Int64[Tensor, " n"] | None = None,
) -> Float[Tensor, ""]:
    """Return L_out over 2n views (equation 2), averaged over views where the original sums.

    For each view i with positives P(i), the other views of images of its class:
    −1/|P(i)| Σ_{p∈P(i)} log( exp(s_ip/τ) / Σ_{k≠i} exp(s_ik/τ) ), s the cosine similarity.

    Args:
        first: projections of one view of each image; need not be normalised.
        second: projections of the other view, in the same order.
        classes: of each image; one of -1 is unknown, and the other view of it its one positive.
        temperature: τ > 0.
        pools: a number of each image; views of other images with the same number that are no
            positives are left out of the sum over k. None: none are.

    Returns:
        A float32 scalar whatever the autocast.
    """
    n = len(first)
    with torch.autocast(first.device.type, enabled=False):
        z = functional.normalize(torch.cat([first, second]).float(), dim=1)
        itself = torch.eye(2 * n, dtype=torch.bool, device=z.device)
        similarity = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
        alike = (classes[:, None] == classes[None]) & (classes[:, None] >= 0)
        positive = alike.fill_diagonal_(True).tile(2, 2) & ~itself
        if pools is not None:
            left_out = no_negatives(pools).tile(2, 2) & ~positive
            similarity = similarity.masked_fill(left_out, -torch.inf)
        found = similarity.log_softmax(dim=1).masked_fill(~positive, 0)
        return -(found.sum(dim=1) / positive.sum(dim=1)).mean()
