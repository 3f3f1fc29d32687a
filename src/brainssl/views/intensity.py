"""Brightness, contrast, gamma, noise and blur: what scanners change from one image to another."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """What may happen to the grey values of an image in [0, 1]; the defaults change nothing.

    Sequences differ by contrast, so strong jitter teaches an encoder to ignore what tells them
    apart: keep the ranges narrow where the sequence is part of the label.

    Attributes:
        brightness: range of the factor on all values.
        contrast: range of the factor on the distance to the image's mean.
        gamma: range of the exponent, drawn log-uniformly.
        jitter: probability that an image gets its brightness, contrast and gamma changed.
        blur: probability of a Gaussian blur.
        blur_sigma: range of its width, in pixels of a view of 224 px (scaled to other sizes).
        noise: largest standard deviation of added Gaussian noise, drawn uniformly from 0.
    """

    brightness: tuple[float, float] = (1.0, 1.0)
    contrast: tuple[float, float] = (1.0, 1.0)
    gamma: tuple[float, float] = (1.0, 1.0)
    jitter: float = 1.0
    blur: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    noise: float = 0.0


def change_intensity(
    images: Float[Tensor, "n 1 h w"], intensity: Intensity, generator: torch.Generator
) -> Float[Tensor, "n 1 h w"]:
    """Blur, then gamma, contrast and brightness, then noise; the result stays in [0, 1]."""
    count, device = len(images), images.device

    def uniform(low: float, high: float) -> Float[Tensor, "n 1 1 1"]:
        # Drawn on the CPU whatever the device, so that a seed means the same everywhere.
        drawn = torch.empty(count, 1, 1, 1).uniform_(low, high, generator=generator)
        return drawn.to(device)

    scale = images.shape[-1] / 224
    sigma = uniform(*intensity.blur_sigma) * scale
    blurred = uniform(0.0, 1.0) < intensity.blur
    if intensity.blur > 0:
        radius = max(1, math.ceil(3 * intensity.blur_sigma[1] * scale))
        images = torch.where(blurred, gaussian_blur(images, sigma.flatten(), radius), images)

    jittered = uniform(0.0, 1.0) < intensity.jitter
    low, high = (math.log(value) for value in intensity.gamma)
    gamma = torch.where(jittered, uniform(low, high).exp(), 1.0)
    contrast = torch.where(jittered, uniform(*intensity.contrast), 1.0)
    brightness = torch.where(jittered, uniform(*intensity.brightness), 1.0)
    if intensity.gamma != (1.0, 1.0):
        images = images.pow(gamma)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    # lerp gives the image itself, bit for bit, where the contrast is 1.
    images = torch.lerp(mean, images, contrast) * brightness
    if intensity.noise > 0:
        noise = torch.empty(images.shape).normal_(generator=generator).to(device)
        images = images + noise * uniform(0.0, intensity.noise)
    return images.clamp(0, 1)


def gaussian_blur(
    images: Float[Tensor, "n 1 h w"], sigma: Float[Tensor, " n"], radius: int
) -> Float[Tensor, "n 1 h w"]:
    """Blur each image by its own sigma, separably; borders repeat the edge.

    Args:
        images: any values.
        sigma: standard deviation of the kernel, in pixels.
        radius: half-width at which every kernel is cut, in pixels.
    """
    offset = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma[:, None].clamp(min=1e-3)) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    # One group an image: the batch becomes the channels of a single picture.
    stack = functional.pad(images.transpose(0, 1), [radius] * 4, mode="replicate")
    count = len(images)
    stack = functional.conv2d(stack, kernel.view(count, 1, 1, -1), groups=count)
    stack = functional.conv2d(stack, kernel.view(count, 1, -1, 1), groups=count)
    return stack.transpose(0, 1)
