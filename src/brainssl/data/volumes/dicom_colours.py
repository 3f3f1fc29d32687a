"""Grey from the colours of a DICOM file: RGB, YBR and palettes."""

import numpy as np
from jaxtyping import Float64, Shaped

from brainssl.data.grey import ANNOTATION_SHARE, CHANNEL_TOLERANCE, Notes

_LUMINANCE = (0.299, 0.587, 0.114)  # Rec. 601, as for coloured images of any other format


def grey_of(
    colours: Shaped[np.ndarray, "rows columns 3"], depth: int, notes: Notes
) -> Float64[np.ndarray, "rows columns"]:
    """Collapse three channels to one: their mean where they agree, else the luminance.

    Args:
        colours: red, green and blue.
        depth: bits of each.
        notes: gets what was done.
    """
    levels = colours.astype(np.float64)
    spread = levels.max(axis=2) - levels.min(axis=2)
    # Colours that agree but for rounding are grey; a palette of grey levels has none.
    apart = spread > CHANNEL_TOLERANCE / 255 * (2**depth - 1)
    if not apart.any():
        _tell(notes.provenance, "three agreeing channels averaged")
        return np.asarray(levels.sum(axis=2) / 3)
    few = float(apart.mean()) <= ANNOTATION_SHARE
    _tell(notes.flags, "coloured annotation" if few else "coloured")
    _tell(notes.provenance, "luminance of a coloured image")
    return np.asarray(levels @ np.array(_LUMINANCE))


def _tell(words: list[str], word: str) -> None:
    if word not in words:
        words.append(word)
