"""The section of maps: a point for each image and encoder, and what each image is."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brainssl.evaluation.projection import PROJECTIONS, Projections
from brainssl.reporting.blocks import Block, Choice, Multiples, Prose, Slices, flat
from brainssl.reporting.sections.features import content
from brainssl.reporting.study import Study, read_study

Blocks = tuple[Block, ...]


@pytest.fixture(scope="module")
def study(analysed_study: Path) -> Study:
    return read_study(analysed_study)


@pytest.fixture(scope="module")
def section(study: Study) -> Blocks:
    return content(study)


def multiples(section: Blocks) -> list[Multiples]:
    (choice,) = [block for block in section if isinstance(block, Choice)]
    return [b for panel in choice.panels for b in panel.blocks if isinstance(b, Multiples)]


def test_there_is_a_map_for_each_encoder_by_family_and_by_sequence(section: Blocks) -> None:
    family, sequence = multiples(section)
    titles = [
        "Untrained encoder (0.90)",
        "Supervised baseline (0.90)",
        "SimCLR, pretrained (0.90)",
        "SimCLR, fine-tuned (0.90)",
        "BYOL, pretrained (0.90)",
        "BYOL, fine-tuned (0.90)",
    ]
    assert [figure.key.label for figure in family.figures if figure.key] == titles
    assert [figure.key.label for figure in sequence.figures if figure.key] == titles
    assert [key.label for key in sequence.keys] == ["T1", "T1C+", "T2"]
    assert "Glioma" in [key.label for key in family.keys]


def test_every_image_stands_once_on_every_map_in_the_colour_of_its_label(
    study: Study, section: Blocks
) -> None:
    maps = Projections.load(study.folder / PROJECTIONS).frame
    (slices,) = [block for block in section if isinstance(block, Slices)]
    (family, _) = multiples(section)
    images = maps.drop_duplicates("row")
    assert len(slices.names) == len(images)
    for figure, (_, own) in zip(
        family.figures, maps.groupby(["method", "moment"], sort=False), strict=True
    ):
        traces = json.loads(figure.specification)["data"]
        places = [place for trace in traces for place in trace["customdata"]]
        assert sorted(places) == list(range(len(images)))
        at = {
            place: (x, y)
            for trace in traces
            for place, x, y in zip(trace["customdata"], trace["x"], trace["y"], strict=True)
        }
        for place, x, y in zip(range(len(own)), own["x"], own["y"], strict=True):
            assert at[place] == pytest.approx((x, y), abs=0.006)
        for trace in traces:
            labels = {slices.names[place].split("\n")[0] for place in trace["customdata"]}
            assert len({label.rpartition(" ")[0] for label in labels}) == 1


def test_a_thumbnail_is_the_slice_of_its_place(study: Study, section: Blocks) -> None:
    (slices,) = [block for block in section if isinstance(block, Slices)]
    kind, data = slices.sheet.split(",", 1)
    assert kind == "data:image/jpeg;base64"
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), np.float32)
    stored = np.load(study.folder / "store" / "images.npy")
    side = stored.shape[1]
    assert sheet.shape == (side * -(-len(stored) // slices.columns), side * slices.columns)
    for place in (0, 31, 32, len(stored) - 1):
        top, left = place // slices.columns * side, place % slices.columns * side
        tile = sheet[top : top + side, left : left + side]
        assert np.corrcoef(tile.ravel(), stored[place].ravel())[0, 1] > 0.95
        assert np.corrcoef(tile.ravel(), stored[(place + 2) % len(stored)].ravel())[0, 1] < 0.95


def test_without_a_store_there_are_names_and_no_pictures(study: Study, tmp_path: Path) -> None:
    for name in ("results.json", PROJECTIONS):
        (tmp_path / name).write_bytes((study.folder / name).read_bytes())
    section = content(read_study(tmp_path))
    (slices,) = [block for block in section if isinstance(block, Slices)]
    assert slices.sheet == ""
    assert slices.names[0].startswith("Glioma T1\n")


def test_what_could_not_be_drawn_is_said(study: Study, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_bytes((study.folder / "results.json").read_bytes())
    maps = Projections.load(study.folder / PROJECTIONS)
    left_out = [{"method": "dino", "moment": "pretrained", "reason": "all images are the same"}]
    Projections(maps.frame, maps.facts | {"left_out": left_out}).save(tmp_path / PROJECTIONS)
    prose = [b for b in flat(content(read_study(tmp_path))) if isinstance(b, Prose)]
    assert prose[-1].paragraphs[-1] == "DINO, pretrained is not drawn: all images are the same."


def test_without_maps_the_section_is_empty(study: Study, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_bytes((study.folder / "results.json").read_bytes())
    assert content(read_study(tmp_path)) == ()
