"""The table of predict: as wide as the terminal, no longer than it says, and each error once."""

from typing import Any

from brainssl.api.predictions_text import MOST, predictions_text
from brainssl.inference.tables import predictions_table, said_of_form, units_table

NAME = "a long folder/" * 8 + "{:03}.png"


def row(number: int, **more: Any) -> dict[str, Any]:
    shares = {"Glioma T1": 0.75, "Normal T1": 0.25}
    said = {"label": "Glioma T1", "probability": 0.75, "probabilities": shares, "set": None}
    quiet = {"familiar": None, "learnt": None, "neighbours": []}
    return {"file": NAME.format(number)} | said | quiet | more


def unit(number: int, **more: Any) -> dict[str, Any]:
    said = {"label": "Glioma", "probability": 0.7, "probabilities": {"Glioma": 0.7, "Normal": 0.3}}
    return {"patient": f"P{number}", "slices": 1, "left_out": [], "files": []} | said | more


def answer(files: int, patients: int = 0, errors: int = 0) -> dict[str, Any]:
    bad = [{"file": f"bad {at}", "error": f"bad {at}: is empty"} for at in range(errors)]
    rule = {"rule": "mean", "chosen": True}
    return {
        "classifier": {},
        "classes": ["Glioma T1", "Normal T1"],
        "limits": {"promise": None},
        "lacks": ["It lacks."],
        "patients_from": None,
        "rules": {"patient": rule},
        "patients": [unit(at, sources=["x", "y"]) for at in range(patients)],
        "series": [],
        "excluded": [],
        "predictions": [*bad, *map(row, range(files))],
        "notes": [],
    }


def test_a_long_table_ends_with_how_many_more_there_are_and_where() -> None:
    lines = predictions_text(answer(MOST + 1234, MOST + 1)).splitlines()
    assert sum(".png:" in line for line in lines) == MOST
    assert "  … and 1,234 files more: --out FILE has all, as has --format json" in lines
    assert "  … and 1 patient more: --out FILE has all, as has --format json" in lines
    assert "  P0 (x and 1 more): Glioma (0.700), 1 slice" in lines
    assert "more:" not in predictions_text(answer(MOST))


def test_no_line_of_the_table_is_wider_than_the_terminal() -> None:
    whole = predictions_text(answer(3))
    assert NAME.format(2) in whole
    for width in (60, 100):
        lines = predictions_text(answer(3), width).splitlines()
        assert all(len(line) <= width for line in lines)
        assert [line[: line.index(".png")][-3:] for line in lines[:3]] == ["000", "001", "002"]
        assert all(line.endswith("Glioma T1 (0.750)") for line in lines[:3])


def test_an_error_stands_once_and_names_its_file_once() -> None:
    text = predictions_text(answer(MOST + 5, errors=1))
    assert text.count("bad 0") == 1
    assert "Not read: 1 file\n  bad 0: is empty" in text


def test_rows_of_files_say_which_answers_they_leave_out() -> None:
    told = answer(2, 2)
    assert said_of_form(told, "json") is None
    assert said_of_form(answer(2), "csv") is None
    for form in ("csv", "jsonl"):
        assert "answers for 2 patients are" in (said_of_form(told, form) or "")
    told["predictions"][0] |= {"patient": "P0"}
    assert predictions_table(told)["patient"].fillna("").tolist() == ["P0", ""]
    patients = units_table(told, "patient")
    assert patients is not None
    assert patients["source"].tolist() == ["x;y", "x;y"]
