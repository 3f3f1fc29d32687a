"""Vision transformers: how timm builds one for a size, and where its tokens lie in the image."""

import inspect
import math
from typing import Any, Literal

import timm
from jaxtyping import Float
from torch import Tensor, nn

from brainssl.foundation.errors import BrainsslError

Pool = Literal["auto", "avg", "token"]

_LEAST = 16  # pixels of the smallest encoder.image_size


def build_network(
    name: str, *, image_size: int, pool: Pool = "auto"
) -> tuple[nn.Module, dict[str, Any]]:
    """Make timm's network for one channel, without a classifier, as a side in pixels asks for.

    A network that can is built such that it takes images of other sides, too, as a student's local
    crops are: its position embeddings are then resampled (bicubic). A CNN is built as it is.

    Args:
        name: of the architecture in timm.
        image_size: side of the images in pixels.
        pool: `avg` (of the patch tokens, or of the feature map), `token` (the class token), or
            `auto`: what timm has for the architecture.

    Returns:
        The network, and the arguments that `timm.create_model` needs beside its name, channels and
        classes to build it again.

    Raises:
        BrainsslError: the side is no multiple of the patch, or there is no class token to take.
        RuntimeError: timm has no such architecture.
    """
    plain: dict[str, Any] = {"in_chans": 1, "num_classes": 0}
    arguments: dict[str, Any] = {"img_size": image_size, "dynamic_img_size": True}
    try:
        network = timm.create_model(name, **plain, **arguments)
    except TypeError:  # it has no such arguments; nothing was drawn yet
        arguments = {}
        network = timm.create_model(name, **plain)
        if _is_for_another(network, image_size):
            arguments = {"img_size": image_size}
            network = timm.create_model(name, **plain, **arguments)
    _refuse_part_of_a_patch(name, image_size, patch_side(network))
    if pool != "auto":
        arguments |= _pooled(network, name, pool)
    return network, arguments


def _is_for_another(network: Any, size: int) -> bool:
    embed = getattr(network, "patch_embed", None)
    strict = getattr(embed, "strict_img_size", False)
    return strict and getattr(embed, "img_size", None) not in (None, (size, size))


def _refuse_part_of_a_patch(name: str, size: int, patch: int) -> None:
    if size % patch:
        least = max(size // patch, -(-_LEAST // patch)) * patch
        raise BrainsslError(
            f"encoder.image_size: {name} sees patches of {patch} px, and {size} is no multiple of "
            f"that: set it to {least} or {least + patch}"
        )


def _pooled(network: Any, name: str, pool: Pool) -> dict[str, Any]:
    """Let a network pool so, and return the arguments that say it."""
    if pool == "token" and getattr(network, "cls_token", None) is None:
        raise BrainsslError(f"encoder.pool: {name} has no class token: set it to auto or avg")
    network.reset_classifier(0, pool)
    arguments: dict[str, Any] = {"global_pool": pool}
    # Where the last normalisation stands would follow from the pooling, and with it the tensors'
    # names: it stays where the architecture has it.
    for word in ("fc_norm", "use_fc_norm"):
        if word in inspect.signature(type(network)).parameters:
            arguments[word] = not isinstance(network.fc_norm, nn.Identity)
    return arguments


def patch_side(network: nn.Module) -> int:
    """Return the side in pixels of a transformer's patches; 1 of other networks."""
    ratio = getattr(getattr(network, "patch_embed", None), "feat_ratio", None)
    return int(ratio()) if ratio and hasattr(network, "num_prefix_tokens") else 1


def patch_projection(network: nn.Module) -> nn.Module | None:
    """Return the layer that makes tokens of patches of pixels; None if there is none."""
    embed = getattr(network, "patch_embed", None)
    if patch_side(network) == 1 or hasattr(embed, "backbone"):  # a CNN sees the pixels there
        return None
    projection: nn.Module | None = getattr(embed, "proj", None)
    return projection


def last_tokens(network: nn.Module) -> str | None:
    """Name the layer whose tokens a saliency map lies on; None if no transformer's is there.

    It is the normalisation before the last attention. Of what comes after that attention the class
    token alone reaches the classes: by the other tokens there their gradient is 0.
    """
    blocks = getattr(network, "blocks", None)
    if not hasattr(network, "num_prefix_tokens") or not blocks or not hasattr(blocks[-1], "norm1"):
        return None
    return f"blocks.{len(blocks) - 1}.norm1"


def on_grid(network: nn.Module, tokens: Float[Tensor, "n t c"]) -> Float[Tensor, "n c side side"]:
    """Lay the patch tokens where the patches are, without class and register tokens.

    Args:
        network: of timm; its images are square.
        tokens: class and register tokens, then those of the patches, row by row.

    Raises:
        BrainsslError: there are other tokens than that.
    """
    own = tokens[:, int(getattr(network, "num_prefix_tokens", 0)) :]
    side = math.isqrt(own.shape[1])
    if not side or side**2 != own.shape[1]:
        raise BrainsslError(
            f"a layer gives {own.shape[1]} tokens of patches, which make no square: choose another "
            "by --layer"
        )
    return own.mT.reshape(len(own), -1, side, side)
