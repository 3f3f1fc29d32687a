"""Masks of lesions in a BIDS dataset: beside the images, or among its derivatives."""

from collections.abc import Mapping, Sequence

from brainssl.data.archives.bids_names import Name, fits, outlines_lesion, parsed
from brainssl.data.archives.nifti_series import same_grid
from brainssl.data.volumes.nifti import NiftiHeader
from brainssl.foundation.nouns import agreed, counted


def lesion_masks(paths: Sequence[str]) -> list[str]:
    """Return the files that outline a lesion, by their names."""
    return [path for path in paths if (name := parsed(path)) and outlines_lesion(name)]


def matched(
    images: Mapping[str, tuple[Name, NiftiHeader]], masks: Mapping[str, NiftiHeader]
) -> tuple[dict[str, str], list[str]]:
    """Return the mask of each image that has one, and what to say.

    Args:
        images: name and header of each.
        masks: header of each.

    Returns:
        For an image, of the masks on its grid that say nothing which it does not say, the one whose
        name says most, and then the first by name.
    """
    of_study: dict[str, list[tuple[Name, str]]] = {}
    for path in masks:
        name = parsed(path)
        if name is not None:
            of_study.setdefault(name.patient, []).append((name, path))
    found: dict[str, str] = {}
    several = 0
    for path, (image, header) in images.items():
        fitting = [
            (-len(name.entities) - len(name.further), mask)
            for name, mask in of_study.get(image.patient, [])
            if fits(name, image) and same_grid(header, masks[mask])
        ]
        if fitting:
            found[path] = min(fitting)[1]
            several += len(fitting) > 1
    notes = []
    if found:
        have = agreed(
            len(found), "has a mask of a lesion on its", "have a mask of a lesion on their"
        )
        notes.append(f"{counted(len(found), 'volume')} {have} grid.")
    if several:
        notes.append(f"{several} of them have several masks; one was taken by its name.")
    if unused := set(masks) - set(found.values()):
        lie = agreed(len(unused), "lies", "lie")
        notes.append(
            f"{counted(len(unused), 'mask')} {lie} on the grid of no image, e.g. {min(unused)}."
        )
    return found, notes
