"""Where bfloat16 cannot be trusted on a processor: strided convolutions that see one pixel."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from brainssl.foundation.errors import BrainsslError
from brainssl.hardware.device import device_of, precision_of
from brainssl.models.encoder import Encoder
from brainssl.settings.sections import RunSettings


def refuse_single_pixels(encoder: Encoder, sides: Iterable[int], run: RunSettings) -> None:
    """Refuse to train in bfloat16 on a processor where a strided convolution sees a single pixel.

    There oneDNN (that of PyTorch 2.14) leaves parts of the weights' gradient unset, and whatever
    lay in memory is learnt. It happens with small views alone: of a ResNet-18, those of 16 px.

    Args:
        encoder: to be trained.
        sides: of the images or views that it will see, in pixels.
        run: where and how.

    Raises:
        BrainsslError: it would; the message says what to set.
    """
    if device_of(run).type != "cpu" or precision_of(run, encoder).name != "bf16-mixed":
        return
    for side in sorted(set(sides)):
        if name := _strided_on_a_pixel(encoder, side):
            raise BrainsslError(
                f"at {side} px the layer {name} of {encoder.name} sees a single pixel, and its "
                "bfloat16 gradient is wrong on a processor: set run.precision=32-true, or take "
                "larger images or crops"
            )


def _strided_on_a_pixel(encoder: Encoder, side: int) -> str | None:
    """Name the first such layer; None if there is none."""
    seen: list[str] = []

    def look(name: str, layer: nn.Conv2d, given: tuple[Tensor, ...]) -> None:
        if max(layer.stride) > 1 < max(layer.kernel_size) and given[0].shape[-2:] == (1, 1):
            seen.append(name)

    hooks = [
        layer.register_forward_pre_hook(lambda own, given, name=name: look(name, own, given))
        for name, layer in encoder.network.named_modules()
        if isinstance(layer, nn.Conv2d)
    ]
    modes = {module: module.training for module in encoder.modules()}
    encoder.eval()
    try:
        with torch.no_grad():
            encoder(torch.zeros(1, 1, side, side))
    finally:
        for module, training in modes.items():
            module.training = training
        for hook in hooks:
            hook.remove()
    return seen[0] if seen else None
