"""NNCLR (Dwibedi et al. 2021, https://arxiv.org/abs/2104.14548)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from brainssl.methods.gathering import gather, gather_numbers
from brainssl.methods.heads import mlp
from brainssl.methods.method import Method
from brainssl.methods.mocov3 import info_nce
from brainssl.models.encoder import Encoder
from brainssl.settings.methods import NNCLRSettings


class NNCLR(Method):
    """The nearest neighbour of one view, among projections of late, attracts the other view."""

    settings_type = NNCLRSettings
    support: Tensor
    oldest: Tensor

    def __init__(self, encoder: Encoder, chosen: NNCLRSettings) -> None:
        super().__init__(encoder)
        hidden, out = chosen.hidden_dim, chosen.output_dim
        self.projector = mlp(encoder.dim, hidden, hidden, out, last_norm=True)
        self.predictor = mlp(out, hidden, out)
        self.temperature = chosen.temperature
        start = functional.normalize(torch.randn(chosen.support, out), dim=1)
        self.register_buffer("support", start)
        self.register_buffer("oldest", torch.zeros((), dtype=torch.long))
        self._newest = start[:0]

    def embed(self, view: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n dim"]:
        """Return projections."""
        projected: Tensor = self.projector(self.encoder(view))
        return projected

    def loss(self, views: list[Float[Tensor, "n 1 size size"]]) -> Float[Tensor, ""]:
        """Return InfoNCE of neighbours of one view and predictions from the other, both ways."""
        first, second = (self.embed(view) for view in views)
        loss = (self._direction(first, second) + self._direction(second, first)) / 2
        self._newest = gather(first.detach())
        return loss

    def after_step(self) -> None:
        """Remember the projections that the loss was about."""
        self._remember(self._newest)

    def _direction(
        self, neighboured: Float[Tensor, "n dim"], other: Float[Tensor, "n dim"]
    ) -> Float[Tensor, ""]:
        neighbours = nearest(gather(neighboured.detach()), self.support)
        predictions = gather(self.predictor(other))
        pools = None if self.pools is None else gather_numbers(self.pools)
        return info_nce(neighbours, predictions, temperature=self.temperature, pools=pools)

    @torch.no_grad()
    def _remember(self, projections: Float[Tensor, "n dim"]) -> None:
        """Put the newest projections in the place of the oldest."""
        newest = functional.normalize(projections.float(), dim=1)[-len(self.support) :]
        places = (self.oldest + torch.arange(len(newest), device=newest.device)) % len(self.support)
        self.support[places] = newest
        self.oldest.copy_((self.oldest + len(newest)) % len(self.support))


def nearest(
    projections: Float[Tensor, "n dim"], support: Float[Tensor, "m dim"]
) -> Float[Tensor, "n dim"]:
    """Return, for each projection, the unit vector of `support` with the largest cosine."""
    with torch.autocast(projections.device.type, enabled=False):
        similarity = functional.normalize(projections.float(), dim=1) @ support.T
        return support[similarity.argmax(dim=1)]
