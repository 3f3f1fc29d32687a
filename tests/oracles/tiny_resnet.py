"""A ResNet of a few kilobytes, under a name of timm's, for files that are kept with the tests."""

import inspect
from typing import Any

from timm.models import register_model
from timm.models.resnet import BasicBlock, ResNet


@register_model
def tiny_resnet(pretrained: bool = False, **own: Any) -> ResNet:
    """Return it with random weights."""
    assert not pretrained
    taken = inspect.signature(ResNet).parameters
    own = {name: value for name, value in own.items() if name in taken}
    return ResNet(BasicBlock, layers=(1, 1, 1, 1), channels=(4, 8, 8, 16), **own)
