"""Projectors and predictors: small networks that pretraining needs and then throws away.

The loss invites the last layers to forget what it does not need, so the encoder stops before them
(Chen et al. 2020, section 4.2).
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def mlp(
    *widths: int,
    norm: bool = True,
    last_norm: bool = False,
    activation: type[nn.Module] = nn.ReLU,
    last: type[nn.Linear] = nn.Linear,
) -> nn.Sequential:
    """Linear layers of the given widths with an activation between them.

    Args:
        widths: of the input, of each hidden layer and of the output.
        norm: BatchNorm before each activation.
        last_norm: BatchNorm without scale and shift after the last layer, as MoCo v3's projector
            on a ResNet has it: it centres the output and gives every dimension the same spread.
        activation: between the layers.
        last: the kind of the last layer.
    """
    layers: list[nn.Module] = []
    for width, following in pairwise(widths[:-1]):
        layers.append(nn.Linear(width, following, bias=not norm))
        if norm:
            layers.append(nn.BatchNorm1d(following))
        layers.append(activation())
    layers.append(last(widths[-2], widths[-1], bias=not last_norm))
    if last_norm:
        layers.append(nn.BatchNorm1d(widths[-1], affine=False))
    return nn.Sequential(*layers)


class ExactLinear(nn.Linear):
    """A linear layer in float32 whatever the autocast.

    For a last layer whose output is divided by a small temperature: a cast after it would keep the
    rounding.
    """

    def forward(self, features: Float[Tensor, "n dim"]) -> Float[Tensor, "n out"]:
        """Return the affine map of each feature vector, in float32."""
        with torch.autocast(features.device.type, enabled=False):
            return functional.linear(features.float(), self.weight, self.bias)


class Prototypes(nn.Module):
    """Cosine similarity of features to unit vectors that are learnt.

    DINO's last layer: weight-normalised with its norm fixed at 1, after an ℓ2-normalised bottleneck
    (Caron et al. 2021, appendix C). In float32: a temperature of 0.04 magnifies rounding 25 times.
    """

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, dim))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, features: Float[Tensor, "n dim"]) -> Float[Tensor, "n count"]:
        """Return the cosine of each feature vector with each prototype."""
        with torch.autocast(features.device.type, enabled=False):
            unit = functional.normalize(features.float(), dim=1)
            return functional.linear(unit, functional.normalize(self.weight, dim=1))
