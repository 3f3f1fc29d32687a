"""Where the lesion is, on the grid of its image."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.matlab import read_matlab_mask
from brainssl.data.volumes.nifti import read_nifti
from brainssl.data.volumes.volume import Volume, VolumeRef

_APART = 0.1  # of a voxel by which two grids may differ


def read_mask(ref: VolumeRef, image: Volume) -> Bool[np.ndarray, "slices rows columns"]:
    """Read the mask of a volume, whichever axis its own header would take for that of the slices.

    Args:
        ref: `Series.mask`.
        image: the volume as it was read, before it is hung or resampled.

    Returns:
        True where a label above zero is.

    Raises:
        UnreadableImage: it cannot be read, or lies on another grid than its image.
    """
    mask = (read_matlab_mask if ref.format == "matlab" else read_nifti)(ref)
    found = _on_grid_of(image, mask)
    if found is None:
        raise UnreadableImage(ref.name, "is a mask on another grid than its image")
    return np.ascontiguousarray(found > 0)


def mask_volume(mask: Bool[np.ndarray, "slices rows columns"], image: Volume) -> Volume:
    """Return a mask as a volume that lies as its image does, to be hung or resampled as it is."""
    return replace(
        image, samples=mask.astype(np.float32), padding=None, source_bits=1, provenance=(), flags=()
    )


def _on_grid_of(image: Volume, mask: Volume) -> np.ndarray | None:
    """Return the mask's samples in the order of the image's; None where the grids differ."""
    if image.affine is None or mask.affine is None:
        return mask.samples if mask.samples.shape == image.samples.shape else None
    # Of each axis of the image (column, row, slice) its way along those of the mask.
    across = np.linalg.inv(mask.affine) @ image.affine
    order = [int(np.argmax(np.abs(across[:3, place]))) for place in range(3)]
    samples = mask.samples
    if sorted(order) != [0, 1, 2]:
        return None
    counts = mask.samples.shape[::-1]
    whole = np.zeros((4, 4))
    whole[3, 3] = 1
    for place, axis in enumerate(order):
        way = 1 if across[axis, place] > 0 else -1
        whole[axis, place] = way
        whole[axis, 3] = 0 if way > 0 else counts[axis] - 1
        if way < 0:
            samples = np.flip(samples, 2 - axis)
    samples = samples.transpose([2 - order[2 - place] for place in range(3)])
    if samples.shape != image.samples.shape:
        return None
    ends = np.array([[0, 0, 0, 1], [*(np.array(image.samples.shape[::-1]) - 1), 1]]).T
    return samples if np.abs((across - whole) @ ends).max() < _APART else None
