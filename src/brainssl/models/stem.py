"""A stem for three channels as one for a single channel, the same for grey images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.std_conv import ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

# Mean and standard deviation of ImageNet over its channels: what most published weights expect.
MEAN, STD = 0.449, 0.226

_STANDARDISED = (StdConv2d, StdConv2dSame, ScaledStdConv2d, ScaledStdConv2dSame)


@dataclass(frozen=True)
class Normalisation:
    """What weights expect of images in [0, 1]: (x − mean) / std, by channel.

    Attributes:
        mean: one number a channel of the images that they were trained on.
        std: as many.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def grey(self) -> tuple[float, float]:
        """Mean and deviation for one channel: those of the channels, in the mean."""
        return _mean_of(self.mean), _mean_of(self.std)

    @property
    def is_alike(self) -> bool:
        """Whether all channels have the same."""
        return len(set(self.mean)) == len(set(self.std)) == 1


IMAGENET = Normalisation(tuple(IMAGENET_DEFAULT_MEAN), tuple(IMAGENET_DEFAULT_STD))
PLAIN = Normalisation((MEAN,), (STD,))


def _mean_of(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 6)  # 0.449, and not 0.44899999999999995


def stems_of(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the convolutions that read the image."""
    named = getattr(network, "pretrained_cfg", {}).get("first_conv") or ()
    return (named,) if isinstance(named, str) else tuple(named)


def is_collapsible(network: nn.Module, name: str, given: Tensor, own: Tensor) -> bool:
    """Tell whether a tensor is the weight of a stem for three channels, where ours has one."""
    return (
        name.removesuffix(".weight") in stems_of(network)
        and given.ndim == own.ndim == 4
        and given.shape[1] == 3 * own.shape[1]
        and given.shape[0] == own.shape[0]
        and given.shape[2:] == own.shape[2:]
    )


def collapse(
    network: nn.Module, tensors: dict[str, Tensor], normalisation: Normalisation, size: int
) -> str:
    """Let the stem of `tensors` take one channel, and say how near that is to its three.

    Of a grey image x, the same in every channel, three channels give Σ_c W_c ∗ (x − m_c)/s_c. With
    (m, s) for the single channel, W = Σ_c W_c · s/s_c gives the same up to the constant
    b = Σ Σ_c W_c (m − m_c)/s_c (over the kernel's places), which goes into the bias, or out of the
    running mean of the BatchNorm behind. Under zero padding b is less where the kernel leaves the
    image, so at the border this is exact only if all channels are normalised alike (then b = 0,
    and the stem is the plain sum where s = s_c).

    Args:
        network: for one channel; it stays as it is.
        tensors: for that network, by its own names; changed in place.
        normalisation: that the tensors were trained with.
        size: side of the images in pixels.

    Returns:
        "" where the tensors were for one channel already.
    """
    told, held = "", network.state_dict()
    for stem in stems_of(network):
        name = f"{stem}.weight"
        if name not in held or not is_collapsible(network, name, tensors[name], held[name]):
            continue
        conv, own = network.get_submodule(stem), held[name]
        weight, constant = _collapsed(tensors[name], normalisation)
        tensors[name] = weight.to(own.dtype)
        told = "its three channels are taken as one, exactly"
        if isinstance(conv, _STANDARDISED):
            return "its three channels are summed: near, for the stem standardises its weights"
        if normalisation.is_alike:
            continue
        place = _takes_constant(network, stem, size)
        if place is None:
            return "its three channels are taken as one but for a constant that finds no place"
        sign = 1 if place.endswith("bias") else -1
        moved = tensors[place].double() + sign * constant
        tensors[place] = moved.to(tensors[place].dtype)
        if isinstance(conv, Conv2dSame) or getattr(conv, "padding", None) != (0, 0):
            told += " but at the border"
    return told


def _collapsed(
    weight: Float[Tensor, "out in h w"], normalisation: Normalisation
) -> tuple[Float[Tensor, "out own h w"], Float[Tensor, " out"]]:
    """Return the weight for single channels, and the constant that it leaves out; in float64."""
    mean, std = (torch.tensor(v, dtype=torch.float64) for v in normalisation.grey)
    means = torch.tensor(normalisation.mean, dtype=torch.float64).expand(3)
    stds = torch.tensor(normalisation.std, dtype=torch.float64).expand(3)
    out, _, height, width = weight.shape
    # Colours come together, as timm has them.
    channels = weight.double().reshape(out, -1, 3, height, width)
    summed = torch.einsum("oichw,c->oihw", channels, std / stds)
    constant = torch.einsum("oichw,c->o", channels, (mean - means) / stds)
    return summed, constant


def _takes_constant(network: nn.Module, stem: str, size: int) -> str | None:
    """Name the tensor that takes a constant of each channel behind a convolution, if one does."""
    conv = network.get_submodule(stem)
    if getattr(conv, "bias", None) is not None:
        return f"{stem}.bias"
    given: list[Tensor] = []
    found: list[str] = []
    hooks = [conv.register_forward_hook(lambda _conv, _args, output: given.append(output))]
    for name, norm in network.named_modules():
        if isinstance(norm, _BatchNorm) and norm.running_mean is not None:

            def look(_norm: nn.Module, args: tuple[Tensor, ...], name: str = name) -> None:
                if any(args[0] is one for one in given):
                    found.append(f"{name}.running_mean")

            hooks.append(norm.register_forward_pre_hook(look))
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 1, size, size))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return found[0] if len(found) == 1 else None
