"""What the models of all folds say together: each image tested once, by one that never saw it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from brainssl.data.shots import label_fraction
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.rows import result_rows
from brainssl.settings.sections import EvaluationSettings
from brainssl.settings.starts import mark_in
from brainssl.studies.grid import RANDOM_LABELS

POOLED = "all"
"""`fold` of a row whose predictions are those of all folds."""

_CELL = ("method", "start", "stage", "protocol", "label_fraction", "seed")

Row = Mapping[str, Any]


def is_pooled_or_single(row: Row) -> bool:
    """Tell whether a row speaks of all that is tested, and not of one fold among several."""
    return row.get("fold") in (None, POOLED)


def _folds_of(rows: Sequence[Row]) -> Iterator[tuple[dict[str, Any], list[Row]]]:
    """Yield what `_CELL` names of a cell of the grid, with the test row of each of its folds."""
    cells: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        single = row.get("fold") not in (None, POOLED)
        if single and row["split"] == "test" and row["method"] != RANDOM_LABELS:
            cells.setdefault(tuple(row.get(name) for name in _CELL), []).append(row)
    for cell, own in cells.items():
        yield dict(zip(_CELL, cell, strict=True)), sorted(own, key=lambda row: int(row["fold"]))


def pooled_rows(
    out: Path, rows: Sequence[Row], folds: int | None, settings: EvaluationSettings
) -> list[dict[str, Any]]:
    """Pool the predictions of each model over its folds, keep and measure them.

    A cell of the grid that lacks a fold has no pooled rows.

    Args:
        out: folder of the study.
        rows: of the single folds.
        folds: how many there are; None: nothing is to be pooled.
        settings: of the bootstrap, which draws from the groups of all folds.

    Returns:
        Rows of results with `fold` "all", whose predictions lie under `pooled/`.
    """
    found: list[dict[str, Any]] = []
    for facts, own in _folds_of(rows):
        if len(own) != folds:
            continue
        named = f"{facts['method']}-{facts['stage']}{mark_in(own[0]['step'])}"
        name = f"{named}-{facts['protocol']}"
        step = f"pooled/{name}-f{label_fraction(facts['label_fraction']):g}-s{facts['seed']}"
        predictions = pool(
            [Predictions.load(out / row["step"] / "predictions.parquet") for row in own]
        )
        (out / step).mkdir(parents=True, exist_ok=True)
        predictions.save(out / step / "predictions.parquet")
        facts["seconds"] = sum(row.get("seconds") or 0 for row in own)
        if all("label_share" in row for row in own):
            facts["label_share"] = fmean(row["label_share"] for row in own)
        found += result_rows(predictions, facts | {"fold": POOLED, "step": step}, settings)
    return found


def pool(folds: Sequence[Predictions]) -> Predictions:
    """Return the test predictions of all folds, and those of validation unless images repeat."""
    tested, validated = ([fold.of(split) for fold in folds] for split in ("test", "val"))
    images = [image for part in validated for image in part.frame["image_id"]]
    if len(set(images)) < len(images):  # as where a column is left out
        validated = []
    return Predictions.joined([*validated, *tested])
