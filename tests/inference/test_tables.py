"""Tables of answers: those of an earlier one do not stay, and nobody else's file is lost."""

from pathlib import Path
from typing import Any

import pytest

import brainssl
from brainssl.foundation.errors import BadUseError
from brainssl.inference.tables import units_table, write_tables

SHARES = {"label": "a", "probability": 0.75, "probabilities": {"a": 0.75, "b": 0.25}}
RULE = {"rule": "mean of logits", "chosen": True}


def answer(*units: dict[str, Any]) -> dict[str, Any]:
    """One file, and what was said of a patient and of one series."""
    return {
        "classes": ["a", "b"],
        "predictions": [{"file": "1.png", "flags": [], **SHARES}],
        "rules": {"patient": RULE, "series": RULE},
        "patients": [{"patient": "p", "slices": 1, "left_out": [], **unit} for unit in units],
        "series": [
            {"patient": "p", "sequence": "T1", "slices": 1, "left_out": ["x"], **unit}
            for unit in units
        ],
    }


def test_a_row_a_unit_with_the_rule() -> None:
    told = answer(SHARES, {"error": "none"})
    table = units_table(told, "series")
    assert table is not None
    (first, second) = table.astype(object).where(table.notna(), None).to_dict("records")
    assert first == {
        "patient": "p",
        "sequence": "T1",
        "label": "a",
        "probability": 0.75,
        "probability:a": 0.75,
        "probability:b": 0.25,
        "slices": 1,
        "left_out": 1,
        "rule": "mean of logits",
        "error": None,
    }
    assert second["error"] == "none"
    assert second["label"] is second["probability:a"] is None
    assert units_table(answer(), "patient") is None


@pytest.mark.parametrize("unit", [SHARES, {"error": "none of 1 files could be read"}])
def test_tables_of_an_earlier_answer_do_not_stay(tmp_path: Path, unit: dict[str, Any]) -> None:
    write_tables(answer(unit), tmp_path / "said.csv")
    names = {"said.csv", "said-patients.csv", "said-series.csv"}
    assert {file.name for file in tmp_path.iterdir()} == names
    write_tables(answer(), tmp_path / "said.csv")
    assert [file.name for file in tmp_path.iterdir()] == ["said.csv"]


def test_a_table_of_somebody_else_stays(tmp_path: Path) -> None:
    own = tmp_path / "said-patients.csv"
    own.write_text("path,patient\n1.png,p\n")
    write_tables(answer(), tmp_path / "said.csv")
    assert own.read_text() == "path,patient\n1.png,p\n"


@pytest.mark.parametrize("name", ["said.csv", "said-patients.csv", "said-series.csv"])
def test_the_table_of_patients_is_not_written_over(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadUseError, match=f"would write over .*{name}: give another name"):
        brainssl.predict(
            tmp_path, tmp_path, patients=tmp_path / name, out=tmp_path / "x" / ".." / "said.csv"
        )
