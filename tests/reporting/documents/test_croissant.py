"""Croissant's own library accepts the file, and reads by it a table that names nobody."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import mlcroissant
import numpy as np
import pandas as pd
import pytest

from brainssl.data.extra import EXTRA
from brainssl.reporting.documents.croissant import write_croissant
from brainssl.reporting.findings.about import FILE
from brainssl.reporting.study import read_study

SAID = """\
authors = "A. Author and B. Author"
source = "A collection, see https://example.org/mri, of two hospitals"
data_licence = "https://creativecommons.org/licenses/by/4.0/"
limitations = "Slices were chosen by hand."
sites = "Two hospitals"
"""


@pytest.fixture
def study(make_study: Callable[..., Path]) -> Path:
    """Make a study whose manifest has names of patients and files, and an image from elsewhere."""
    folder = make_study(classes=["a", "b"], protocols=["grouped"], extras=False)
    (folder / "store").mkdir(exist_ok=True)
    pd.DataFrame(
        {
            "image_id": ["i1", "i2", "i3", "i4"],
            "path": ["Anna/1.png", "Anna/2.png", "Bert/1.png", "archive/Carl.png"],
            "label": ["a", None, "b", None],
            "sequence": ["T1", "T2", None, None],
            "patient": ["Anna", "Anna", "Bert", "Carl"],
            "plane": ["axial"] * 4,
            "group": [0, 0, 1, 2],
            "width": [64, 64, 32, 32],
            "height": [48, 64, 32, 32],
            "source_bits": [8, 8, 16, 8],
            "flags": ["from Anna"] * 4,
            EXTRA: [None, None, None, "archive"],
        }
    ).to_parquet(folder / "store" / "manifest.parquet")
    (folder / FILE).write_text(SAID, "utf-8")
    return folder


def test_croissants_own_library_reads_the_table_by_it(study: Path) -> None:
    path = write_croissant(read_study(study))
    assert path == study / "croissant.json"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it recommends is for the authors to say
        described = mlcroissant.Dataset(str(path))
        records = list(described.records("images"))
    assert [record["images/image_id"] for record in records] == [b"i1", b"i2", b"i3"]
    assert [record["images/group"] for record in records] == [0, 0, 1]
    assert records[0]["images/label"] == b"a"
    np.testing.assert_array_equal([record["images/height"] for record in records], [48, 64, 32])
    assert described.metadata.license == ["https://creativecommons.org/licenses/by/4.0/"]
    assert described.metadata.url == "https://example.org/mri"


def test_names_of_patients_and_files_are_no_part_of_what_it_points_to(study: Path) -> None:
    """Whoever follows the metadata gets every file of `distribution`, whole."""
    path = write_croissant(read_study(study))
    assert path is not None
    text = path.read_text("utf-8")
    files = [study / one["contentUrl"] for one in json.loads(text)["distribution"]]
    assert len(files) == 1
    for held in (text.encode(), *(file.read_bytes() for file in files)):
        assert not [name for name in (b"Anna", b"Bert", b"Carl") if name in held]
    columns = [field["name"] for field in json.loads(text)["recordSet"][0]["field"]]
    table = pd.read_parquet(files[0])
    assert list(table) == columns
    assert not {"patient", "path", "flags", EXTRA} & set(columns)
    assert list(table["image_id"]) == ["i1", "i2", "i3"]


def test_a_column_that_an_older_store_lacks_is_not_described(study: Path) -> None:
    manifest = study / "store" / "manifest.parquet"
    pd.read_parquet(manifest).drop(columns="plane").to_parquet(manifest)
    path = write_croissant(read_study(study))
    assert path is not None
    (records,) = json.loads(path.read_text("utf-8"))["recordSet"]
    assert [field["name"] for field in records["field"]] == list(
        pd.read_parquet(study / "collection.parquet")
    )


def test_what_the_authors_do_not_say_is_left_out(study: Path) -> None:
    (study / FILE).write_text("", "utf-8")
    path = write_croissant(read_study(study))
    assert path is not None
    told = json.loads(path.read_text("utf-8"))
    assert not {"license", "url", "creator"} & set(told)
    assert [key for key in told if key.startswith("rai:")] == []


def test_without_a_store_there_is_nothing_to_describe(study: Path) -> None:
    (study / "store" / "manifest.parquet").unlink()
    assert write_croissant(read_study(study)) is None
    assert not (study / "croissant.json").exists()
    assert not (study / "collection.parquet").exists()
