import json
from collections.abc import Callable
from pathlib import Path

from brainssl.reporting.sections.settings import content, settings_table
from brainssl.reporting.study import read_study
from brainssl.reporting.tables.table import Table


def _values(table: Table) -> dict[str, list[str]]:
    return {line.headers[0]: [cell.text for cell in line.cells] for line in table.lines}


def test_settings_carry_their_reasons() -> None:
    table = settings_table(
        {"finetune": {"epochs": 30, "rates": [0.1, 1.0]}, "on": True, "limit": None},
        {
            "finetune.epochs@0.1": "few labels",
            "finetune.epochs at 1 of the labels": "as planned",
            "passes an epoch, at 0.1 of them": "3",
            "gone.setting": "why",
        },
    )
    assert _values(table) == {
        "finetune.epochs": [
            "30",
            "with 10\u00a0% of labels: few labels; with 100\u00a0% of labels: as planned",
        ],
        "finetune.rates": ["0.1, 1", ""],
        "on": ["yes", ""],
        "limit": ["–", ""],
        "passes an epoch": ["–", "with 10\u00a0% of labels: 3"],
        "gone.setting": ["–", "why"],
    }


def test_settings_of_a_method_have_their_full_names() -> None:
    table = settings_table(
        {"pretrain": {"epochs": 40}, "byol": {"half_life": 1.0, "pretrain": {"epochs": 60}}},
        {"byol.pretrain.epochs": "set by hand", "dino.half_life": "default"},
    )
    assert _values(table) == {
        "pretrain.epochs": ["40", ""],
        "byol.half_life": ["1", ""],
        "byol.pretrain.epochs": ["60", "set by hand"],
    }
    assert [line.start for line in table.lines] == [True, True, False]


def test_values_that_depend_on_the_data_stand_for_what_was_set(
    make_study: Callable[..., Path],
) -> None:
    folder = make_study(
        classes=["a", "b"], methods=["byol"], protocols=["grouped", "image"], fractions=[1.0]
    )
    (table,) = content(read_study(folder))
    assert isinstance(table, Table)
    assert _values(table)["byol.momentum"] == [
        "0.98812",
        "a half-life of 1 × the 58 steps of an epoch",
    ]
    for path in folder.glob("steps/pretrain-byol-image-*/settings.json"):
        own = {"resolved": {"momentum": {"value": 0.995, "reason": "more steps"}}}
        path.write_text(json.dumps(own), encoding="utf-8")
    (table,) = content(read_study(folder))
    assert isinstance(table, Table)
    assert _values(table)["byol.momentum"] == [
        "0.98812, 0.995",
        "“grouped”: a half-life of 1 × the 58 steps of an epoch; “image”: more steps",
    ]
