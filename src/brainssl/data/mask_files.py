"""Masks among the images: `x_mask.tif` beside `x.tif`, a folder `masks` beside one of images."""

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

_MASK = re.compile(
    r"(?P<of>.+)[_\-. ](?:masks?|seg|segmentation|gt|ground_?truth|annotation)(?:[_\-. ]?\d+)?"
    r"|(?:masks?|seg|segmentation|gt)[_\-. ](?P<before>.+)",
    re.IGNORECASE,
)
_MASK_FOLDERS = frozenset({"mask", "masks", "seg", "segmentation", "segmentations", "gt"})
_MASK_NAMES = _MASK_FOLDERS | {"groundtruth", "ground_truth", "ground truth", "rois", "annotations"}
_IMAGE_FOLDERS = frozenset({"image", "images", "img", "imgs", "slices"})


def masks_among(paths: Sequence[str]) -> list[str]:
    """Return the paths that are masks of others, by their names, as the LGG collection has them."""
    stems: dict[PurePosixPath, set[str]] = defaultdict(set)
    folders: set[PurePosixPath] = set()
    for path in map(PurePosixPath, paths):
        stems[path.parent].add(path.stem)
        folders |= {path.parent, *path.parents}
    with_images = {one.parent for one in folders if one.name.casefold() in _IMAGE_FOLDERS}
    slices = {
        folder: {stem for stem in held if not _MASK.fullmatch(stem)}
        for folder, held in stems.items()
    }
    # Beginnings of slices and of masks, so that thousands of each are not compared one by one.
    begun = {
        folder: {b for stem in held for b in _beginnings(stem)} for folder, held in slices.items()
    }

    def is_mask(path: PurePosixPath) -> bool:
        for folder in (path.parent, *path.parents):
            if folder.name.casefold() in _MASK_FOLDERS and folder.parent in with_images:
                return True
        found = _MASK.fullmatch(path.stem)
        if found is None:
            return False
        own = found["of"] or found["before"]
        return own in begun[path.parent] or bool(_beginnings(own) & slices[path.parent])

    return [path for path in paths if is_mask(PurePosixPath(path))]


def is_mask(name: str) -> bool:
    """Tell whether a name is that of masks and of nothing else: `Segmentations`."""
    return name.casefold() in _MASK_NAMES


def is_mask_of_another(name: str, others: Collection[str]) -> bool:
    """Tell whether a name is that of masks of something else: `Glioma_mask` beside `Glioma`."""
    found = _MASK.fullmatch(name)
    return found is not None and (found["of"] or found["before"]) in others


def _beginnings(stem: str) -> set[str]:
    """Return a name, and what stands before each of its signs: `c1_t1` begins with `c1`."""
    return {stem, *(stem[:place] for place, sign in enumerate(stem) if sign in "_-. ")} - {""}
