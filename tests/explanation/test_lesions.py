"""Lesions from masks, COCO and YOLO: by hand, in the letterbox of their images, and refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from brainssl.data.store import letterbox
from brainssl.explanation.lesions import read_lesions
from brainssl.foundation.errors import BrainsslError

SIZE = 16


def manifest_of(*paths: str, width: int = SIZE, height: int = SIZE, flags: str = "") -> Any:
    rows = {"path": paths, "width": width, "height": height, "flags": flags}
    return pd.DataFrame(rows)


ONE = manifest_of("a/1.png")


def rectangle(
    rows: slice, columns: slice, height: int = SIZE, width: int = SIZE
) -> np.ndarray[Any, Any]:
    mask = np.zeros((height, width), bool)
    mask[rows, columns] = True
    return mask


def save(file: Path, mask: np.ndarray, **options: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255 if mask.dtype == bool else mask).save(
        file, **options
    )
    return file


def coco(
    folder: Path,
    *annotations: dict[str, Any],
    names: tuple[str, ...] = ("a/1.png",),
    width: int = SIZE,
    height: int = SIZE,
) -> Path:
    """Write a file whose annotations are of the first image, unless they say otherwise."""
    images = [
        {"id": number, "file_name": name, "width": width, "height": height}
        for number, name in enumerate(names)
    ]
    every = [{"id": number, "image_id": 0} | one for number, one in enumerate(annotations)]
    file = folder / "annotations.json"
    file.write_text(json.dumps({"images": images, "annotations": every}))
    return file


def yolo(folder: Path, text: str, name: str = "a/1.txt") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return folder


def only(source: Path, manifest: pd.DataFrame = ONE, size: int = SIZE) -> np.ndarray[Any, Any]:
    (lesion,) = read_lesions(source, manifest, size)
    assert lesion is not None
    assert lesion.dtype == bool
    assert lesion.shape == (size, size)
    return lesion


SQUARE = rectangle(slice(2, 7), slice(3, 5))
BOX = {"bbox": [3, 2, 2, 5]}
POLYGON = {"segmentation": [[3, 2, 5, 2, 5, 7, 3, 7]]}
RUNS = {"segmentation": {"size": [16, 16], "counts": [50, 5, 11, 5, 185]}}
YOLO_BOX = f"0 {4 / 16} {4.5 / 16} {2 / 16} {5 / 16}\n"
YOLO_OUTLINE = "1 " + " ".join(f"{v / 16}" for v in POLYGON["segmentation"][0])

# The same square by all ways


@pytest.mark.parametrize("annotation", [BOX, POLYGON, RUNS, BOX | {"segmentation": []}])
def test_coco_by_hand(tmp_path: Path, annotation: dict[str, Any]) -> None:
    assert (only(coco(tmp_path, annotation)) == SQUARE).all()


@pytest.mark.parametrize("text", [YOLO_BOX, YOLO_OUTLINE, f"\n{YOLO_BOX}\n{YOLO_OUTLINE}\n"])
def test_yolo_by_hand(tmp_path: Path, text: str) -> None:
    assert (only(yolo(tmp_path, text)) == SQUARE).all()


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("a/1.png", np.uint8),
        ("a/1.png", np.uint16),
        ("a/1.BMP", np.uint8),
        ("a/1.tif", np.uint16),
        ("a/1.tiff", np.int32),
        ("a/1.tif", np.float32),
    ],
)
def test_masks_by_hand_of_two_labels(tmp_path: Path, name: str, dtype: type) -> None:
    """In each type, 1 and 2 are lesions as 255 would be."""
    labels = SQUARE.astype(dtype)
    labels[2, 3] = 2
    save(tmp_path / name, labels)
    assert (only(tmp_path) == SQUARE).all()


def test_a_mask_in_colours_with_a_palette(tmp_path: Path) -> None:
    image = Image.fromarray(SQUARE.astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 5, 0, 0])
    (tmp_path / "a").mkdir()
    image.save(tmp_path / "a" / "1.png")
    assert (only(tmp_path) == SQUARE).all()


def test_a_jpeg_mask_does_not_grow_by_its_rounding(tmp_path: Path) -> None:
    mask = rectangle(slice(9, 40), slice(13, 33), 64, 64)
    file = save(tmp_path / "a" / "1.jpg", mask, quality=80)
    assert (np.asarray(Image.open(file))[~mask] > 0).any()
    assert (only(tmp_path, manifest_of("a/1.png", width=64, height=64), 64) == mask).all()


def test_several_annotations_are_one_mask(tmp_path: Path) -> None:
    other = {"segmentation": [[8, 8, 10, 8, 10, 9, 8, 9], [12, 12, 15, 12, 15, 15, 12, 15]]}
    expected = SQUARE.copy()
    expected[8, 8:10] = expected[12:15, 12:15] = True
    assert (only(coco(tmp_path, BOX, other)) == expected).all()


def test_an_outline_is_filled_even_odd(tmp_path: Path) -> None:
    """A triangle by hand, and a bow tie whose halves turn in opposite ways."""
    triangle = {"segmentation": [[0, 0, 8, 0, 0, 8]]}
    rows, columns = np.mgrid[:SIZE, :SIZE]
    # Middles on the slanted edge itself are not inside: the right edge of a pixel run is open.
    assert (only(coco(tmp_path, triangle)) == (rows + columns + 1 < 8)).all()
    tie = {"segmentation": [[0, 0, 8, 8, 8, 0, 0, 8]]}
    ahead = (columns - rows) * (columns + rows - 7)
    inside = only(coco(tmp_path, tie))
    inner = (rows < 8) & (columns < 8)
    off_edges = (columns != rows) & (columns + rows != 7)
    left = (columns < 4) & (columns < rows) & (columns + rows < 7)
    right = (columns > 3) & (columns > rows) & (columns + rows > 7)
    assert (inside[off_edges] == ((left | right) & inner)[off_edges]).all()
    assert not inside[off_edges & (ahead < 0)].any()


@given(st.lists(st.tuples(st.floats(0, 64), st.floats(0, 64)), min_size=3, max_size=8))
@settings(max_examples=40, deadline=None)
def test_outlines_are_filled_as_another_library_fills_them(
    tmp_path_factory: pytest.TempPathFactory, points: list[tuple[float, float]]
) -> None:
    """Against Matplotlib's point-in-polygon, away from the edges."""
    from matplotlib.path import Path as Outline

    folder = tmp_path_factory.mktemp("coco")
    flat = [value for point in points for value in point]
    rows = manifest_of("a/1.png", width=64, height=64)
    found = only(coco(folder, {"segmentation": [flat]}, width=64, height=64), rows, 64)
    middles = np.stack(np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5), -1).reshape(-1, 2)
    inside = Outline([*points, points[0]]).contains_points(middles)
    clear = distance_to(middles, np.array(points)) > 1e-6
    if (inside & clear).any():
        assert (found.ravel() == inside)[clear].all()
    else:
        assert found.any()


def distance_to(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Distance of each point to the nearest edge."""
    nearest = np.full(len(points), np.inf)
    for start, end in zip(outline, np.roll(outline, -1, 0), strict=True):
        along = end - start
        share = ((points - start) @ along) / max(along @ along, 1e-300)
        foot = start + share.clip(0, 1)[:, None] * along
        nearest = np.minimum(nearest, np.linalg.norm(points - foot, axis=1))
    return nearest


# Letterbox


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 90), (90, 47), (30, 20), (333, 251)])
@pytest.mark.parametrize("size", [32, 50])
def test_a_mask_goes_where_its_image_goes(
    tmp_path: Path, height: int, width: int, size: int
) -> None:
    """A bright rectangle and its mask; at the edge, where both are mixed, half is the limit."""
    mask = rectangle(slice(height // 4, height // 2), slice(width // 3, -width // 8), height, width)
    save(tmp_path / "a" / "1.png", mask)
    found = only(tmp_path, manifest_of("a/1.png", width=width, height=height), size)
    grey = letterbox(mask.astype(np.float32), size)
    assert found[grey == 255].all()
    assert not found[grey == 0].any()
    assert (grey[found] > 0).all()
    assert abs(int(found.sum()) - grey.sum() / 255) <= 0.5 * (size + size)
    whole = np.ones((height, width), bool)
    save(tmp_path / "a" / "1.png", whole)
    assert (
        only(tmp_path, manifest_of("a/1.png", width=width, height=height), size)
        == (letterbox(whole.astype(np.float32), size) == 255)
    ).all()


@pytest.mark.parametrize(("height", "width", "size"), [(32, 32, 8), (24, 32, 8), (8, 6, 32)])
def test_a_pixel_is_lesion_if_half_of_it_is_covered(
    tmp_path: Path, height: int, width: int, size: int
) -> None:
    """Against block means, where pixels divide evenly."""
    generator = np.random.default_rng(0)
    coarse = generator.random((height, width)) < np.linspace(0, 1, width)
    save(tmp_path / "a" / "1.png", coarse)
    found = only(tmp_path, manifest_of("a/1.png", width=width, height=height), size)
    square = np.zeros((max(height, width),) * 2)
    top, left = (square.shape[0] - height) // 2, (square.shape[0] - width) // 2
    square[top : top + height, left : left + width] = coarse
    factor = square.shape[0] / size
    if factor >= 1:
        step = int(factor)
        cover = square.reshape(size, step, size, step).mean((1, 3))
    else:
        cover = np.kron(square, np.ones((int(1 / factor),) * 2))
    assert found[cover >= 0.5].all()
    # Whatever else is marked stands for a lesion that fills no half pixel.
    extra = found & (cover < 0.5)
    assert (cover[extra] > 0).all()


def test_exactly_half_is_lesion_though_it_is_no_round_number(tmp_path: Path) -> None:
    """Of the second of three pixels, 10/3 wide, columns 3 and 4 of ten cover 2/3 + 1: a half."""
    save(tmp_path / "a" / "1.png", rectangle(slice(0, 10), slice(3, 5), 10, 10))
    found = only(tmp_path, manifest_of("a/1.png", width=10, height=10), 3)
    assert found.tolist() == [[False, True, False]] * 3


@given(st.integers(0, 39), st.integers(0, 29), st.integers(0, 39), st.integers(0, 29))
@settings(max_examples=30, deadline=None)
def test_no_lesion_vanishes_beside_a_large_one_or_alone(
    tmp_path_factory: pytest.TempPathFactory, y: int, x: int, other_y: int, other_x: int
) -> None:
    folder = tmp_path_factory.mktemp("masks")
    mask = np.zeros((40, 30), bool)
    mask[y, x] = mask[other_y, other_x] = True
    save(folder / "a" / "1.png", mask)
    found = only(folder, manifest_of("a/1.png", width=30, height=40), 8)
    for row, column in ((y, x), (other_y, other_x)):
        alone = np.zeros((40, 30), np.float32)
        alone[row, column] = 1
        # Pillow's filter is wider than a pixel: where it sees nothing, nothing may be.
        assert (found & (letterbox(alone, 8) > 0)).any()
    assert found.sum() <= 2


def test_a_thin_slanted_lesion_is_one(tmp_path: Path) -> None:
    for line in (np.eye(32, dtype=bool), np.eye(32, dtype=bool)[::-1]):
        save(tmp_path / "a" / "1.png", line)
        assert only(tmp_path, manifest_of("a/1.png", width=32, height=32), 8).sum() == 1


def test_a_box_within_a_pixel_keeps_it(tmp_path: Path) -> None:
    found = only(coco(tmp_path, {"bbox": [5.1, 9.1, 0.2, 0.2]}))
    assert np.argwhere(found).tolist() == [[9, 5]]
    assert only(yolo(tmp_path / "yolo", "0 1 1 0.001 0.001"))[15, 15]


# Which image is meant


def test_what_is_known_and_what_is_not(tmp_path: Path) -> None:
    rows = manifest_of("a/1.png", "a/2.png", "b/1.png")
    for folder in ("masks", "labels"):
        home = tmp_path / f"of {folder}"
        if folder == "masks":
            save(home / "a" / "1.png", SQUARE)
            save(home / "a" / "2.png", np.zeros_like(SQUARE))
        else:
            yolo(home, YOLO_BOX)
            yolo(home, "\n", "a/2.txt")
        first, second, third = read_lesions(home, rows, SIZE)
        assert (first == SQUARE).all()
        assert second is not None
        assert not second.any()
        assert third is None
    first, second, third = read_lesions(
        coco(tmp_path, BOX, names=("a/1.png", "a/2.png")), rows, SIZE
    )
    assert (first == SQUARE).all()
    assert second is not None
    assert not second.any()
    assert third is None


def test_rows_are_answered_in_their_order(tmp_path: Path) -> None:
    paths = [f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        save(tmp_path / path, rectangle(slice(number, number + 1), slice(0, 4)))
    rows = manifest_of(*paths).iloc[[3, 0, 4]]
    found = read_lesions(tmp_path, rows, SIZE)
    assert [int(np.flatnonzero(lesion.any(1))[0]) for lesion in found] == [3, 0, 4]


def test_an_unlike_suffix_will_do_and_the_same_name_comes_first(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.tif", SQUARE)
    assert (only(tmp_path, manifest_of("a/1.jpg")) == SQUARE).all()
    save(tmp_path / "a" / "1.jpg", np.zeros_like(SQUARE))
    assert not only(tmp_path, manifest_of("a/1.jpg")).any()
    with pytest.raises(BrainsslError, match=r"1\.jpg.*different names"):
        only(tmp_path, manifest_of("a/1.png"))


def test_labels_of_two_images_of_one_stem_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match=r"1\.txt.*different names"):
        read_lesions(yolo(tmp_path, YOLO_BOX), manifest_of("a/1.png", "a/1.jpg"), SIZE)


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("a/1.png", "labels/a/1.txt"),
        ("train/images/1.png", "train/labels/1.txt"),
        ("images/images/1.png", "images/labels/1.txt"),
        ("images/1.png", "labels/images/1.txt"),
    ],
)
def test_yolo_layouts(tmp_path: Path, path: str, file: str) -> None:
    assert (only(yolo(tmp_path, YOLO_BOX, file), manifest_of(path)) == SQUARE).all()


@pytest.mark.parametrize("asked", ["a/1.png", "a/2.png"])
def test_images_beside_their_yolo_files_are_no_masks(tmp_path: Path, asked: str) -> None:
    for name in ("1", "2"):
        save(tmp_path / "a" / f"{name}.png", np.full((SIZE, SIZE), 90, np.uint8))
    (found,) = read_lesions(yolo(tmp_path, YOLO_BOX), manifest_of(asked), SIZE)
    assert found is None if asked == "a/2.png" else (found == SQUARE).all()


def test_a_text_beside_masks_makes_them_no_yolo_files(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", SQUARE)
    yolo(tmp_path, "who drew them", "README.txt")
    assert (only(tmp_path) == SQUARE).all()


@pytest.mark.parametrize("name", ["a/1.png", "./a/1.png", "a\\1.png", "1.png", "x/y/1.png"])
def test_coco_names_images_by_path_or_by_file_name(tmp_path: Path, name: str) -> None:
    assert (only(coco(tmp_path, BOX, names=(name,))) == SQUARE).all()


def test_a_file_name_that_occurs_twice_names_nothing(tmp_path: Path) -> None:
    source = coco(tmp_path, BOX, names=("x/1.png", "y/1.png"))
    assert read_lesions(source, ONE, SIZE) == [None]
    source = coco(tmp_path, BOX, names=("1.png",))
    assert read_lesions(source, manifest_of("a/1.png", "b/1.png"), SIZE) == [None, None]


def test_where_paths_match_a_file_name_alone_does_not(tmp_path: Path) -> None:
    source = coco(tmp_path, BOX, names=("a/1.png", "a/2.png"))
    first, second = read_lesions(source, manifest_of("a/1.png", "b/2.png"), SIZE)
    assert first is not None
    assert second is None


def test_names_are_compared_in_one_unicode_form(tmp_path: Path) -> None:
    apart, together = "o\u0303.png", "\u00f5.png"
    save(tmp_path / apart, SQUARE)
    assert (only(tmp_path, manifest_of(together)) == SQUARE).all()
    assert (only(coco(tmp_path, BOX, names=(together,)), manifest_of(apart)) == SQUARE).all()


def test_nothing_outside_the_source_is_opened(tmp_path: Path) -> None:
    secret = save(tmp_path / "outside" / "1.png", SQUARE)
    source = tmp_path / "source"
    save(source / "2.png", SQUARE)
    absolute = str(secret)
    rows = manifest_of("../outside/1.png", absolute, "a/../../outside/1.png")
    assert read_lesions(source, rows, SIZE) == [None] * 3
    (source / "1.png").symlink_to(secret)
    with pytest.raises(BrainsslError, match="link that leaves"):
        only(source, manifest_of("1.png"))
    (source / "masks").symlink_to(secret.parent)
    with pytest.raises(BrainsslError, match="link that leaves"):
        only(source, manifest_of("1.png"))


# Turned and mistaken images


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_mask_is_turned_by_its_own_tag(tmp_path: Path, dtype: type) -> None:
    upright = rectangle(slice(1, 3), slice(2, 9), 10, 20).astype(dtype)
    exif = Image.Exif()
    exif[274] = 6  # to be turned clockwise by a quarter
    save(tmp_path / "a" / "1.png", np.rot90(upright), exif=exif)
    rows = manifest_of("a/1.png", width=20, height=10, flags="alpha;exif rotated")
    assert (only(tmp_path, rows, 20)[5:15] == upright).all()


@pytest.mark.parametrize("annotation", [BOX, POLYGON, RUNS])
def test_boxes_of_images_that_were_turned_are_refused(
    tmp_path: Path, annotation: dict[str, Any]
) -> None:
    rows = manifest_of("a/1.png", flags="exif rotated")
    with pytest.raises(BrainsslError, match="EXIF"):
        only(coco(tmp_path, annotation), rows)
    assert not only(coco(tmp_path), rows).any()
    with pytest.raises(BrainsslError, match="EXIF"):
        only(yolo(tmp_path / "yolo", YOLO_BOX), rows)


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        ({}, "neither box nor outline"),
        ({"bbox": [3, 2, 0, 5]}, "without area"),
        ({"bbox": [3, 2, float("nan"), 5]}, "without area"),
        ({"bbox": [3, 2, 200, 5]}, "leaves a/1.png"),
        ({"bbox": [3, 2, float("inf"), 5]}, "leaves a/1.png"),
        ({"bbox": [3, 2, 5]}, "no COCO file"),
        ({"segmentation": [[3, 2, 5, 2]]}, "x y x y"),
        ({"segmentation": [[3, 2, 5, 2, 5, 7, 3]]}, "x y x y"),
        ({"segmentation": [[3, 2, 5, float("nan"), 5, 7]]}, "leaves a/1.png"),
        ({"segmentation": [[-90, 2, 5, 2, 5, 7]]}, "leaves a/1.png"),
        ({"segmentation": {"size": [16, 16], "counts": "ab1"}}, "compressed RLE"),
        ({"segmentation": {"size": [16, 16], "counts": [1, 2]}}, "another size"),
        ({"segmentation": {"size": [10**6, 10**6], "counts": [10**12]}}, "another size"),
        ({"segmentation": {"size": [16, 16], "counts": [300, -44]}}, "no COCO file"),
        ({"image_id": 7, "bbox": [3, 2, 2, 5]}, "image 7, which is not listed"),
    ],
)
def test_what_a_coco_file_cannot_say_is_told(
    tmp_path: Path, annotation: dict[str, Any], told: str
) -> None:
    with pytest.raises(BrainsslError, match=rf"annotations\.json.*{told}") as caught:
        only(coco(tmp_path, annotation))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"images": [', b"\xff\xfe\x00", b"[" * 10**5, b"9" * 10**5]
)
def test_what_is_no_coco_file_is_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(content)
    with pytest.raises(BrainsslError, match=r"x\.json: is no COCO file") as caught:
        only(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "annotation",
    [
        {"bbox": [3, 2, 2, 5], "segmentation": [[]]},
        {"bbox": [3, 2, 2, 5], "segmentation": []},
        {"bbox": [], "segmentation": [[3, 2, 5, 2, 5, 7, 3, 7]]},
        {"bbox": None, "segmentation": [[3, 2, 5, 2, 5, 7, 3, 7]]},
    ],
)
def test_what_is_empty_leaves_it_to_the_other(tmp_path: Path, annotation: dict[str, Any]) -> None:
    expected = rectangle(slice(2, 7), slice(3, 5))
    assert (only(coco(tmp_path, annotation)) == expected).all()


@pytest.mark.parametrize("wrong", [None, True, 1.5, [0]])
def test_what_is_no_id_is_refused(tmp_path: Path, wrong: object) -> None:
    with pytest.raises(BrainsslError, match="no COCO file"):
        only(coco(tmp_path, BOX | {"image_id": wrong}))


def test_a_mask_that_hides_everything_marks_nothing(tmp_path: Path) -> None:
    white = np.full((SIZE, SIZE), 255, np.uint8)
    hidden = np.stack([white, np.zeros_like(white)], 2)
    assert not only(save(tmp_path / "masks/a/1.png", hidden).parents[1]).any()


def test_ids_match_as_numbers_and_as_words(tmp_path: Path) -> None:
    file = coco(tmp_path, {"bbox": [3, 2, 2, 5], "image_id": "0"})
    assert (only(file) == rectangle(slice(2, 7), slice(3, 5))).all()


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    file = coco(tmp_path, BOX)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert (only(file) == SQUARE).all()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0 0.5 0.5 0.2", "line 2 is neither a box"),
        ("0 0.5 0.5 0.2 0.2 0.9", "line 2 is neither a box"),
        ("0 0.5 0.5 0.2 x", "line 2 is neither a box"),
        ("0 0.5 0.5 0.2 0", "line 2 is a box without area"),
        ("0 0.5 0.5 nan 0.1", "line 2 is a box without area"),
        ("0 8 8 3 3", "line 2 leaves a/1.png"),
        ("0 0.1 0.1 0.2 0.1 0.2 inf", "line 2 leaves a/1.png"),
    ],
)
def test_what_a_yolo_file_cannot_say_is_told(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(BrainsslError, match=rf"1\.txt: {told}"):
        only(yolo(tmp_path, f"{YOLO_BOX}{line}\n"))


def test_masks_and_annotations_of_other_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match="16 × 16 px, in the store 20 × 10 px"):
        only(coco(tmp_path, BOX), manifest_of("a/1.png", width=20, height=10))
    save(tmp_path / "a" / "1.png", SQUARE)
    with pytest.raises(BrainsslError, match=r"1\.png: has 16 × 16 px, its image 20 × 10 px"):
        only(tmp_path, manifest_of("a/1.png", width=20, height=10))


def test_sources_without_masks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match="neither masks nor YOLO"):
        only(tmp_path)
    with pytest.raises(BrainsslError, match="does not exist"):
        only(tmp_path / "nowhere")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(b"no image")
    with pytest.raises(BrainsslError, match=r"1\.png.*save the mask as PNG"):
        only(tmp_path)


def test_masks_beside_images_of_a_phantom(tmp_path: Path) -> None:
    """The folder itself and its masks: what `brainssl phantom` writes."""
    for path, mask in {"Glioma T1/p.png": SQUARE, "Normal T1/q.png": SQUARE & False}.items():
        image = Image.new("L", (SIZE, SIZE), 40)
        ImageDraw.Draw(image).rectangle((3, 2, 4, 6), fill=int(mask.any()) * 200 + 40)
        (tmp_path / "images" / path).parent.mkdir(parents=True)
        image.save(tmp_path / "images" / path)
        save(tmp_path / "masks" / path, mask)
    rows = manifest_of("Glioma T1/p.png", "Normal T1/q.png")
    for source in (tmp_path, tmp_path / "masks"):
        lesion, healthy = read_lesions(source, rows, SIZE)
        assert (lesion == SQUARE).all()
        assert healthy is not None
        assert not healthy.any()
