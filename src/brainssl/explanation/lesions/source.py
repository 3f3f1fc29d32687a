"""Where the lesions are: masks, COCO or YOLO files become masks of an ImageStore's images."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from brainssl.data.csv_tables import composed
from brainssl.data.letterbox import letterbox_mask
from brainssl.data.read import ALLOWED_SUFFIXES
from brainssl.explanation.lesions.coco import in_coco
from brainssl.explanation.lesions.masks import read_mask
from brainssl.explanation.lesions.outlines import Find, Mask, Picture
from brainssl.explanation.lesions.yolo import read_yolo
from brainssl.foundation.errors import BrainsslError


def read_lesions(
    source: Path, manifest: pd.DataFrame, size: int
) -> list[Bool[np.ndarray, "size size"] | None]:
    """Read where the lesions are, in the pixels of an ImageStore's images.

    Args:
        source: one of three. A folder of masks, named as the images are, the suffix aside: what is
            not black is lesion (in a JPEG, what is brighter than half). A folder of YOLO files,
            boxes or outlines. A COCO file, with boxes, polygons or uncompressed RLE; it names
            images by their `path`, or all of them by file names alone, which must be unique.
            `masks/` or `labels/` in a folder stand for it. All classes are lesions.
        manifest: rows of a store's manifest: `path`, `width`, `height`, `flags`.
        size: side of the store's images, in pixels.

    Returns:
        For each row, True where at least half of a pixel is lesion; a lesion that fills no half
        pixel keeps the one that it fills most. None where nothing is known, all False where it is
        known that there is no lesion: a black mask, an empty file, an image without annotation.

    Raises:
        BrainsslError: a file cannot be read, says what cannot be, or does not fit its image.
    """
    rows = zip(*(manifest[name] for name in ("path", "height", "width", "flags")), strict=True)
    pictures = [
        Picture(composed(path), int(height), int(width), "exif rotated" in flags.split(";"))
        for path, height, width, flags in rows
    ]
    if source.is_dir():
        find = _in_folder(source, pictures)
    elif source.is_file():
        find = in_coco(source, pictures)
    else:
        raise BrainsslError(
            f"{source}: does not exist; name a folder of masks, a folder of YOLO files or a COCO "
            "file"
        )
    found = (find(picture) for picture in pictures)
    return [None if lesion is None else letterbox_mask(lesion, size) for lesion in found]


def _in_folder(source: Path, pictures: Sequence[Picture]) -> Find:
    """Tell masks from YOLO files, which may lie beside the images themselves."""
    root = source.resolve()
    within = (source / name for name in ("masks", "labels"))
    source = next((folder for folder in within if folder.is_dir()), source)
    masks, texts = _listed(source, ALLOWED_SUFFIXES), _listed(source, (".txt",))
    if not masks and not texts:
        raise BrainsslError(f"{source}: holds neither masks nor YOLO files; name another folder")
    stems = Counter(picture.stem for picture in pictures)
    yolo = not masks or bool(texts.keys() & (masks.keys() | stems.keys()))
    listed, read = (texts, read_yolo) if yolo else (masks, read_mask)

    def find(picture: Picture) -> Mask | None:
        files = listed.get(picture.stem) or listed.get(_with_labels(picture.stem)) or []
        exact = [file for file in files if composed(file.name) == picture.name]
        if not files:
            return None
        file = (exact or files)[0]
        if not exact and (len(files) > 1 or stems[picture.stem] > 1):
            raise BrainsslError(
                f"{file}: may belong to {picture.path} or not; files that differ in their suffix "
                "alone need different names"
            )
        if not file.resolve().is_relative_to(root):
            raise BrainsslError(f"{file}: is a link that leaves {root}; copy what it points to")
        return read(file, picture)

    return find


def _listed(folder: Path, suffixes: Collection[str]) -> dict[str, list[Path]]:
    """Return files by relative name without suffix: whatever a manifest names, no other opens."""
    found = defaultdict(list)
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in suffixes and file.is_file():
            found[composed(file.relative_to(folder).with_suffix("").as_posix())].append(file)
    return found


def _with_labels(stem: str) -> str:
    """Return where YOLO looks for the labels of `.../images/...`: the last such folder counts."""
    before, folder, after = f"/{stem}".rpartition("/images/")
    return f"{before}/labels/{after}"[1:] if folder else stem
