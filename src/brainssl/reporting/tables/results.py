"""Tables of results: every model, every metric, every class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from brainssl.data.shots import LabelFraction
from brainssl.reporting.rows import Arm, Row, finite, interval
from brainssl.reporting.study import Study
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.titles import BASELINE
from brainssl.reporting.wording import (
    CLASS_METRICS,
    MAIN_METRICS,
    METRICS,
    MISSING,
    Metric,
    count,
    counted,
    fraction_title,
    percent,
    shorten,
)

_SPLIT_HEADS = {"train": "Training", "val": "Validation", "test": "Test"}


def main_table(study: Study, protocol: str, split: str = "test") -> Table:
    """Return accuracy, balanced accuracy, macro F1 and AUROC of every arm of a protocol.

    An arm with several seeds has a line for their mean ± sd; each seed has a line of its own with
    the 95 % interval of its model. The two are never merged.
    """
    lines: list[Line] = []
    fraction: LabelFraction | None = None
    for arm in study.arms(protocol, split):
        start, fraction = arm.label_fraction != fraction, arm.label_fraction
        for line in _arm_lines(arm, MAIN_METRICS):
            lines.append(Line(line.headers, line.cells, line.kind, start))
            start = False
    return Table(
        name=f"main-{protocol}-{split}",
        caption=(
            f"{split_title(split)}, protocol “{protocol}”{_images(study, protocol, split)}. "
            "Two different things stand beside the scores: on a line “mean ± sd”, how far runs "
            "that differ in their seed alone scatter; on the line of a seed, the 95 % interval of "
            "that one model for the choice of test groups (cluster bootstrap)."
            f"{_labels_used(study, protocol, split)}"
        ),
        stub=("Labels", "Model", "Seed"),
        columns=tuple(metric.heading for metric in MAIN_METRICS),
        lines=tuple(lines),
    )


def overview_table(study: Study, protocol: str, metric: Metric) -> Table:
    """Return a metric of every model on test, a column for each label fraction."""
    arms = study.arms(protocol)
    fractions = sorted({arm.label_fraction for arm in arms})
    by_title: dict[str, dict[LabelFraction, Arm]] = {}
    for arm in sorted(arms, key=lambda arm: arm.method == BASELINE):
        by_title.setdefault(arm.title, {})[arm.label_fraction] = arm
    lines = [
        Line(
            (title,),
            tuple(_mean_cell(found[f], metric) if f in found else Cell(MISSING) for f in fractions),
        )
        for title, found in by_title.items()
    ]
    return Table(
        name=f"overview-{protocol}-{metric.name}",
        caption=(
            f"{metric.heading}, test split, protocol “{protocol}”{_images(study, protocol, 'test')}"
            ", by the share of training labels: mean over seeds ± sd. Intervals are in the table "
            "of single models."
        ),
        stub=("Model",),
        columns=tuple(fraction_title(fraction) for fraction in fractions),
        lines=tuple(lines),
    )


def full_tables(study: Study, protocol: str, split: str) -> tuple[Table, ...]:
    """Return all metrics of every model of a protocol on a split, with their intervals.

    Those in per cent and the others have a table each: a page is not wide enough for both.
    """
    where = f"{split_title(split).lower()}, protocol “{protocol}”{_images(study, protocol, split)}"
    tables = []
    for name, titles in (("percent", "Scores in per cent"), ("other", "Other measures")):
        metrics = [metric for metric in METRICS if metric.percent == (name == "percent")]
        lines = [
            Line(_headers(arm, f"{row.seed}"), _cells(row.metrics, row.intervals, metrics))
            for arm in study.arms(protocol, split)
            for row in arm.rows
        ]
        caption = f"{titles}, {where}, one line a model, with 95 % cluster-bootstrap intervals"
        if not all(metric.has_interval for metric in metrics):
            caption += (
                "; the ECE has none, because that of a resample lies higher than that of the sample"
            )
        tables.append(
            Table(
                name=f"full-{protocol}-{split}-{name}",
                caption=f"{caption}.",
                stub=("Labels", "Model", "Seed"),
                columns=tuple(metric.title for metric in metrics),
                lines=tuple(lines),
                layout="wide",
                column_titles={metric.title: metric.meaning for metric in metrics},
            )
        )
    return tuple(tables)


def protocol_table(study: Study, metric: Metric) -> Table:
    """Return a metric of every arm on test, under each protocol side by side."""
    protocols = study.protocols
    found: dict[tuple[LabelFraction, str], dict[str, Arm]] = {}
    for protocol in protocols:
        for arm in study.arms(protocol):
            found.setdefault((arm.label_fraction, arm.title), {})[protocol] = arm
    lines = []
    for (fraction, title), by_protocol in sorted(found.items(), key=lambda item: item[0][0]):
        cells = [
            _mean_cell(by_protocol[protocol], metric) if protocol in by_protocol else Cell(MISSING)
            for protocol in protocols
        ]
        base = by_protocol[protocols[0]].mean(metric.name) if protocols[0] in by_protocol else None
        for protocol in protocols[1:]:
            mean = by_protocol[protocol].mean(metric.name) if protocol in by_protocol else None
            gap = None if base is None or mean is None else mean - base
            cells.append(Cell(MISSING if gap is None else f"{'+' * (gap > 0)}{percent(gap)}"))
        lines.append(Line((fraction_title(fraction), title), tuple(cells)))
    gaps = tuple(f"{name} − {protocols[0]}, points" for name in protocols[1:])
    return Table(
        name=f"protocols-{metric.name}",
        caption=(
            f"{metric.title} (%) on the test split of each protocol, mean over seeds ± sd, and by "
            f"how many points the others differ from “{protocols[0]}”. Each protocol has its own "
            "test images."
        ),
        stub=("Labels", "Model"),
        columns=(*protocols, *gaps),
        lines=tuple(lines),
    )


def class_table(row: Row, classes: Sequence[str], name: str, title: str) -> Table:
    """Return each class's support and scores with their intervals."""
    shown = [m for m in CLASS_METRICS if any(m.name in row.per_class.get(c, {}) for c in classes)]
    lines = []
    for label in classes:
        scores = row.per_class.get(label, {})
        support = scores.get("support")
        cells = _cells(scores, scores.get("intervals") or {}, shown)
        lines.append(Line((label,), (Cell(count(support)), *cells)))
    return Table(
        name=name,
        caption=(
            f"Each class, {title}. The ranges are 95 % cluster-bootstrap intervals; “images” is "
            f"how many of the {row.split} split are of the class."
        ),
        stub=("Class",),
        columns=("Images", *(metric.heading for metric in shown)),
        lines=tuple(lines),
    )


def confusion_table(
    counts: Int64[np.ndarray, "classes classes"], classes: Sequence[str], name: str, title: str
) -> Table:
    """Return the confusion matrix: counts, and under each its share of the row in per cent."""
    totals = counts.sum(axis=1)
    lines = []
    for i, label in enumerate(classes):
        cells = []
        for j, said in enumerate(classes):
            number = int(counts[i, j])
            share = number / int(totals[i]) if totals[i] else 0.0
            text, detail = (str(number), f"{100 * share:.0f} %") if number else ("·", "")
            cells.append(Cell(text, detail, round(share, 3) if number else None, f"→ {said}"))
        lines.append(Line((label,), (*cells, Cell(count(int(totals[i]))))))
    heads = tuple(shorten(label, 30) for label in classes)
    return Table(
        name=name,
        caption=(
            f"Confusion matrix, {title}. Rows are the true class, columns what the model said; "
            "under each count its share of the row."
        ),
        stub=("True class",),
        columns=(*heads, "All"),
        lines=tuple(lines),
        layout="matrix",
        column_titles=dict(zip(heads, classes, strict=True)),
        drawn=True,
    )


def counts_table(study: Study, protocol: str) -> Table:
    """Return how many images of each class stand in each split."""
    counts: Mapping[str, Mapping[str, Any]] = study.split(protocol).get("counts") or {}
    splits = [name for name in ("train", "val", "test") if name in counts]
    classes = study.classes or sorted({name for split in counts.values() for name in split})
    numbers = {label: [int(counts[s].get(label, 0)) for s in splits] for label in classes}
    largest = max((sum(row) for row in numbers.values()), default=0) or 1
    # Folds test all images together, so that training and validation are no further ones.
    all_of = (lambda row: row[splits.index("test")]) if study.folds else sum
    lines = [
        Line(
            (label,),
            (*(Cell(count(n)) for n in row), Cell(count(all_of(row)), shade=all_of(row) / largest)),
        )
        for label, row in numbers.items()
    ]
    columns = [sum(row[i] for row in numbers.values()) for i in range(len(splits))]
    totals = tuple(Cell(count(total)) for total in (*columns, all_of(columns)))
    heads = [_SPLIT_HEADS[name] for name in splits]
    told = ""
    if study.folds:
        heads = [
            f"{head}, {'all folds' if name == 'test' else 'first fold'}"
            for name, head in zip(splits, heads, strict=True)
        ]
        told = (
            " Each image is tested in one fold; training and validation differ from fold to fold."
        )
    return Table(
        name=f"counts-{protocol}",
        caption=f"Images of each class by split, protocol “{protocol}”.{told}",
        stub=("Class",),
        columns=(*heads, "All"),
        lines=(*lines, Line(("All classes",), totals, start=True)),
        layout="bars",
    )


def split_title(split: str) -> str:
    """Return a split's name in words."""
    return f"{_SPLIT_HEADS.get(split, split)} split"


def _images(study: Study, protocol: str, split: str) -> str:
    facts = study.split(protocol)
    images = (facts.get("images") or {}).get(split)
    groups = (facts.get("groups") or {}).get(split)
    if images is None:
        return ""
    return f" ({counted(images, 'image')}" + (f" of {counted(groups, 'group')})" if groups else ")")


def _labels_used(study: Study, protocol: str, split: str) -> str:
    """Say what each label fraction came to, as groups are taken whole."""
    found: dict[LabelFraction, set[tuple[int, float]]] = {}
    own = (row for row in study.trained if (row.protocol, row.split) == (protocol, split))
    for row in sorted(own, key=lambda row: row.label_fraction):
        if row.labelled is not None and row.label_share is not None and row.label_share < 1:
            used = row.labelled, round(100 * row.label_share, 1)
            found.setdefault(row.label_fraction, set()).add(used)
    told = []
    for fraction, used_by_seeds in found.items():
        images, shares = zip(*used_by_seeds, strict=True)
        told.append(
            f"{fraction_title(fraction)} are {_range(images)} images ({_range(shares)}\u00a0%)"
        )
    return f" Labels used: {'; '.join(told)}." if told else ""


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:,g}" if low == high else f"{low:,g} to {high:,g}"


def _headers(arm: Arm, seed: str) -> tuple[str, str, str]:
    return fraction_title(arm.label_fraction), arm.title, seed


def _arm_lines(arm: Arm, metrics: Sequence[Metric]) -> list[Line]:
    lines = []
    if len(arm.rows) > 1:
        cells = tuple(_mean_cell(arm, metric) for metric in metrics)
        lines.append(Line(_headers(arm, "mean\u00a0±\u00a0sd"), cells, "mean"))
    for row in arm.rows:
        cells = _cells(row.metrics, row.intervals, metrics)
        lines.append(Line(_headers(arm, str(row.seed)), cells, "seed"))
    return lines


def _mean_cell(arm: Arm, metric: Metric) -> Cell:
    mean, sd = arm.mean(metric.name), arm.sd(metric.name)
    return Cell(metric.number(mean), "" if sd is None else f"± {metric.number(sd)}")


def _cells(
    scores: Mapping[str, Any], intervals: Mapping[str, Any], metrics: Sequence[Metric]
) -> tuple[Cell, ...]:
    cells = []
    for metric in metrics:
        limits = interval(intervals.get(metric.name)) if metric.has_interval else None
        detail = "" if limits is None else metric.range(limits)
        cells.append(Cell(metric.number(finite(scores.get(metric.name))), detail))
    return tuple(cells)
