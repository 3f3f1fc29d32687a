"""CSV tables: read as a stream, strict, and what says that nothing is known is empty."""

from pathlib import Path

import pytest

from brainssl.data.csv_tables import Table, by_path
from brainssl.foundation.errors import BrainsslError


def table(folder: Path, text: str, name: str = "labels.csv") -> Table:
    (folder / name).write_bytes(text.encode("utf-8"))
    return Table.read(folder / name)


def test_a_quoted_cell_may_hold_line_ends(tmp_path: Path) -> None:
    read = table(tmp_path, 'path,label\r\n1.png,"G\ntwo"\r\n2.png,"a\x85b"\n')
    assert [row["label"] for row in read.rows] == ["G\ntwo", "a\x85b"]


def test_odd_line_ends_inside_of_a_cell_end_no_row(tmp_path: Path) -> None:
    read = table(tmp_path, "path,label\n1.png,a\x85b\n2.png,a\u2028b\n")
    assert [row["label"] for row in read.rows] == ["a\x85b", "a\u2028b"]


def test_a_doubled_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match=r"labels\.csv: has the column label twice"):
        table(tmp_path, "path,Label,label\n1.png,a,b\n")


@pytest.mark.parametrize("word", ["NA", "NaN", "n/a", "null", "<NA>", ""])
def test_what_says_that_nothing_is_known_is_empty_and_said(tmp_path: Path, word: str) -> None:
    read = table(tmp_path, f"path,label\n1.png,Glioma\nNA,{word}\n")
    told: list[str] = []
    values = by_path(read, "label", ["1.png", "NA"], tmp_path, told.append)
    assert values == {"1.png": "Glioma", "NA": ""}
    said = ["1 cells of labels.csv say NA, NaN or null: they count as empty."]
    assert told == (said if word else [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,label\n1.png," + "x" * 140_000, "line 2 is no CSV"),
        ('path,label\n1.png,"a"b\n', "line 2 is no CSV"),
        ("path,label\n1.png,a,b\n", "line 2 has 3 cells and the header 2"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(BrainsslError, match=told) as refused:
        table(tmp_path, text)
    assert "labels.csv" in str(refused.value)


def test_a_class_may_be_called_none(tmp_path: Path) -> None:
    assert table(tmp_path, "path,label\n1.png,none\n").rows[0]["label"] == "none"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_that_of_the_first_line_that_is_not_empty(
    tmp_path: Path, separator: str
) -> None:
    read = table(tmp_path, f"\n\npath{separator}label\n\n1.png{separator}a\n")
    assert read.rows == ({"path": "1.png", "label": "a"},)


def test_a_file_name_of_several_folders_is_told(tmp_path: Path) -> None:
    read = table(tmp_path, "path,label\n1.png,a\n")
    with pytest.raises(BrainsslError, match=r"1\.png lies in 2 folders"):
        by_path(read, "label", ["x/1.png", "y/1.png"], tmp_path, lambda note: None)


def test_columns_of_both_kinds_of_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match="folder,label, or path,label; it has id,label"):
        table(tmp_path, "id,label\n1,a\n").needs("folder", "label", instead="path,label")


def test_a_row_without_a_path_is_told(tmp_path: Path) -> None:
    read = table(tmp_path, "path,label\n,a\n1.png,b\n")
    with pytest.raises(BrainsslError, match=r"labels\.csv: a row has no path; fill it in"):
        by_path(read, "label", ["1.png"], tmp_path, lambda note: None)


@pytest.mark.parametrize("text", ["sep=;\npath;label\n0.png;a\n", "\nSEP=,\npath,label\n0.png,a\n"])
def test_a_line_of_excel_above_the_header_says_the_separator(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text, "utf-8")
    table = Table.read(tmp_path / "t.csv")
    assert table.columns == ("path", "label")
    assert table.rows == ({"path": "0.png", "label": "a"},)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# by hand\npath,label\n0.png,a\n", "t.csv: begins with a comment; delete what stands"),
        (
            "path,label\n0.png;a\n",
            "t.csv: line 2 is separated by ';' and the header by ','; write one of them",
        ),
    ],
)
def test_what_differs_from_a_plain_table_is_named(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "t.csv").write_text(text, "utf-8")
    with pytest.raises(BrainsslError, match=told):
        Table.read(tmp_path / "t.csv")
