"""Files for papers hold what the page holds."""

import csv
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brainssl.reporting.exports import export, frame_of, latex_of
from brainssl.reporting.results import read_study
from brainssl.reporting.sections import sections
from brainssl.reporting.tables import Cell, Line, Table, main_table


@pytest.fixture(scope="module")
def exported(make_study: Callable[..., Path]) -> Path:
    folder = make_study(seeds=1, fractions=(0.1, 1.0), analysed=True)
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
    assert len([name for name in names if name.startswith("confusion-")]) == 1


def test_each_figure_is_drawn_and_has_a_caption(exported: Path) -> None:
    with (exported / "figures" / "captions.csv").open(encoding="utf-8") as stream:
        captions = {row["figure"]: row["caption"] for row in csv.DictReader(stream)}
    drawn = {file.stem for file in (exported / "figures").glob("*.png")}
    assert set(captions) == drawn == {f.stem for f in (exported / "figures").glob("*.svg")}
    assert {"reliability", "risk-coverage", "efficiency-grouped-linear"} <= drawn
    assert all(captions.values())
    for name in drawn:
        pixels = np.asarray(Image.open(exported / "figures" / f"{name}.png").convert("L"))
        assert 0.002 < (pixels < 200).mean() < 0.5, name
        ET.parse(exported / "figures" / f"{name}.svg")


def test_the_same_study_gives_the_same_vectors(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "again")
    file = tmp_path / "again" / "figures" / "reliability.svg"
    before = file.read_text()
    export(tmp_path / "again", sections(read_study(exported)))
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
