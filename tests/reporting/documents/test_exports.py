"""Files for papers hold what the page holds."""

import base64
import csv
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brainssl.reporting.assembly import sections
from brainssl.reporting.blocks import Strips, flat
from brainssl.reporting.documents.exports import export, frame_of
from brainssl.reporting.documents.latex import latex_of
from brainssl.reporting.study import read_study
from brainssl.reporting.tables.results import main_table
from brainssl.reporting.tables.table import Cell, Line, Table

FAMILIES = ("Glioma", "Meningioma", "Neurocitoma (Central - Intraventricular, Extraventricular)")


@pytest.fixture(scope="module")
def exported(make_study: Callable[..., Path]) -> Path:
    classes = [f"{family} {sequence}" for family in FAMILIES for sequence in ("T1", "T1C+")]
    folder = make_study(classes=classes, seeds=1, fractions=(1.0,), analysed=True)
    export(folder, sections(read_study(folder)))
    return folder


def test_each_table_is_there_with_its_numbers(exported: Path) -> None:
    table = main_table(read_study(exported), "grouped")
    frame = pd.read_csv(exported / "tables" / "main-grouped-test.csv", dtype=str)
    assert list(frame["Model"]) == [line.headers[1] for line in table.lines]
    assert list(frame["Accuracy, %"]) == [line.cells[0].text for line in table.lines]
    assert list(frame["Accuracy, %: range"]) == [line.cells[0].detail for line in table.lines]
    names = {file.stem for file in (exported / "tables").glob("*.csv")}
    assert names == {file.stem for file in (exported / "tables").glob("*.tex")}
    assert {"calibration", "differences-f1", "controls", "factors"} <= names
    # Four models and the ensemble.
    assert len([name for name in names if name.startswith("confusion-")]) == 5


def test_each_figure_is_drawn_and_has_a_caption(exported: Path) -> None:
    with (exported / "figures" / "captions.csv").open(encoding="utf-8") as stream:
        captions = {row["figure"]: row["caption"] for row in csv.DictReader(stream)}
    drawn = {file.stem for file in (exported / "figures").glob("*.png")}
    strips = {file.stem for file in (exported / "figures").glob("*.jpg")}
    assert drawn == {file.stem for file in (exported / "figures").glob("*.svg")}
    assert set(captions) == drawn | strips
    assert {"reliability", "risk-coverage", "efficiency-grouped-linear"} <= drawn
    assert {"loss-pretrain-grouped", "loss-finetune-grouped", "watch-grouped"} <= drawn
    assert {"features-by-family", "features-by-sequence", "figure-1"} <= drawn
    assert len([name for name in drawn if name.startswith("roc-")]) == 5
    assert all(captions.values())
    for name in drawn:
        pixels = np.asarray(Image.open(exported / "figures" / f"{name}.png").convert("L"))
        assert 0.002 < (pixels < 200).mean() < 0.5, name
        ET.parse(exported / "figures" / f"{name}.svg")


def test_confusion_matrices_are_drawn_as_they_stand_in_the_table(exported: Path) -> None:
    name = "confusion-supervised-supervised-grouped-f1-s0"
    frame = pd.read_csv(exported / "tables" / f"{name}.csv", dtype=str)
    drawing = ET.parse(exported / "figures" / f"{name}.svg").getroot()
    # Matplotlib writes what it sets in a comment beside the outlines.
    comments = (exported / "figures" / f"{name}.svg").read_text(encoding="utf-8")
    columns = [column for column in frame.columns[1:-1] if ": range" not in column]
    counts = [text for column in columns for text in frame[column] if text != "·"]
    assert drawing.tag.endswith("svg")
    for number in set(counts):
        assert comments.count(f"<!-- {number} -->") == counts.count(number), number
    assert "<!-- Glioma T1C+ -->" in comments


def test_strips_are_the_bytes_of_the_page(exported: Path) -> None:
    (data,) = (s for s in sections(read_study(exported)) if s.name == "data")
    pictures = [p for b in flat(data.blocks) if isinstance(b, Strips) for p in b.pictures]
    files = sorted((exported / "figures").glob("data-*.jpg"))
    assert len(files) == len(pictures) == 2 * len(FAMILIES)
    for file, picture in zip(files, pictures, strict=True):
        assert base64.b64encode(file.read_bytes()).decode() == picture.data.partition(",")[2]
        with Image.open(file) as image:
            assert image.size == (picture.width, picture.height)


def test_the_same_study_gives_the_same_vectors(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "again")
    file = tmp_path / "again" / "figures" / "reliability.svg"
    before = file.read_text()
    own = [s for s in sections(read_study(exported)) if s.name == "certainty"]
    export(tmp_path / "again", own)
    assert "<dc:date>" not in before
    assert len(file.read_text()) == len(before)


def test_text_is_escaped_for_latex() -> None:
    table = Table(
        name="a-b",
        caption="50 % of A_1 & B",
        stub=("Class #",),
        columns=("x", "x"),
        lines=(Line(("T1_C & 5 %",), (Cell("−1", "−2 to 0"), Cell("3"))),),
    )
    frame = frame_of(table)
    assert list(frame.columns) == ["Class #", "x", "x: range", "x'"]
    text = latex_of(table, frame)
    assert r"50 \% of A\_1 \& B" in text
    assert r"T1\_C \& 5 \% & $-$1 & $-$2 to 0 & 3 \\" in text
    assert text.count("&") - text.count(r"\&") == 2 * 3
