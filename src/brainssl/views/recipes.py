"""View recipes: what a method, or fine-tuning, sees of an image."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer, UInt
from torch import Tensor

from brainssl.views.geometry import Geometry, draw_warps, warp
from brainssl.views.intensity import Intensity, change_intensity
from brainssl.views.sending import sent


@dataclass(frozen=True, kw_only=True)
class ViewRecipe:
    """A distribution of views of an image: one warp, then changes of intensity."""

    geometry: Geometry = field(default_factory=Geometry)
    intensity: Intensity = field(default_factory=Intensity)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "ViewRecipe":
        """Build a recipe from one flat mapping of Geometry's and Intensity's values.

        With `strength` they hold after `stronger`; without it as they are.
        """
        names = {field.name for field in fields(Geometry)}
        rest = {k: v for k, v in values.items() if k not in names and k != "strength"}
        recipe = cls(
            geometry=Geometry(**{k: v for k, v in values.items() if k in names}),
            intensity=Intensity(**rest),
        )
        return recipe.stronger(values.get("strength", 1.0))

    def stronger(self, factor: float) -> "ViewRecipe":
        """Return the recipe whose views differ `factor` times as far from their image.

        0 leaves what probabilities do (flips) and nothing else, 1 is this recipe, 2 goes twice as
        far: a range of factors from 0.8 to 1.25 becomes one from 0.8² to 1.25², a rotation by up to
        10 degrees one by up to 20. How often something happens stays.

        Args:
            factor: from 0.
        """
        if factor == 1:
            return self  # bit for bit: roots and powers would round
        return replace(
            self,
            geometry=self.geometry.stronger(factor),
            intensity=self.intensity.stronger(factor),
        )

    def cropped(self, area: tuple[float, float] | None) -> "ViewRecipe":
        """Return the same recipe with crops of another area; None: these."""
        if area is None:
            return self
        return replace(self, geometry=replace(self.geometry, crop_area=area))

    def draw(
        self, images: Integer[Tensor, "n h w"], size: int, generator: torch.Generator
    ) -> Float[Tensor, "n 1 size size"]:
        """Draw one view of each image, on the device that holds the images.

        Args:
            images: as `as_tensor` gives them.
            size: side of the views in pixels.
            generator: of the CPU; the same state gives the same views on every device, but for
                noise, which is each device's own.

        Returns:
            Float32 views in [0, 1].
        """
        views = to_unit(images)
        # Under autocast, coordinates would be rounded to the 8 bits of bfloat16.
        with torch.autocast(images.device.type, enabled=False):
            # Even the identity warp interpolates; a recipe that changes nothing must not.
            if self.geometry != Geometry() or images.shape[1:] != (size, size):
                warps = draw_warps(self.geometry, len(images), generator)
                views = warp(views, sent(warps, images.device), size, self.geometry.fill)
            return change_intensity(views, self.intensity, generator)


def as_tensor(images: UInt[np.ndarray, "n h w"]) -> Integer[Tensor, "n h w"]:
    """Return stored images as a tensor that shares their memory.

    Those of 8 bits are uint8; those of 16 bits int16 with the same bits: not every device takes
    rows of uint16.
    """
    return torch.from_numpy(images.view(np.int16) if images.dtype == np.uint16 else images)


def to_unit(images: Integer[Tensor, "n h w"]) -> Float[Tensor, "n 1 h w"]:
    """Turn what `as_tensor` gave into float32 in [0, 1] with a channel axis."""
    if images.dtype == torch.int16:
        return images.int().bitwise_and_(0xFFFF).unsqueeze(1).float().div_(65535)
    return images.unsqueeze(1).float().div_(255)


UNCHANGED = ViewRecipe()

# The study's Table 2. "Nearest-neighbour fill" repeats the edge.
TABLE2 = ViewRecipe(
    geometry=Geometry(zoom=0.1, shift=0.1, rotation=20.0, flip=0.5, fill="border"),
    intensity=Intensity(brightness=(0.8, 1.2)),
)


def augment_table2(
    images: UInt[np.ndarray, "n size size"], generator: np.random.Generator
) -> UInt[np.ndarray, "n size size"]:
    """Draw one Table 2 version of each image, as stored and as deep."""
    seed = int(generator.integers(2**63))
    views = TABLE2.draw(
        as_tensor(np.ascontiguousarray(images)),
        images.shape[-1],
        torch.Generator().manual_seed(seed),
    )
    levels = views[:, 0].mul_(np.iinfo(images.dtype).max).round_().numpy()
    return np.asarray(levels, images.dtype)
