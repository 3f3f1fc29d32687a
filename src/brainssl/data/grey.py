"""From decoded samples to grey ones: depth, colours and transparency."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Shaped
from PIL import Image

from brainssl.data.deep_png import sixteen_bits

CHANNEL_TOLERANCE = 12
"""Levels of 255 by which the channels of a grey image may differ after JPEG's colour rounding."""

ANNOTATION_SHARE = 0.1
"""Up to this share of coloured pixels is called an annotation; above it the image is coloured."""

HIDING = "alpha ignored"
"""Flag of an image whose alpha channel would hide all of it."""

_PHOTOMETRIC, SAMPLE_FORMAT = 262, 339  # tags of TIFF


@dataclass
class Notes:
    """What was done to the pixels, gathered while it is done."""

    provenance: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)


def deep_samples(
    image: Image.Image, tags: dict[int, Any], notes: Notes
) -> Float64[np.ndarray, "h w"]:
    """Return the samples of a 16-bit, 32-bit or floating-point image as they are in the file."""
    raw = np.asarray(image)
    if image.mode == "I" and tags.get(SAMPLE_FORMAT, (2,))[0] == 1:
        raw = raw.view(np.uint32)
    samples = raw.astype(np.float64)
    if not np.isfinite(samples).all():
        finite = samples[np.isfinite(samples)]
        samples = np.where(np.isfinite(samples), samples, finite.min() if finite.size else 0.0)
        notes.provenance.append("values that are not finite set to the minimum")
        notes.flags.append("not finite")
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero, which the decoder undoes for 8 bits only
        samples = samples.max() - samples
        notes.provenance.append("inverted (white is zero)")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        samples[samples == transparent] = 0.0
        notes.provenance.append("transparent value set to black")
        notes.flags.append("alpha")
    return samples


def deep_colours(data: bytes, kind: str, bits: int, notes: Notes) -> Float64[np.ndarray, "h w"]:
    """Return grey samples of a PNG with 16 bits in each of several channels.

    Of their upper halves alone a picture with values up to 4,095 would be nearly black.

    Raises:
        ValueError: it is no PNG, or is turned by its EXIF tag.
    """
    if kind != "PNG" or "exif rotated" in notes.flags:
        raise ValueError(f"{bits}-bit colour cannot be decoded whole: save it as 16-bit grey")
    levels = sixteen_bits(data).astype(np.float64)
    notes.provenance.append(f"{levels.shape[-1]} channels of {bits} bits")
    alpha = None
    if levels.shape[-1] in (2, 4):
        alpha, levels = levels[..., -1] / 65535, levels[..., :-1]
    if levels.shape[-1] == 1:
        return np.asarray(_on_black(levels[..., 0], alpha, notes))
    tolerance = CHANNEL_TOLERANCE / 255 * max(1.0, float(levels.max()))
    return np.asarray(_on_black(_collapse(levels, tolerance, notes), alpha, notes))


def shallow_grey(image: Image.Image, notes: Notes) -> Shaped[np.ndarray, "h w"]:
    """Return the grey levels, 0 to 255, of an image of at most 8 bits a sample.

    They are uint8 where they are whole numbers by nature, else float32.
    """
    if image.mode in ("P", "PA"):
        notes.flags.append("palette")
        notes.provenance.append("palette looked up")
    grey_only = image.mode in ("1", "L", "LA", "La")
    transparent = image.has_transparency_data
    mode = ("LA" if transparent else "L") if grey_only else ("RGBA" if transparent else "RGB")
    samples = np.asarray(image if image.mode == mode else image.convert(mode))
    alpha = samples[..., -1] / np.float32(255) if transparent else None
    if mode == "L":
        return samples
    if mode == "LA":
        return _on_black(samples[..., 0], alpha, notes)
    colours = samples[..., :3]
    if (colours[..., :1] == colours[..., 1:]).all():
        notes.provenance.append("three agreeing channels averaged")
        return _on_black(colours[..., 0], alpha, notes)
    return _on_black(_collapse(colours.astype(np.float32), CHANNEL_TOLERANCE, notes), alpha, notes)


def _collapse(
    levels: Float[np.ndarray, "h w 3"], tolerance: float, notes: Notes
) -> Float[np.ndarray, "h w"]:
    """Collapse three channels to one: their mean where they agree, else the luminance."""
    spread = levels.max(axis=2) - levels.min(axis=2)
    red, green, blue = np.moveaxis(levels, 2, 0)
    kind = levels.dtype.type
    if spread.max() <= tolerance:
        notes.provenance.append("three agreeing channels averaged")
        # Sum of small whole numbers: exact, so that equal channels give their level exactly.
        return np.asarray((red + green + blue) / kind(3))
    share = float((spread > tolerance).mean())
    notes.flags.append("coloured annotation" if share <= ANNOTATION_SHARE else "coloured")
    notes.provenance.append(f"luminance of a coloured image ({share:.2%} of pixels coloured)")
    return np.asarray(kind(0.299) * red + kind(0.587) * green + kind(0.114) * blue)


def _on_black(
    grey: Shaped[np.ndarray, "h w"], alpha: Float[np.ndarray, "h w"] | None, notes: Notes
) -> Shaped[np.ndarray, "h w"]:
    """Lay an image on black; a channel that somebody filled with zeros would leave nothing."""
    if alpha is None or (alpha == 1).all():
        return grey
    if not alpha.any():
        notes.flags.append(HIDING)
        notes.provenance.append("alpha channel that hides everything ignored")
        return grey
    notes.flags.append("alpha")
    notes.provenance.append("laid on black through its alpha channel")
    return np.asarray(grey * alpha)
