"""The section that quotes the published study, with a study's own numbers beside its own."""

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from brainssl.reporting.blocks import Block, Prose
from brainssl.reporting.rows import Arm
from brainssl.reporting.study import Study
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.titles import method_title
from brainssl.reporting.wording import MISSING, counted, labels_title

_HEADS = {"accuracy": "Accuracy, %", "precision": "Precision", "recall": "Recall", "f1": "F1"}
_METRICS = {
    "accuracy": "accuracy",
    "precision": "precision_macro",
    "recall": "recall_macro",
    "f1": "f1_macro",
}
_SPLITS = {"train": "training", "val": "validation", "test": "test"}


def content(study: Study) -> tuple[Block, ...]:
    """Show the numbers of the published study and those of this one, each with its split."""
    published = read_published()
    shown = tuple(published_table(published, i, study) for i in range(len(published["tables"])))
    warning = (
        f"These numbers are quoted from: {published['source']}. They were measured on other "
        f"images under another protocol. {published['note']} Where this study has the same method, "
        "its own numbers stand below, with the split and the protocol that they were measured "
        "under. They differ in images, and may in encoder, image size, epochs and protocol: how "
        "much a protocol alone moves numbers, “Can the numbers be believed?” says where several "
        "were run."
    )
    return (Prose((warning,)), *shown)


def read_published() -> dict[str, Any]:
    """Return `published.toml`."""
    text = (
        resources.files("brainssl.reporting.sections").joinpath("published.toml").read_text("utf-8")
    )
    return tomllib.loads(text)


def published_table(published: Mapping[str, Any], number: int, study: Study) -> Table:
    """Return one table of `published.toml`; accuracy in per cent, the rest as fractions.

    Under each method that the study has too stand its own numbers, a line for each protocol: the
    mean over seeds at the largest label fraction, of the same stage, on the split that the
    published number was measured on, or most likely was.
    """
    source = published["tables"][number]
    columns = [key for key in _HEADS if key in source["rows"][0]]
    own = _own_arms(study, source)
    lines = []
    for row in source["rows"]:
        cells = tuple(Cell(_written(row[key], key)) for key in columns)
        measured = Cell(source["measured_on"])
        lines.append(Line((row["method"], "published"), (*cells, measured), start=True))
        lines += [
            _own_line(arm, columns) for arm in own if method_title(arm.method) == row["method"]
        ]
    caption = f"{source['name']} of the published study: {source['title']}."
    if "why" in source:
        caption += f" {source['why']}."
    if any(line.headers[1] != "published" for line in lines):
        caption += (
            f" Numbers of this study: {labels_title(own[0].label_fraction)}, mean over "
            "seeds, macro precision, recall and F1."
        )
    return Table(
        name=f"published-{number}",
        caption=caption,
        stub=("Model", "Numbers"),
        columns=(*(_HEADS[key] for key in columns), "Measured on"),
        lines=tuple(lines),
    )


def _own_arms(study: Study, source: Mapping[str, Any]) -> list[Arm]:
    """Return the arms of the table's stage and split, of the largest label fraction."""
    arms = [
        arm
        for protocol in study.protocols
        for arm in study.arms(protocol, str(source.get("split") or ""))
        if arm.stage == source.get("stage")
    ]
    most = max((arm.label_fraction for arm in arms), default=0.0)
    return [arm for arm in arms if arm.label_fraction == most]


def _own_line(arm: Arm, columns: Sequence[str]) -> Line:
    cells = [Cell(_written(arm.mean(_METRICS[key]), key, own=True)) for key in columns]
    measured = f"{_SPLITS[arm.split]}, “{arm.protocol}”, {counted(len(arm.rows), 'seed')}"
    return Line(
        (method_title(*arm.learner), f"this study, “{arm.protocol}”"), (*cells, Cell(measured))
    )


def _written(value: float | None, key: str, *, own: bool = False) -> str:
    """Return a number as the published tables have it: per cent for accuracy, else a fraction."""
    if value is None:
        return MISSING
    return f"{100 * value if own else value:.2f}" if key == "accuracy" else f"{value:.4f}"
