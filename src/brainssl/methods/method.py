"""The contract of a self-supervised method."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from brainssl.encoders import Encoder


class Method(nn.Module, ABC):
    """An encoder, its heads and a loss; what happens after each optimiser step.

    Attributes:
        encoder: what pretraining is for, and all that outlives it.
        views: how many views of each image the loss takes.
    """

    views: int = 2

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    @abstractmethod
    def loss(self, views: list[Float[Tensor, "n 1 size size"]]) -> Float[Tensor, ""]:
        """Return the scalar loss of a batch, given `self.views` views of each image in [0, 1]."""

    def after_step(self, step: int, steps: int) -> None:
        """Do what follows the optimiser's step number `step` (from 1) of `steps`; here, nothing."""
