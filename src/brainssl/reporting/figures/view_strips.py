"""Pictures of view recipes: what a method, or fine-tuning, sees of a slice."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt, UInt8

from brainssl.foundation.depth import shallow
from brainssl.reporting.figures.pictures import Picture, strip_of

if TYPE_CHECKING:
    from brainssl.views.recipes import ViewRecipe


def draw_views(
    images: UInt[np.ndarray, "n size size"], recipe: "ViewRecipe", *, views: int, seed: int = 0
) -> UInt8[np.ndarray, "n views size size"]:
    """Draw several views of each slice, as grey values; `contact_sheet` puts them on a page."""
    import torch  # a report is read far oftener than views are drawn: keep its import light

    from brainssl.views.recipes import as_tensor

    generator = torch.Generator().manual_seed(seed)
    pixels = as_tensor(np.array(images))
    drawn = [recipe.draw(pixels, images.shape[-1], generator)[:, 0] for _ in range(views)]
    grey: UInt8[np.ndarray, "n views size size"] = (
        (torch.stack(drawn, dim=1) * 255).round().byte().numpy()
    )
    return grey


def recipe_strips(
    images: UInt[np.ndarray, "n size size"],
    names: list[str],
    recipe: "ViewRecipe",
    *,
    views: int = 5,
    side: int = 96,
    seed: int = 0,
) -> list[Picture]:
    """Return a strip a slice: as stored, then views of it.

    Args:
        images: slices as an ImageStore holds them.
        names: what each one shows.
        recipe: of the views.
        views: how many to draw.
        side: of each picture, in pixels.
        seed: of the draw.
    """
    drawn = draw_views(images, recipe, views=views, seed=seed)
    return [
        strip_of(
            np.concatenate([shallow(image[None]), own]),
            caption=name,
            alt=f"A slice of {name} as stored, then {views} views of it",
            side=side,
        )
        for image, own, name in zip(images, drawn, names, strict=True)
    ]
