"""Is a map faithful to the classifier? What happens if the places that it names come or go."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

Baseline = Literal["blurred", "mean"]
BASELINES: tuple[Baseline, ...] = ("blurred", "mean")

Network = Callable[[Float32[Tensor, "m 1 size size"]], Float32[Tensor, "m classes"]]

STEPS = 16
_BATCH = 256
_BLUR = 1 / 12  # standard deviation of the blur, as a share of the image's side


@dataclass(frozen=True, eq=False)
class Curves:
    """The probability of a class while pixels are changed, most salient first.

    Attributes:
        shares: of the pixels that are changed, from 0 to 1.
        insertion: probabilities while pixels of the image come into the baseline.
        deletion: probabilities while pixels of the baseline take the image's place.
    """

    shares: Float64[np.ndarray, " steps"]
    insertion: Float64[np.ndarray, "n steps"]
    deletion: Float64[np.ndarray, "n steps"]

    def areas(self) -> dict[str, Float64[np.ndarray, " n"]]:
        """Return the area under each curve; a faithful map has much insertion, little deletion."""
        return {
            "insertion": np.trapezoid(self.insertion, self.shares, axis=1),
            "deletion": np.trapezoid(self.deletion, self.shares, axis=1),
        }


def insertion_deletion(
    network: Network,
    images: Float32[Tensor, "n 1 size size"],
    maps: Float32[Tensor, "n size size"],
    targets: Int64[Tensor, " n"],
    *,
    baseline: Baseline = "blurred",
    steps: int = STEPS,
    ends: Float32[Tensor, "n 2"] | None = None,
) -> Curves:
    """Insert and delete pixels in the order of a map, and watch the probability of a class.

    Pixels of equal value come in an order that is drawn once and is the same for every map, so that
    a map with large flat parts gains nothing from where its pixels happen to stand.

    Source: Petsiuk et al., RISE, BMVC 2018, section 3.4.

    Args:
        network: slices in [0, 1] to logits, in evaluation mode.
        images: slices in [0, 1].
        maps: of the same size, one an image.
        targets: the class whose probability is watched.
        baseline: what an image without its pixels is: itself blurred, or its mean grey value.
        steps: in which all pixels are changed.
        ends: what `ends_of` returns, where it is known: it is the same for every map.
    """
    n, _, size, _ = images.shape
    shares = np.linspace(0, 1, steps + 1)
    counts = torch.from_numpy(np.rint(shares * size * size).astype(np.int64)).to(images.device)
    ranks = pixel_ranks(maps)[:, None]
    empty = baseline_of(images, baseline)
    found = images.new_empty((2, n, steps + 1))
    known = ends_of(network, images, targets, baseline=baseline) if ends is None else ends
    found[0, :, [0, -1]] = known.flip(1)
    found[1, :, [0, -1]] = known
    at_once = max(1, _BATCH // (2 * max(1, steps - 1)))
    for start in range(0, n if steps > 1 else 0, at_once):
        own = slice(start, start + at_once)
        changed = ranks[own, None] < counts[1:-1, None, None, None]
        image, other = images[own, None], empty[own, None]
        versions = torch.stack(
            [torch.where(changed, image, other), torch.where(changed, other, image)]
        )
        chosen = targets[own].repeat(2).repeat_interleave(steps - 1)
        said = _said(network, versions.flatten(0, 2), chosen)
        found[:, own, 1:-1] = said.reshape(versions.shape[:3])
    insertion, deletion = found.cpu().double().numpy()
    return Curves(shares, insertion, deletion)


def ends_of(
    network: Network,
    images: Float32[Tensor, "n 1 size size"],
    targets: Int64[Tensor, " n"],
    *,
    baseline: Baseline = "blurred",
) -> Float32[Tensor, "n 2"]:
    """Return the probability of a class for whole images and for their baselines.

    There every curve begins or ends, whatever the map.
    """
    both = torch.cat([images, baseline_of(images, baseline)])
    parts = torch.split(both, _BATCH), torch.split(targets.repeat(2), _BATCH)
    said = [_said(network, part, chosen) for part, chosen in zip(*parts, strict=True)]
    return torch.cat(said).reshape(2, -1).T


def _said(
    network: Network, images: Float32[Tensor, "m 1 size size"], targets: Int64[Tensor, " m"]
) -> Float32[Tensor, " m"]:
    """Return the probability of each image's class."""
    probabilities = network(images).float().softmax(1)
    return probabilities.gather(1, targets.to(images.device)[:, None])[:, 0]


def pixel_ranks(maps: Float32[Tensor, "n size size"]) -> Int64[Tensor, "n size size"]:
    """Return the place of each pixel if the most salient come first, from 0."""
    n, size, _ = maps.shape
    order = _order(size).to(maps.device)
    sorted_places = order[maps.flatten(1)[:, order].argsort(dim=1, descending=True, stable=True)]
    ranks = torch.empty_like(sorted_places)
    places = torch.arange(size * size, device=maps.device).expand(n, -1)
    return ranks.scatter(1, sorted_places, places).reshape(n, size, size)


def baseline_of(
    images: Float32[Tensor, "n 1 size size"], baseline: Baseline
) -> Float32[Tensor, "n 1 size size"]:
    """Return the images without what could be recognised in them."""
    if baseline == "mean":
        return images.mean((2, 3), keepdim=True).expand_as(images)
    sigma = images.shape[-1] * _BLUR
    # Twice the standard deviation on each side, and no wider than reflection allows.
    radius = min(round(2 * sigma), images.shape[-1] - 1)
    blurred: Tensor = gaussian_blur(images, [2 * radius + 1] * 2, [sigma, sigma])
    return blurred


@cache
def _order(size: int) -> Int64[Tensor, " pixels"]:
    """Return an order of pixels drawn once and for all."""
    return torch.from_numpy(np.random.default_rng(0).permutation(size * size))
