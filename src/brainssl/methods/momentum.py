"""Momentum encoder (teacher): a slow copy of the online network."""

import copy
import math
from typing import ClassVar

import torch
from torch import nn

from brainssl.methods.method import Method, Moment
from brainssl.models.encoder import Encoder
from brainssl.settings.methods import MomentumSettings


class MomentumMethod(Method):
    """A method whose online encoder and projector have a teacher that follows them.

    Attributes:
        online: encoder and projector.
        teacher: their slow copy.
    """

    taught: ClassVar[int] = 2

    def __init__(self, encoder: Encoder, projector: nn.Module, chosen: MomentumSettings) -> None:
        super().__init__(encoder)
        self.online = nn.Sequential(encoder, projector)
        self.teacher = momentum_copy(self.online)
        self._settings = chosen

    def after_step(self) -> None:
        """Let the teacher follow."""
        start, _ = self._settings.resolved(self.moment.epoch_steps)["momentum"]
        follow(self.teacher, self.online, momentum_at(self.moment, start))


def momentum_copy(online: nn.Sequential) -> nn.Sequential:
    """Return a copy that no gradient reaches: it starts where the online network starts.

    Its BatchNorm statistics are its own: it stays in training mode and gathers them from what it
    sees, as in the original implementations of BYOL, MoCo v3 and DINO.
    """
    return copy.deepcopy(online).requires_grad_(False)


@torch.no_grad()
def follow(teacher: nn.Module, online: nn.Module, momentum: float) -> None:
    """Move each parameter of the teacher: ξ ← m ξ + (1 − m) θ (the study's equations 10, 17, 22).

    Args:
        teacher: a `momentum_copy` of `online`, changed in place; buffers stay.
        online: the network that learns by gradients.
        momentum: m, in [0, 1].
    """
    torch._foreach_lerp_(list(teacher.parameters()), list(online.parameters()), 1 - momentum)


def momentum_at(moment: Moment, start: float) -> float:
    """Return the momentum of a step: from `start` to 1 as half a cosine.

    m(k) = 1 − (1 − m₀)(cos(πk/K) + 1)/2 (Grill et al. 2020, section 3.3).
    """
    return 1 - (1 - start) * (math.cos(math.pi * moment.step / moment.steps) + 1) / 2
