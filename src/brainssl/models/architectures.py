"""Architectures of timm, laid out without their numbers, and which one tensors look like."""

import re
from collections.abc import Sequence
from functools import lru_cache

import timm
import torch
from torch import nn

from brainssl.models.checkpoints import Table, read_network

_MOST = 3  # names that are told
_FAMILY = 30  # relatives of the architecture that was named
_ALIKE = 0.5
# Those that published weights are mostly of, by family; to lay them all out takes seconds.
_USUAL = (
    ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2"),
    ("resnext50_32x4d", "resnet50d", "seresnet50", "resnetv2_50", "regnety_032"),
    ("densenet121", "densenet169", "vgg11", "vgg16", "vgg16_bn", "inception_v3"),
    ("efficientnet_b0", "tf_efficientnet_b0", "efficientnet_b3", "tf_efficientnet_lite0"),
    ("mobilenetv2_100", "mobilenetv3_large_100", "mobilenetv3_small_100"),
    ("convnext_tiny", "convnext_small", "convnext_base", "convnextv2_tiny"),
)


@lru_cache(maxsize=8)
def laid_out(name: str) -> nn.Module | None:
    """Return an architecture for one channel, without memory for its numbers where it allows that.

    Args:
        name: of the architecture in timm; nothing is fetched for any other.

    Returns:
        The network, to be looked at alone; None if timm knows none of that name.
    """
    if not timm.is_model(name):
        return None
    try:
        with torch.device("meta"):
            network: nn.Module = timm.create_model(name, in_chans=1, num_classes=0)
    except (NotImplementedError, RuntimeError, TypeError, ValueError):
        network = timm.create_model(name, in_chans=1, num_classes=0)
    return network


def likely_architectures(tables: Sequence[Table], named: str) -> tuple[bool, list[str]]:
    """Return timm's names of the networks that tensors are most like, by names and shapes.

    Args:
        tables: of a file.
        named: architecture that was asked for, of whose family more are tried.

    Returns:
        Whether they fit entirely, and at most three names; none where nothing is near.
    """
    family = re.match("[a-z]+", named)
    relatives = timm.list_models(f"{family[0]}*")[:_FAMILY] if family else []
    likeness: dict[str, tuple[bool, float]] = {}
    for names in (*_USUAL, relatives):
        likeness |= _likeness(tables, names)
        best = max(likeness.values(), default=(False, 0.0))
        if best[0]:
            break
    near = [name for name, rank in likeness.items() if rank == best and best[1] >= _ALIKE]
    return best[0], near[:_MOST]


def _likeness(tables: Sequence[Table], names: Sequence[str]) -> dict[str, tuple[bool, float]]:
    """Return for each architecture whether it fits, and what share of its tensors is there."""
    ranks = {}
    for name in names:
        try:
            with torch.device("meta"):
                network = timm.create_model(name, in_chans=1, num_classes=0)
        except (NotImplementedError, RuntimeError, TypeError, ValueError):
            continue  # it cannot be laid out without its numbers
        reading = read_network(tables, network)
        ranks[name] = reading.rank[:2] if reading else (False, 0.0)
    return ranks
