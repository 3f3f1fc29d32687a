"""What predict and external say in words."""

from pathlib import Path
from typing import Any

from brainssl.inference.answers import MANY


def predictions_text(answer: dict[str, Any]) -> str:
    """Say what patients have, then series, then each file, then what is to be known of it."""
    lines = []
    for kind, many in MANY.items():
        if units := answer[many]:
            lines += [f"{many.capitalize()}, {_by(answer['rules'][kind])}:"]
            lines += [f"  {_unit_text(one)}" for one in units]
    files = list(map(_prediction_text, answer["predictions"]))
    lines += ["Files:", *(f"  {line}" for line in files)] if lines else files
    return "\n".join([*lines, *filter(None, [answer["patients_from"]]), *answer["notes"]])


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
    name = " · ".join(unit[part] for part in ("patient", "sequence") if part in unit)
    if "error" in unit:
        return f"{name}: {unit['error']}"
    slices = f"{unit['slices']} slice{'' if unit['slices'] == 1 else 's'}"
    lost = f", {len(unit['left_out'])} left out" if unit["left_out"] else ""
    return f"{name}: {unit['label']} ({unit['probability']:.3f}), {slices}{lost}"


def _prediction_text(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"{row['file']}: {row['error']}"
    return f"{row['file']}: {row['label']} ({row['probability']:.3f})"


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
