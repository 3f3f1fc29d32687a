"""Lesions from a COCO file: boxes, polygons and uncompressed RLE, in pixels."""

from codecs import BOM_UTF8
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

import numpy as np
from pydantic import BaseModel, BeforeValidator, NonNegativeInt, ValidationError

from brainssl.data.csv_tables import composed
from brainssl.data.read import file_bytes
from brainssl.explanation.lesions.outlines import (
    Find,
    Mask,
    Picture,
    box,
    filled,
    refuse_turned,
)
from brainssl.foundation.errors import BrainsslError


def _without_empty(value: object) -> object:
    """Return None for [] and [[]], which some tools write where there is no box or no polygon."""
    if not isinstance(value, list):
        return value
    return [one for one in value if one != []] or None


def _as_id(value: object) -> str:
    """Return an id as text: some tools write 1 here, and "1" or 1.0 there."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("an id is a number or a text")
    return str(value)


_Id = Annotated[str, BeforeValidator(_as_id)]


class _CocoImage(BaseModel):
    id: _Id
    file_name: str
    width: int | None = None
    height: int | None = None


class _Rle(BaseModel):
    size: tuple[int, int]
    counts: list[NonNegativeInt] | str


class _Annotation(BaseModel):
    image_id: _Id
    bbox: Annotated[tuple[float, float, float, float] | None, BeforeValidator(_without_empty)] = (
        None
    )
    segmentation: Annotated[list[list[float]] | _Rle | None, BeforeValidator(_without_empty)] = None


class _Coco(BaseModel):
    images: list[_CocoImage]
    annotations: list[_Annotation]


def in_coco(source: Path, pictures: Sequence[Picture]) -> Find:
    """Return what finds the lesions of an image in a COCO file."""
    try:
        coco = _Coco.model_validate_json(file_bytes(source).removeprefix(BOM_UTF8))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BrainsslError(
            f"{source}: is no COCO file ({place or 'JSON'}: {first['msg']}); export it again"
        ) from None
    doubled = [one for one, times in Counter(i.id for i in coco.images).items() if times > 1]
    if doubled:
        raise BrainsslError(f"{source}: two images have the id {doubled[0]}; export it again")
    images = _by_path(coco.images, pictures)
    annotations: dict[str, list[tuple[str, _Annotation]]] = {i.id: [] for i in coco.images}
    for number, annotation in enumerate(coco.annotations):
        where = f"{source}: annotation {number}"
        if annotation.image_id not in annotations:
            raise BrainsslError(
                f"{where} is of image {annotation.image_id}, which is not listed; export it again"
            )
        annotations[annotation.image_id].append((where, annotation))

    def find(picture: Picture) -> Mask | None:
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
    images: Sequence[_CocoImage], pictures: Sequence[Picture]
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


def _annotated(annotation: _Annotation, picture: Picture, where: str) -> Mask:
    outlines = annotation.segmentation
    if isinstance(outlines, _Rle):
        return _run_lengths(outlines, picture, where)
    if outlines:
        if any(len(outline) < 6 or len(outline) % 2 for outline in outlines):
            raise BrainsslError(f"{where} has a polygon that is not x y x y x y ...; export again")
        arrays = [np.array(outline).reshape(-1, 2) for outline in outlines]
    elif annotation.bbox:
        arrays = [box(*annotation.bbox, where)]
    else:
        raise BrainsslError(f"{where} has neither box nor outline; delete it or draw one")
    return np.asarray(np.any([filled(array, picture, where) for array in arrays], axis=0))


def _run_lengths(rle: _Rle, picture: Picture, where: str) -> Mask:
    refuse_turned(picture, where)
    if isinstance(rle.counts, str):
        raise BrainsslError(f"{where} is compressed RLE; export polygons or uncompressed RLE")
    shape = (picture.height, picture.width)
    if rle.size != shape or sum(rle.counts) != picture.height * picture.width:
        raise BrainsslError(f"{where} is RLE of another size than {picture.size}; export it again")
    runs = np.arange(len(rle.counts)) % 2 == 1
    return np.repeat(runs, rle.counts).reshape(shape, order="F")
