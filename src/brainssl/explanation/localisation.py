"""Does a map lie on the lesion? Measures against masks, and maps that know nothing.

In all of them an image without lesion has no value (not a number), a map that is 0 everywhere has
the value 0, and a map's scale does not count.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Shaped
from scipy import ndimage

Maps = Float32[np.ndarray, "n h w"]
Masks = Bool[np.ndarray, "n h w"]
Values = Float64[np.ndarray, " n"]

_SMOOTH = 1 / 12  # standard deviation of a random field's blur, as a share of the side
_CENTRED = 1 / 4  # standard deviation of the centred blob, as a share of the side


def localise(maps: Maps, masks: Masks) -> dict[str, Values]:
    """Return the four measures by name: `pointing`, `energy_inside`, `iou_best`, `iou_half`.

    Args:
        maps: of saliency, not negative.
        masks: True where the lesion is.
    """
    return {
        "pointing": pointing(maps, masks),
        "energy_inside": energy_inside(maps, masks),
        "iou_best": iou_best(maps, masks),
        "iou_half": iou_at(maps, masks, threshold=0.5),
    }


def pointing(maps: Maps, masks: Masks) -> Values:
    """Return whether each map's maximum lies in the lesion: 1 or 0.

    Where several pixels share the maximum, the share of them that lie in the lesion: what a draw
    among them hits on average.

    Source: Zhang et al., Top-down Neural Attention by Excitation Backprop, IJCV 2018, section 4.2,
    without its tolerance of 15 pixels.
    """
    top = (maps == maps.max((1, 2), keepdims=True)) & (maps > 0)
    return _of_lesions(_ratio((top & masks).sum((1, 2)), top.sum((1, 2))), masks)


def energy_inside(maps: Maps, masks: Masks) -> Values:
    """Return the share of each map's sum that lies in the lesion, from 0 to 1.

    Source: Wang et al., Score-CAM, CVPR Workshops 2020, section 4.3 (energy-based pointing game).
    """
    inside = np.where(masks, maps, 0).sum((1, 2), dtype=np.float64)
    return _of_lesions(_ratio(inside, maps.sum((1, 2), dtype=np.float64)), masks)


def iou_at(maps: Maps, masks: Masks, threshold: float = 0.5) -> Values:
    """Return the IoU, |A and B| / |A or B|, of each lesion and where its map is high.

    Args:
        maps: of saliency, not negative.
        masks: True where the lesion is.
        threshold: share of the map's maximum from which on it is high; pixels of 0 never are.
    """
    least = maps.max((1, 2), keepdims=True).astype(np.float64) * threshold
    high = (maps >= least) & (maps > 0)
    return _of_lesions(_ratio((high & masks).sum((1, 2)), (high | masks).sum((1, 2))), masks)


def iou_best(maps: Maps, masks: Masks) -> Values:
    """Return the largest IoU of each lesion and its map, over every positive threshold.

    Pixels of equal value are above a threshold together.
    """
    n, h, w = maps.shape
    values = maps.reshape(n, h * w)
    order = np.argsort(-values, axis=1)
    values = np.take_along_axis(values, order, axis=1)
    inside = np.take_along_axis(masks.reshape(values.shape), order, axis=1).cumsum(1)
    either = np.arange(1, values.shape[1] + 1) + inside[:, -1:] - inside
    # A threshold cuts only where the next value is lower.
    lower = np.append(values[:, 1:], np.zeros_like(values[:, :1]), axis=1)
    iou = np.where(lower < values, inside / either, 0)
    return _of_lesions(iou.max(1), masks)


def random_maps(n: int, size: int, seed: int) -> Float32[np.ndarray, "n size size"]:
    """Return smooth random fields from 0 to 1, without preference for any place.

    White noise is blurred by a twelfth of the side, over the edges to the other side; half of the
    field, what is below its mean, is set to 0. Map i is that of the seed `seed + i` alone.

    Args:
        n: number of maps.
        size: side in pixels, at least 2.
        seed: of the first map, not negative.
    """
    maps = np.zeros((n, size, size), np.float32)
    for number in range(n):
        noise = np.random.default_rng(seed + number).standard_normal((size, size))
        field = ndimage.gaussian_filter(noise, size * _SMOOTH, mode="wrap")
        positive = np.maximum(field - field.mean(), 0)
        maps[number] = positive / positive.max()
    return maps


def centred_blob(n: int, size: int) -> Float32[np.ndarray, "n size size"]:
    """Return n times the Gaussian in the image's centre, with a quarter of the side as deviation.

    It has its maximum, 1, where heads are.
    """
    offsets = (np.arange(size) - (size - 1) / 2) / (size * _CENTRED)
    line = np.exp(-0.5 * offsets**2)
    blob = np.outer(line, line) / line.max() ** 2
    return np.tile(blob.astype(np.float32), (n, 1, 1))


def _of_lesions(values: Values, masks: Masks) -> Values:
    """Take away the values of images without lesion: no map can hit there, or miss."""
    return np.where(masks.any((1, 2)), values, np.nan)


def _ratio(part: Shaped[np.ndarray, " n"], whole: Shaped[np.ndarray, " n"]) -> Values:
    """Divide; 0 where the whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0))
