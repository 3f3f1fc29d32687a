"""BYOL (Grill et al. 2020, https://arxiv.org/abs/2006.07733)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from brainssl.methods.heads import mlp
from brainssl.methods.momentum import MomentumMethod
from brainssl.models.encoder import Encoder
from brainssl.settings.methods import BYOLSettings


class BYOL(MomentumMethod):
    """The online network predicts what a slow copy of it says of the other view; no negatives.

    What keeps it from the constant answer: the predictor, the stop-gradient and the slow copy.
    """

    settings_type = BYOLSettings

    def __init__(self, encoder: Encoder, chosen: BYOLSettings) -> None:
        hidden, out = chosen.hidden_dim, chosen.output_dim
        super().__init__(encoder, mlp(encoder.dim, hidden, out), chosen)
        self.predictor = mlp(out, hidden, out)
        self.normalise = chosen.normalise_projections

    def embed(self, view: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n dim"]:
        """Return projections of the online network."""
        projected: Tensor = self.online(view)
        return projected

    def predict(self, view: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n dim"]:
        """Return what the online network expects the teacher to say of the other view."""
        projected = self.embed(view)
        if self.normalise:
            projected = functional.normalize(projected.float(), dim=1)
        predicted: Tensor = self.predictor(projected)
        return predicted

    def loss(self, views: list[Float[Tensor, "n 1 size size"]]) -> Float[Tensor, ""]:
        """Return ℓ(v₁, v₂) + ℓ(v₂, v₁) (the study's equation 9)."""
        # Each view has a forward of its own: BatchNorm never mixes the two.
        first, second = views
        with torch.no_grad():
            target_first, target_second = self.teacher(first), self.teacher(second)
        return regression(self.predict(first), target_second) + regression(
            self.predict(second), target_first
        )


def regression(
    prediction: Float[Tensor, "n dim"], target: Float[Tensor, "n dim"]
) -> Float[Tensor, ""]:
    """Return the mean of ‖p̄ − z̄‖² = 2 − 2⟨p̄, z̄⟩ over unit vectors (the study's equation 8).

    Args:
        prediction: of the online network; gradients flow here alone.
        target: of the teacher for the other view.

    Returns:
        A float32 scalar in [0, 4].
    """
    with torch.autocast(prediction.device.type, enabled=False):
        cosine = functional.cosine_similarity(prediction.float(), target.detach().float(), dim=1)
        return (2 - 2 * cosine).mean()
