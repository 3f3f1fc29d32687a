"""Crop, zoom, shift, rotation and flip, composed into one warp a view."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What may happen to the frame of an image; the defaults change nothing.

    Attributes:
        crop_area: range of the share of the image area that a random resized crop keeps. Below
            0.2 a crop of a brain often misses the lesion.
        crop_ratio: range of the crop's width / height, drawn log-uniformly from what fits into the
            image at the area drawn.
        zoom: largest relative change of scale, in and out (0.1: 0.9 to 1.1).
        shift: largest horizontal and vertical shift, as a share of the side.
        rotation: largest rotation either way, in degrees.
        flip: probability of a left-right flip. There is no vertical flip: it is not anatomy.
        fill: what lies outside of the image: its edge repeated, or black.
    """

    crop_area: tuple[float, float] = (1.0, 1.0)
    crop_ratio: tuple[float, float] = (1.0, 1.0)
    zoom: float = 0.0
    shift: float = 0.0
    rotation: float = 0.0
    flip: float = 0.0
    fill: Literal["border", "zeros"] = "zeros"

    def stronger(self, factor: float) -> "Geometry":
        """Return it with `factor` times as far to go; probabilities and the fill stay.

        Areas, ratios and scales go that far on a log scale.
        """
        return replace(
            self,
            crop_area=powers(self.crop_area, factor),
            crop_ratio=powers(self.crop_ratio, factor),
            zoom=1 - (1 - self.zoom) ** factor,
            shift=factor * self.shift,
            rotation=min(180.0, factor * self.rotation),
        )


def powers(ends: tuple[float, float], factor: float) -> tuple[float, float]:
    """Return a range of factors that reaches `factor` times as far from 1, on a log scale."""
    return ends[0] ** factor, ends[1] ** factor


def draw_warps(
    geometry: Geometry, count: int, generator: torch.Generator
) -> Float[Tensor, "count 2 3"]:
    """Draw one affine map an image, from output to input, both in coordinates of [-1, 1].

    The input point of an output point is crop(shift(rotate(zoom(flip(point))))).
    """

    def uniform(low: float, high: float) -> Float[Tensor, " count"]:
        return torch.empty(count).uniform_(low, high, generator=generator)

    area = uniform(*geometry.crop_area)
    # Width and height are at most 1, hence the ratio lies between the area and its inverse.
    low, high = (torch.tensor(end).maximum(area).minimum(1 / area) for end in geometry.crop_ratio)
    ratio = torch.lerp(low.log(), high.log(), uniform(0.0, 1.0)).exp()
    width = (area * ratio).sqrt().clamp(max=1)
    height = (area / ratio).sqrt().clamp(max=1)
    centre_x = uniform(-1.0, 1.0) * (1 - width)
    centre_y = uniform(-1.0, 1.0) * (1 - height)
    zoom = 1 / uniform(1 - geometry.zoom, 1 + geometry.zoom)
    shift_x = uniform(-2 * geometry.shift, 2 * geometry.shift)
    shift_y = uniform(-2 * geometry.shift, 2 * geometry.shift)
    angle = torch.deg2rad(uniform(-geometry.rotation, geometry.rotation))
    mirror = torch.where(uniform(0.0, 1.0) < geometry.flip, -1.0, 1.0)

    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    # Crop scales the rotated frame by (width, height) and moves it to its centre.
    top = torch.stack([mirror * cos * width, -sin * width, shift_x * width + centre_x], dim=1)
    bottom = torch.stack([mirror * sin * height, cos * height, shift_y * height + centre_y], dim=1)
    return torch.stack([top, bottom], dim=1)


def warp(
    images: Float[Tensor, "n 1 h w"],
    warps: Float[Tensor, "n 2 3"],
    size: int,
    fill: Literal["border", "zeros"],
) -> Float[Tensor, "n 1 size size"]:
    """Resample every image once, bilinearly, through its affine map."""
    # Not len(images): an exporter would take that for a constant.
    count = images.shape[0]
    grid = functional.affine_grid(warps, [count, 1, size, size], align_corners=False)
    return functional.grid_sample(images, grid, padding_mode=fill, align_corners=False)
