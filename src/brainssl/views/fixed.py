"""The same few views of every image, over which predictions may be averaged."""

import torch
from jaxtyping import Float
from torch import Tensor

from brainssl.views.geometry import warp

# Scale, and how far the picture moves to the right and down, as shares of the side: milder than
# what training sees of an image.
_FRAMES = (
    (1.0, 0.0, 0.0),
    (1.05, 0.0, 0.0),
    (0.95, 0.0, 0.0),
    (1.0, 0.04, 0.04),
    (1.0, -0.04, -0.04),
)
MOST = 2 * len(_FRAMES)


def fixed_view(
    images: Float[Tensor, "n 1 size size"], number: int
) -> Float[Tensor, "n 1 size size"]:
    """Return one view of each image, always the same.

    0 is the image itself and 1 its left-right mirror image; then, each followed by its own mirror
    image: enlarged and reduced by 5 %, moved by 4 % of the side to the right and down, and to the
    left and up. Pixels are resampled bilinearly, and edges repeated.

    Args:
        images: grey values in [0, 1].
        number: of the view, from 0 to `MOST` − 1.

    Raises:
        ValueError: there is no such view.
    """
    if not 0 <= number < MOST:
        raise ValueError(f"there are {MOST} fixed views, and none of number {number}")
    frame, mirrored = divmod(number, 2)
    if frame:
        images = _framed(images, *_FRAMES[frame])
    return images.flip(-1) if mirrored else images


def _framed(
    images: Float[Tensor, "n 1 size size"], scale: float, right: float, down: float
) -> Float[Tensor, "n 1 size size"]:
    # From a place in the view to that in the image, both in [-1, 1]: a side is 2 long.
    own = [[1 / scale, 0.0, -2 * right / scale], [0.0, 1 / scale, -2 * down / scale]]
    warps = torch.tensor([own], device=images.device).expand(images.shape[0], 2, 3)
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 would round coordinates
        return warp(images, warps, images.shape[-1], "border")
