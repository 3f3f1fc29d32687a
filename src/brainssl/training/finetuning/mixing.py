"""Mixed images: MixUp and CutMix, one of them for each batch."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from scipy.special import betaincinv
from torch import Tensor

from brainssl.views.sending import sent


@dataclass(frozen=True)
class Mixed:
    """Images that are partly others of their batch.

    Attributes:
        images: in [0, 1].
        labels: of the images themselves.
        others: of what is mixed in.
        share: of the image itself, from 0 to 1; as much its label counts. 1 where nothing is mixed.
    """

    images: Float[Tensor, "n 1 size size"]
    labels: Int64[Tensor, " n"]
    others: Int64[Tensor, " n"]
    share: float


def mixed(
    images: Float[Tensor, "n 1 size size"],
    labels: Int64[Tensor, " n"],
    *,
    mixup: float,
    cutmix: float,
    generator: torch.Generator,
) -> Mixed:
    """Mix each image with another of its batch, or with itself, as chance has it.

    One share λ from Beta(α, α) and one order of the batch are drawn for all images. With both
    α above 0, either way is taken as often. MixUp (Zhang et al. 2018) gives λ x + (1 − λ) x′.
    CutMix (Yun et al. 2019) puts a box of x′ into x, of the image's form and 1 − λ of its area
    before what juts out is cut off; the share is what is left of x.

    Args:
        images: in [0, 1].
        labels: of the images.
        mixup: α of MixUp; 0: never.
        cutmix: α of CutMix; 0: never.
        generator: of the CPU; the same state mixes alike on every device.
    """
    if not mixup and not cutmix:
        return Mixed(images, labels, labels, 1.0)

    def uniform() -> float:
        return torch.rand((), dtype=torch.float64, generator=generator).item()

    cut = not mixup or (cutmix > 0 and uniform() < 0.5)
    alpha = cutmix if cut else mixup
    # PyTorch draws no Beta from a generator that is handed in: this is its inverse distribution.
    share = float(betaincinv(alpha, alpha, uniform()))
    order = sent(torch.randperm(len(images), generator=generator), images.device)
    if cut:
        inside, share = _box(images.shape[-1], share, uniform(), uniform())
        rows, columns = inside
        pictures = images.clone()
        pictures[..., rows, columns] = images[order][..., rows, columns]
    else:
        pictures = torch.lerp(images[order], images, share)
    return Mixed(pictures, labels, labels[order], share)


def _box(
    size: int, share: float, vertical: float, horizontal: float
) -> tuple[tuple[slice, slice], float]:
    """Return rows and columns of a box about a drawn pixel, and the share that lies outside."""
    half = int(size * math.sqrt(1 - share) / 2)
    middles = int(vertical * size), int(horizontal * size)
    rows, columns = (slice(max(0, m - half), min(size, m + half)) for m in middles)
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return (rows, columns), 1 - area / size**2
