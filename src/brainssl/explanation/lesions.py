"""Where the lesions are: masks, COCO or YOLO files become masks of an ImageStore's images."""

import io
from codecs import BOM_UTF8
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Shaped
from PIL import Image, ImageOps
from pydantic import BaseModel, NonNegativeInt, ValidationError
from scipy import ndimage

from brainssl.data.read import (
    ALLOWED_SUFFIXES,
    FORMATS,
    UnreadableImage,
    file_bytes,
    read_bytes,
)
from brainssl.data.store import letterbox_window
from brainssl.data.tables import composed
from brainssl.errors import BrainsslError

Mask = Bool[np.ndarray, "h w"]
Outline = Float64[np.ndarray, "points 2"]

_HALF = 0.5 - 1e-9  # of a pixel: what is exactly half may come out a rounding error below
_OUTSIDE = 0.1  # of the side: by how much an outline may leave its image and is cut there


@dataclass(frozen=True)
class _Picture:
    """An image of the store, upright, as it was before the letterbox.

    Attributes:
        path: in Unicode's composed form.
        height: rows.
        width: columns.
        turned: whether the file holds it otherwise than upright.
    """

    path: str
    height: int
    width: int
    turned: bool

    @property
    def stem(self) -> str:
        return PurePosixPath(self.path).with_suffix("").as_posix()

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def size(self) -> str:
        return f"{self.width} × {self.height} px"


_Find = Callable[[_Picture], Mask | None]


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
        _Picture(composed(path), int(height), int(width), "exif rotated" in flags.split(";"))
        for path, height, width, flags in rows
    ]
    if source.is_dir():
        find = _in_folder(source, pictures)
    elif source.is_file():
        find = _in_coco(source, pictures)
    else:
        raise BrainsslError(
            f"{source}: does not exist; name a folder of masks, a folder of YOLO files or a COCO "
            "file"
        )
    found = (find(picture) for picture in pictures)
    return [None if lesion is None else _letterboxed(lesion, size) for lesion in found]


def _letterboxed(lesion: Mask, size: int) -> Bool[np.ndarray, "size size"]:
    """Bring a mask where `letterbox` brings its image, by the share of each pixel it covers."""
    height, width = lesion.shape
    window = letterbox_window(height, width, size)
    square = np.zeros((size, size), bool)
    inner = square[window]
    h, w = inner.shape
    tall, wide = _shares(height, h), _shares(width, w)
    cover = np.zeros((h, w))
    parts = []
    labels, _ = ndimage.label(lesion, np.ones((3, 3)))
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        y = slice(rows.start * h // height, -(-rows.stop * h // height))
        x = slice(columns.start * w // width, -(-columns.stop * w // width))
        own = tall[y, rows] @ (labels[rows, columns] == number) @ wide[x, columns].T
        cover[y, x] += own
        parts.append((inner[y, x], own))
    inner[:] = cover >= _HALF
    for part, own in parts:
        if not part[own > 0].any():
            part[np.unravel_index(own.argmax(), own.shape)] = True
    return square


def _shares(before: int, after: int) -> Float64[np.ndarray, "after before"]:
    """Return the share of each new pixel of a line that each old one makes up."""
    edges = np.arange(after + 1)[:, None] * before / after
    pixels = np.arange(before)
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return np.asarray(overlap.clip(0) * after / before)


# Folders


def _in_folder(source: Path, pictures: Sequence[_Picture]) -> _Find:
    """Tell masks from YOLO files, which may lie beside the images themselves."""
    root = source.resolve()
    within = (source / name for name in ("masks", "labels"))
    source = next((folder for folder in within if folder.is_dir()), source)
    masks, texts = _listed(source, ALLOWED_SUFFIXES), _listed(source, (".txt",))
    if not masks and not texts:
        raise BrainsslError(f"{source}: holds neither masks nor YOLO files; name another folder")
    stems = Counter(picture.stem for picture in pictures)
    yolo = not masks or bool(texts.keys() & (masks.keys() | stems.keys()))
    listed, read = (texts, _yolo) if yolo else (masks, _mask)

    def find(picture: _Picture) -> Mask | None:
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


def _mask(file: Path, picture: _Picture) -> Mask:
    try:
        data = file_bytes(file)
        levels: Shaped[np.ndarray, "h w"] = read_bytes(data, str(file)).pixels
    except UnreadableImage as error:
        raise BrainsslError(f"{error}; save the mask as PNG") from None
    threshold = 0.0
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        image.load()
        if image.mode.startswith(("I", "F")):
            # As grey values of a slice, the lowest of several labels would become black.
            levels = np.nan_to_num(np.asarray(ImageOps.exif_transpose(image)))
        elif image.format == "JPEG":
            threshold = levels.max() / 2  # its rounding reaches beyond the edges
    if levels.shape != (picture.height, picture.width):
        h, w = levels.shape
        raise BrainsslError(
            f"{file}: has {w} × {h} px, its image {picture.size}; save the mask in the size of "
            "the upright image"
        )
    return np.asarray(levels > threshold)


def _yolo(file: Path, picture: _Picture) -> Mask:
    lesion = np.zeros((picture.height, picture.width), bool)
    # What is no text fails as a line that cannot be understood.
    lines = file_bytes(file).decode("utf-8-sig", "replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{file}: line {number}"
            shares = _yolo_outline(line, where)
            lesion |= _filled(shares * [picture.width, picture.height], picture, where)
    return lesion


def _yolo_outline(line: str, where: str) -> Outline:
    try:
        values = np.array([float(word) for word in line.split()[1:]])
    except ValueError:
        values = np.empty(0)
    if len(values) == 4:
        x, y, width, height = values.tolist()
        return _box(x - width / 2, y - height / 2, width, height, where)
    if len(values) < 6 or len(values) % 2:
        raise BrainsslError(
            f"{where} is neither a box, class cx cy w h, nor an outline, class x y x y x y ...; "
            "export the labels again"
        )
    return values.reshape(-1, 2)


# COCO


class _CocoImage(BaseModel):
    id: int | str
    file_name: str
    width: int | None = None
    height: int | None = None


class _Rle(BaseModel):
    size: tuple[int, int]
    counts: list[NonNegativeInt] | str


class _Annotation(BaseModel):
    image_id: int | str
    bbox: tuple[float, float, float, float] | None = None
    segmentation: list[list[float]] | _Rle | None = None


class _Coco(BaseModel):
    images: list[_CocoImage]
    annotations: list[_Annotation]


def _in_coco(source: Path, pictures: Sequence[_Picture]) -> _Find:
    try:
        coco = _Coco.model_validate_json(file_bytes(source).removeprefix(BOM_UTF8))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BrainsslError(
            f"{source}: is no COCO file ({place or 'JSON'}: {first['msg']}); export it again"
        ) from None
    images = _by_path(coco.images, pictures)
    annotations: dict[int | str, list[tuple[str, _Annotation]]] = {i.id: [] for i in coco.images}
    for number, annotation in enumerate(coco.annotations):
        where = f"{source}: annotation {number}"
        if annotation.image_id not in annotations:
            raise BrainsslError(
                f"{where} is of image {annotation.image_id}, which is not listed; export it again"
            )
        annotations[annotation.image_id].append((where, annotation))

    def find(picture: _Picture) -> Mask | None:
        if picture.path not in images:
            return None
        lesion = np.zeros((picture.height, picture.width), bool)
        for image in images[picture.path]:
            told = (image.width or picture.width, image.height or picture.height)
            if told != (picture.width, picture.height):
                raise BrainsslError(
                    f"{source}: {image.file_name} has {told[0]} × {told[1]} px, in the store "
                    f"{picture.size}; annotate the images of the store"
                )
            for where, annotation in annotations[image.id]:
                lesion |= _annotated(annotation, picture, where)
        return lesion

    return find


def _by_path(
    images: Sequence[_CocoImage], pictures: Sequence[_Picture]
) -> dict[str, list[_CocoImage]]:
    """Match by whole paths; if none does, by file names that occur once on both sides."""
    paths, names = defaultdict(list), defaultdict(list)
    for image in images:
        path = PurePosixPath(composed(image.file_name.replace("\\", "/")))
        paths[path.as_posix()].append(image)
        names[path.name].append(image)
    if any(picture.path in paths for picture in pictures):
        return dict(paths)
    seen = Counter(picture.name for picture in pictures)
    once = [picture for picture in pictures if seen[picture.name] == len(names[picture.name]) == 1]
    return {picture.path: names[picture.name] for picture in once}


def _annotated(annotation: _Annotation, picture: _Picture, where: str) -> Mask:
    outlines = annotation.segmentation
    if isinstance(outlines, _Rle):
        return _run_lengths(outlines, picture, where)
    if outlines:
        if any(len(outline) < 6 or len(outline) % 2 for outline in outlines):
            raise BrainsslError(f"{where} has a polygon that is not x y x y x y ...; export again")
        arrays = [np.array(outline).reshape(-1, 2) for outline in outlines]
    elif annotation.bbox:
        arrays = [_box(*annotation.bbox, where)]
    else:
        raise BrainsslError(f"{where} has neither box nor outline; delete it or draw one")
    return np.asarray(np.any([_filled(array, picture, where) for array in arrays], axis=0))


def _run_lengths(rle: _Rle, picture: _Picture, where: str) -> Mask:
    _refuse_turned(picture, where)
    if isinstance(rle.counts, str):
        raise BrainsslError(f"{where} is compressed RLE; export polygons or uncompressed RLE")
    shape = (picture.height, picture.width)
    if rle.size != shape or sum(rle.counts) != picture.height * picture.width:
        raise BrainsslError(f"{where} is RLE of another size than {picture.size}; export it again")
    runs = np.arange(len(rle.counts)) % 2 == 1
    return np.repeat(runs, rle.counts).reshape(shape, order="F")


# Outlines


def _box(x: float, y: float, width: float, height: float, where: str) -> Outline:
    if not (width > 0 and height > 0):
        raise BrainsslError(f"{where} is a box without area; delete it or draw it anew")
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])


def _filled(outline: Outline, picture: _Picture, where: str) -> Mask:
    """Mark the pixels whose middle is inside, even-odd; in want of these, that of its own middle.

    x runs along the columns, y along the rows, both from the corner of the first pixel.
    """
    _refuse_turned(picture, where)
    shape = np.array([picture.width, picture.height])
    if not (abs(outline / shape - 0.5) <= 0.5 + _OUTSIDE).all():
        raise BrainsslError(
            f"{where} leaves {picture.path}, {picture.size}; COCO counts in pixels, YOLO in shares "
            "of the sides"
        )
    middles = np.arange(picture.height) + 0.5
    crossed = np.zeros((picture.height, picture.width + 1), bool)
    for (x, y), (next_x, next_y) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        rows = np.flatnonzero((y <= middles) != (next_y <= middles))
        at = x + (middles[rows] - y) * (next_x - x) / (next_y - y)
        # The first pixel whose middle is not left of the crossing.
        crossed[rows, np.ceil(at - 0.5).clip(0, picture.width).astype(int)] ^= True
    inside = np.logical_xor.accumulate(crossed, axis=1)[:, :-1]
    if not inside.any():
        column, row = ((outline.min(0) + outline.max(0)) / 2).clip(0, shape - 1).astype(int)
        inside[row, column] = True
    return np.asarray(inside)


def _refuse_turned(picture: _Picture, where: str) -> None:
    if picture.turned:
        raise BrainsslError(
            f"{where}: {picture.path} is turned upright by its EXIF tag, and annotations count in "
            "the pixels of the file; save it upright, or give masks of the upright image"
        )
