"""Tables of patients and series."""

from pathlib import Path

from brainssl.reporting.study import Study
from brainssl.reporting.tables.units import unit_tables


def row(unit: str, accuracy: float, **more: object) -> dict[str, object]:
    metrics = {"accuracy": accuracy, "balanced_accuracy": 0.5, "f1_macro": None}
    told = {"unit": unit, "method": "simclr", "stage": "finetune", "protocol": "grouped", "seed": 3}
    return {**told, "n": 12, "metrics": metrics, "intervals": {"accuracy": [0.1, 0.9]}, **more}


def test_patients_come_before_series() -> None:
    rows = [row("series", 0.25), row("patient", 0.75, conflicting=1, unknown=2)]
    people, series = unit_tables(Study(Path(), {}, (), analysis={"units": rows}), "grouped")
    assert people.caption.startswith(
        "Tumour family of each patient, protocol “grouped”: 12 patients"
    )
    assert "Left out: 1 patient whose slices contradict each other." in people.caption
    assert "Left out: 2 images of unknown patients." in people.caption
    assert "Left out" not in series.caption
    [line] = people.lines
    assert line.headers == ("SimCLR, fine-tuned", "3")
    assert [cell.text for cell in line.cells] == ["75.0", "50.0", "–"]
    assert line.cells[0].detail == "10.0–90.0"


def test_without_units_there_is_no_table() -> None:
    assert unit_tables(Study(Path(), {}, ()), "grouped") == ()
    rows = [row("series", 0.25)]
    assert unit_tables(Study(Path(), {}, (), analysis={"units": rows}), "image") == ()


def test_where_the_class_is_asked_of_patients_that_is_said() -> None:
    rows = [row("patient", 0.75, asked="class")]
    (people,) = unit_tables(Study(Path(), {}, (), analysis={"units": rows}), "grouped")
    assert people.caption.startswith("Class of each patient, ")
