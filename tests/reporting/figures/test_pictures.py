import base64
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brainssl.foundation.errors import BrainsslError
from brainssl.reporting.figures import pictures
from brainssl.reporting.figures.pictures import contact_sheet, read_images, sample_strips


def test_a_contact_sheet_holds_every_image_unaltered() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 40, 60), dtype=np.uint8)
    sheet = np.asarray(contact_sheet(images, ["crop", "flip ×2", "", "d", "e"], columns=3))
    found = 0
    for image in images:
        for y in range(sheet.shape[0] - 39):
            row = sheet[y, : sheet.shape[1]]
            for x in np.flatnonzero(row == image[0, 0]):
                window = sheet[y : y + 40, x : x + 60]
                found += window.shape == image.shape and bool((window == image).all())
    assert found == 5


def test_captions_are_drawn_below_and_long_ones_stay_within_their_column() -> None:
    images = np.zeros((2, 50, 50), dtype=np.uint8)
    bare = contact_sheet(images, [], columns=2)
    told = contact_sheet(images, ["rotation", "Outros Tipos de Lesões " * 9], columns=2)
    assert told.height > bare.height
    below = np.asarray(told)[60:]
    assert (below < 128).any()
    assert (below[:, :6] == 255).all()
    assert (below[:, -6:] == 255).all()


def test_a_machine_without_fonts_still_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_FONTS", ())
    images = np.zeros((1, 50, 80), dtype=np.uint8)
    assert (np.asarray(contact_sheet(images, ["Lesões – ×2"], 1))[60:] < 128).any()


@pytest.mark.parametrize(("n", "captions", "columns"), [(0, [], 1), (2, ["a"], 1), (1, [], 0)])
def test_sheets_that_cannot_be_laid_out_are_refused(
    n: int, captions: list[str], columns: int
) -> None:
    with pytest.raises(BrainsslError):
        contact_sheet(np.zeros((n, 8, 8), dtype=np.uint8), captions, columns)


def test_strips_show_different_groups_and_stay_below_their_budget() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (240, 96, 96), dtype=np.uint8)
    images[:] = np.arange(240, dtype=np.uint8)[:, None, None]
    manifest = pd.DataFrame(
        {"label": [None if i < 40 else f"c{i % 2}" for i in range(240)], "group": np.arange(240)}
    )
    manifest["group"] //= 10
    strips = sample_strips(images, manifest, ["c0", "c1", "absent"])
    assert [strip.caption for strip in strips] == ["c0", "c1"]
    assert "c0" in strips[0].alt
    data = base64.b64decode(strips[0].data.partition(",")[2])
    picture = np.asarray(Image.open(io.BytesIO(data)))
    assert picture.shape == (96, 4 * 96 + 3 * 2)
    shown = [int(np.median(picture[:, i * 98 : i * 98 + 96])) for i in range(4)]
    assert len({value // 10 for value in shown}) == 4
    assert min(shown) >= 40
    noise = rng.integers(0, 256, images.shape, dtype=np.uint8)
    small = sample_strips(noise, manifest, ["c0", "c1"], budget=20_000)
    assert sum(len(strip.data) for strip in small) <= 20_000


def test_a_store_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_images(tmp_path) is None
    np.save(tmp_path / "images.npy", np.zeros((2, 4, 4), dtype=np.uint8))
    pd.DataFrame({"label": ["a"]}).to_parquet(tmp_path / "manifest.parquet")
    assert read_images(tmp_path) is None
