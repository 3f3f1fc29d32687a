"""What predict and external say in words."""

from pathlib import Path
from typing import Any

from brainssl.inference.answers import MANY


def predictions_text(answer: dict[str, Any]) -> str:
    """Say what patients have, then series, then each file, then what is to be known of it."""
    lines: list[str] = []
    for kind, many in MANY.items():
        if units := answer[many]:
            lines += [f"{many.capitalize()}, {_by(answer['rules'][kind])}:"]
            lines += [f"  {_unit_text(one)}" for one in units]
    lines += [
        f"Not judged: {one['series']} ({one['source']}): {one['reason']}"
        for one in answer["excluded"]
    ]
    files = _predictions_lines(answer["predictions"])
    lines += ["Files:", *(f"  {line}" for line in files)] if lines else files
    told = [answer["patients_from"], *answer["notes"], answer["limits"]["promise"]]
    told += [_measured_text(answer["classifier"].get("measured")), *answer["lacks"]]
    return "\n".join([*lines, *filter(None, told)])


def external_text(told: dict[str, Any], out: Path) -> str:
    """Say how a classifier did on another collection, and what is to be known of that."""
    from brainssl.reporting.findings.external import WHAT, external_warnings

    metrics, drop = told["row"]["metrics"], told["drop"]
    what = WHAT[told["labels"]]
    lines = [
        f"{told['images']} images of {told['groups']} groups, {what}: accuracy "
        f"{metrics['accuracy']:.3f}, balanced {metrics['balanced_accuracy']:.3f}"
    ]
    lines += map(_unit_row_text, told["units"])
    if drop and drop["interval"]:
        low, high = drop["interval"]
        lines.append(
            f"On its own test images of the same {what} it has {drop['own']:.3f}: a drop of "
            f"{drop['difference']:.3f} [{low:.3f}, {high:.3f}]"
        )
    return "\n".join([*lines, *external_warnings(told), f"Predictions and figures are in {out}"])


def _unit_text(unit: dict[str, Any]) -> str:
    parts = ("series", "sequence") if unit.get("series") else ("patient", "sequence")
    name = " · ".join(unit[part] for part in parts if unit.get(part))
    if "source" in unit:
        name = f"{name} ({unit['source']})"
    if "error" in unit:
        return f"{name}: {unit['error']}"
    slices = f"{unit['slices']} slice{'' if unit['slices'] == 1 else 's'}"
    if "held" in unit:
        slices = f"{unit['slices']} of {unit['held']} slices"
        if without := len(unit["without_brain"]):
            slices += f", {without} without brain"
    lost = f", {len(unit['left_out'])} left out" if unit["left_out"] else ""
    each = ""
    if sequences := unit.get("sequences"):
        said = (f"{s['sequence']} {s['label']} ({s['probability']:.3f})" for s in sequences)
        each = f"; {unit['fusion']}: {', '.join(said)}"
    if "held" in unit and (best := unit["decided_by"]):
        number = int(best["file"].rpartition("/")[2])
        each += f"; most of all slice {number} ({best['probability']:.3f})"
    if "note" in unit:
        each += f"; {unit['note']}"
    return f"{name}: {unit['label']} ({unit['probability']:.3f}), {slices}{lost}{each}"


def _predictions_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return a table of the files: class, other classes of its set, what is unusual, like what."""
    cells = [_cells(row) for row in rows if "error" not in row]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines, told = [], iter(cells)
    for row in rows:
        if "error" in row:
            lines.append(f"{row['file']}: {row['error']}")
            continue
        padded = [cell.ljust(width) for cell, width in zip(next(told), widths, strict=True)]
        lines.append("  ".join(cell for cell in padded if cell).rstrip())
        if row["familiar"] is False:
            lines.append(f"  {row['why']}")
    return lines


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    others = None if row["set"] is None else [n for n in row["set"] if n != row["label"]]
    said = "" if not others else f"or {', '.join(others)}"
    if others is not None and row["label"] not in row["set"]:
        said = "no class is likely enough" if not others else f"rather {', '.join(others)}"
    unusual = "unfamiliar" if row["familiar"] is False else ""
    if row["learnt"]:
        unusual = "was a training image"
    near = {one["label"]: one for one in reversed(row["neighbours"])}
    like = ", ".join(f"{label} {one['similarity']:.2f}" for label, one in near.items())
    named = f"{row['file']}: {row['label']} ({row['probability']:.3f})"
    return named, said, unusual, f"like {like}" if like else ""


def _measured_text(measured: dict[str, Any] | None) -> str | None:
    """Say how often the classifier was right on the test images of its study."""
    if not measured:
        return None
    told = (
        f"On {measured['n']:,} test images of its study it was right on {measured['accuracy']:.1%}"
    )
    if interval := measured["interval"]:
        told += f" [{interval[0]:.1%}, {interval[1]:.1%}]"
    if folds := measured.get("folds"):
        told += f"; over all folds, {folds['accuracy']:.1%} of {folds['n']:,}"
    return told.replace("%", " %") + "."


def _by(rule: dict[str, Any]) -> str:
    how = "chosen on validation" if rule["chosen"] else "not chosen on validation"
    return f"by the {rule['rule']} ({how})"


def _unit_row_text(row: dict[str, Any]) -> str:
    lost = f"; {row['conflicting']} of several truths left out" if row["conflicting"] else ""
    unknown = f"; {row['unknown']} images of unknown patients left out" if row["unknown"] else ""
    return (
        f"{row['n']} {MANY[row['unit']]}, {_by(row)}: accuracy "
        f"{row['metrics']['accuracy']:.3f}{lost}{unknown}"
    )
