"""The contract of a self-supervised method."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Int64
from torch import Tensor, nn

from brainssl.models.encoder import Encoder
from brainssl.settings.methods import MethodSettings


@dataclass(frozen=True)
class Crop:
    """Which part of an image a view shows, and how large.

    Attributes:
        area: of the image, as a range of shares; None: what the recipe says.
        scale: side of the view over the side of the image.
    """

    area: tuple[float, float] | None = None
    scale: float = 1.0

    def side(self, image_size: int, patch: int = 1) -> int:
        """Return the side of the view in pixels: the nearest one of whole patches."""
        return max(1, round(image_size * self.scale / patch)) * patch


@dataclass(frozen=True)
class Moment:
    """Where a training stands: optimiser steps done, of how many, and how many an epoch has."""

    step: int = 0
    steps: int = 1
    epoch_steps: int = 1

    @property
    def epoch(self) -> float:
        """Epochs done."""
        return self.step / self.epoch_steps


class Method(nn.Module, ABC):
    """An encoder, its heads and a loss; what happens after each optimiser step.

    Attributes:
        settings_type: of the method's section of the settings.
        taught: how many views of an image a teacher looks at as well.
        encoder: what learns by gradients.
        moment: where the training stands; the training keeps it.
        pools: a number of each image of the batch: the second view of one may come from any other
            of the same number, so that they must not be negatives of each other. None where both
            views are of one image. The training keeps it.
        classes: the class of each image of the batch, -1 where its label is not used; None for
            methods that use none. The training keeps it.
    """

    settings_type: ClassVar[type[MethodSettings]]
    taught: ClassVar[int] = 0

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.moment = Moment()
        self.pools: Int64[Tensor, " n"] | None = None
        self.classes: Int64[Tensor, " n"] | None = None

    @classmethod
    def crops(cls, chosen: MethodSettings) -> tuple[Crop, ...]:
        """Return the views of each image that the loss takes, in their order."""
        del chosen
        return Crop(), Crop()

    @classmethod
    def cost(cls, chosen: MethodSettings) -> float:
        """Return how many forward and backward passes of a whole image one image costs.

        A forward pass alone, as the teacher's, costs about a third of both.
        """
        return sum(crop.scale**2 for crop in cls.crops(chosen)) + cls.taught / 3

    @property
    def trained(self) -> Encoder:
        """What pretraining is for, and all that outlives it."""
        return self.encoder

    @abstractmethod
    def loss(self, views: list[Float[Tensor, "n 1 _ _"]]) -> Float[Tensor, ""]:
        """Return the scalar loss of a batch, given the views of `crops`, in [0, 1]."""

    @abstractmethod
    def embed(self, view: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n dim"]:
        """Return what the loss compares for one view of each image: what may collapse."""

    def answers(self, view: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n k"] | None:
        """Return the teacher's probabilities, where a method has a teacher that gives some."""
        del view
        return None

    def after_backward(self) -> None:
        """Change gradients before they are clipped and used; here, nothing."""

    def after_step(self) -> None:
        """Do what follows the optimiser's step; here, nothing.

        All that a batch changes beside gradients changes here: with float16 a step may be skipped,
        and then this is not called.
        """
