"""Tables of how sure models are: calibration, coverage of prediction sets, classes never seen."""

from collections.abc import Mapping, Sequence
from typing import Any

from brainssl.reporting.rows import Row, interval
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.wording import (
    HEADLINE,
    METRIC,
    count,
    counted,
    decimal,
    labels_title,
    percent,
)

Analysed = tuple[Row, Mapping[str, Any]]
_SCORES = {"nll": "NLL", "brier": "Brier", "ece": "ECE", "classwise_ece": "Classwise ECE"}
_NOVELTY = {"msp": "Probability", "energy": "Energy"}


def calibration_table(models: Sequence[Analysed]) -> Table:
    """Return each model's calibration before and after temperature scaling."""
    lines = []
    for row, about in models:
        found = about["calibration"]
        cells = [Cell(decimal(found["temperature"]))]
        for name in _SCORES:
            for when in ("before", "after"):
                # Errors of calibration have no interval, and those of older studies neither.
                limits = interval((found[when].get("intervals") or {}).get(name))
                detail = "" if limits is None else METRIC[name].range(limits)
                cells.append(Cell(decimal(found[when][name]), detail))
        lines.append(Line((row.title, str(row.seed)), tuple(cells)))
    heads = [head for title in _SCORES.values() for head in (title, f"{title}, scaled")]
    return Table(
        name="calibration",
        caption=_caption(
            models,
            "Calibration on the test split, before and after scaling, with 95 % intervals of NLL "
            "and Brier (cluster bootstrap)",
        ),
        stub=("Model", "Seed"),
        columns=("Temperature", *heads),
        lines=tuple(lines),
        layout="wide",
    )


def coverage_table(models: Sequence[Analysed]) -> Table:
    """Return how often prediction sets hold the true class, and how large they are."""
    lines = []
    for row, about in models:
        cells = []
        for found in (about["conformal"], about["conformal"]["by_class"]):
            limits = interval(found.get("interval"))
            known = [c for c in found["per_class"].values() if c["coverage"] is not None]
            least = min((c["coverage"] for c in known), default=None)
            cells += [
                Cell(percent(found["coverage"]), "" if limits is None else HEADLINE.range(limits)),
                Cell(percent(least)),
                Cell(f"{found['mean_size']:.1f}"),
            ]
        lines.append(Line((row.title, str(row.seed)), tuple(cells)))
    heads = ("Coverage, %", "Least of a class, %", "Classes in a set")
    return Table(
        name="coverage",
        caption=_caption(
            models,
            "Prediction sets that aim at 90 %: coverage on the test split with its 95 % interval "
            "(cluster bootstrap), that of the class with the least, and the mean size of a set; "
            "first with one threshold for all classes, then with one for each class",
        ),
        stub=("Model", "Seed"),
        columns=(*heads, *(f"{head}: by class" for head in heads)),
        lines=tuple(lines),
        layout="wide",
    )


def class_coverage_table(row: Row, about: Mapping[str, Any]) -> Table:
    """Return the coverage of each class, with one threshold and with one for each."""
    marginal = about["conformal"]["per_class"]
    own = about["conformal"]["by_class"]["per_class"]
    lines = []
    for name, found in marginal.items():
        few = " (too few)" if found["too_few"] else ""
        cells = (
            Cell(count(found["n"])),
            Cell(f"{count(found['calibration'])}{few}"),
            _coverage(found),
            _coverage(own[name]),
        )
        lines.append(Line((name,), cells))
    return Table(
        name="coverage-classes",
        caption=(
            "How often the set holds the true class (%), class by class, with 95 % intervals "
            "(cluster bootstrap). A class with too few "
            "validation images for a threshold of its own is put into every set."
        ),
        stub=("Class",),
        columns=("Test images", "Validation images", "One threshold", "A threshold each"),
        lines=tuple(lines),
    )


def _coverage(found: Mapping[str, Any]) -> Cell:
    limits = interval(found.get("interval"))
    return Cell(percent(found["coverage"]), "" if limits is None else HEADLINE.range(limits))


def novelty_table(models: Sequence[Analysed]) -> Table:
    """Return how well images of classes never seen are told from the test images."""
    lines = []
    for row, about in models:
        cells = []
        for score in _NOVELTY:
            found = about["novelty"][score]
            limits = {name: interval(found["intervals"][name]) for name in ("auroc", "fpr95")}
            cells += [
                Cell(decimal(found["auroc"]), METRIC["auroc_macro"].range(limits["auroc"])),
                Cell(percent(found["fpr95"]), HEADLINE.range(limits["fpr95"])),
            ]
        lines.append(Line((row.title, str(row.seed)), tuple(cells)))
    first = models[0][1]["novelty"]
    return Table(
        name="novelty",
        caption=_caption(
            models,
            f"{counted(first['novel'], 'image')} without label against "
            f"{counted(first['known'], 'test image')}: AUROC, and FPR95: how many of them pass "
            "where 95 % of the test images do; by the highest probability and by the energy of the "
            "logits, with 95 % intervals (cluster bootstrap)",
        ),
        stub=("Model", "Seed"),
        columns=tuple(
            f"{title}: {measure}"
            for title in _NOVELTY.values()
            for measure in ("AUROC", "FPR95, %")
        ),
        lines=tuple(lines),
    )


def _caption(models: Sequence[Analysed], what: str) -> str:
    row = models[0][0]
    return f"{what}. Protocol “{row.protocol}”, {labels_title(row.label_fraction)}."
