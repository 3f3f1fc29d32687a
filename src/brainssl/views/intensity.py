"""Brightness, contrast, gamma, bias, noise and blur: what scanners change between images."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from brainssl.views.geometry import powers
from brainssl.views.sending import sent

_DEGREES = [(i, j) for i in range(4) for j in range(4) if 1 <= i + j <= 3]  # in row and column


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
        bias: standard deviation of the log of the smooth field that multiplies an image; at 0.1
            places are brighter or darker by a tenth or so.
        noise: largest standard deviation of added Gaussian noise, drawn uniformly from 0.
    """

    brightness: tuple[float, float] = (1.0, 1.0)
    contrast: tuple[float, float] = (1.0, 1.0)
    gamma: tuple[float, float] = (1.0, 1.0)
    jitter: float = 1.0
    blur: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    bias: float = 0.0
    noise: float = 0.0

    def stronger(self, factor: float) -> "Intensity":
        """Return it with `factor` times as far to go; probabilities stay.

        Factors and exponents go that far on a log scale.
        """
        return replace(
            self,
            brightness=powers(self.brightness, factor),
            contrast=powers(self.contrast, factor),
            gamma=powers(self.gamma, factor),
            blur_sigma=(factor * self.blur_sigma[0], factor * self.blur_sigma[1]),
            bias=factor * self.bias,
            noise=factor * self.noise,
        )


def change_intensity(
    images: Float[Tensor, "n 1 h w"], intensity: Intensity, generator: torch.Generator
) -> Float[Tensor, "n 1 h w"]:
    """Blur, bias field, then gamma, contrast and brightness, then noise; all stays in [0, 1].

    Args:
        images: grey values in [0, 1].
        intensity: what may happen to them.
        generator: of the CPU; noise, and nothing else, also depends on the kind of device.
    """
    count, device = len(images), images.device

    def uniform(low: float, high: float) -> Float[Tensor, "n 1 1 1"]:
        # Drawn on the CPU whatever the device, so that a seed means the same everywhere.
        drawn = torch.empty(count, 1, 1, 1).uniform_(low, high, generator=generator)
        return sent(drawn, device)

    scale = images.shape[-1] / 224
    sigma = uniform(*intensity.blur_sigma) * scale
    blurred = uniform(0.0, 1.0) < intensity.blur
    if intensity.blur > 0:
        radius = max(1, math.ceil(3 * intensity.blur_sigma[1] * scale))
        images = torch.where(blurred, gaussian_blur(images, sigma.flatten(), radius), images)

    if intensity.bias > 0:  # without one, nothing is drawn for it
        weights = torch.empty(count, len(_DEGREES)).normal_(0, intensity.bias, generator=generator)
        images = images * bias_field(sent(weights, device), *images.shape[-2:])

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
        images = images + _noise(images.shape, device, generator) * uniform(0.0, intensity.noise)
    return images.clamp(0, 1)


def _noise(
    shape: torch.Size, device: torch.device, generator: torch.Generator
) -> Float[Tensor, "n 1 h w"]:
    # A number a pixel is too much to draw on the CPU and to send. All else that is drawn stays the
    # same on every device, since here the CPU's generator gives one number only.
    seed = int(torch.randint(2**32, (), generator=generator))  # a CPU generator uses 32 bits of it
    own = torch.Generator(device).manual_seed(seed)
    return torch.empty(shape, device=device).normal_(generator=own)


def bias_field(
    weights: Float[Tensor, "n terms"], height: int, width: int
) -> Float[Tensor, "n 1 h w"]:
    """Return the smooth fields that a receive coil lays over images: log b = Σ wₖ pₖ / √terms.

    The pₖ are the products of Legendre polynomials of row and column up to degree three, without
    the constant one; each is given mean 0 and mean square 1 over the pixels. The log of a real
    field is modelled well by such a polynomial (Van Leemput et al. 1999).

    Args:
        weights: of the terms; drawn with standard deviation σ they make the log of the field one
            of mean 0 over each image and of standard deviation σ over pixels and draws.
        height: of the images in pixels.
        width: of the images in pixels.
    """

    def polynomials(side: int) -> Float[Tensor, "4 side"]:
        t = (torch.arange(side, device=weights.device) + 0.5) * 2 / side - 1  # centres of pixels
        return torch.stack([torch.ones_like(t), t, (3 * t**2 - 1) / 2, (5 * t**3 - 3 * t) / 2])

    rows, columns = polynomials(height), polynomials(width)
    terms = torch.stack([torch.outer(rows[i], columns[j]) for i, j in _DEGREES])
    terms = terms - terms.mean(dim=(1, 2), keepdim=True)
    # A side of one pixel has terms of 0 throughout.
    terms = terms / terms.square().mean(dim=(1, 2), keepdim=True).sqrt().clamp(min=1e-6)
    log_field = torch.einsum("nt,thw->nhw", weights, terms) / math.sqrt(len(_DEGREES))
    return log_field.exp().unsqueeze(1)


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
