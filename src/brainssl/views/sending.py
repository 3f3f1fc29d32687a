"""From the CPU, where random numbers are drawn, to where the images are."""

import torch
from torch import Tensor


def sent(drawn: Tensor, device: torch.device) -> Tensor:
    """Return a small tensor of the CPU on a device, without waiting for what a GPU has yet to do.

    CUDA takes such a tensor along when it is told to; other devices may read it too late.
    """
    return drawn.to(device, non_blocking=device.type == "cuda")
