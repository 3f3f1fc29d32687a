"""What external says in words."""

from pathlib import Path
from typing import Any

from brainssl.inference.inputs import MANY


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


def by_rule(rule: dict[str, Any]) -> str:
    """Say by which rule slices became an answer."""
    how = "chosen on validation" if rule["chosen"] else "not chosen on validation"
    return f"by the {rule['rule']} ({how})"


def _unit_row_text(row: dict[str, Any]) -> str:
    lost = f"; {row['conflicting']} of several truths left out" if row["conflicting"] else ""
    unknown = f"; {row['unknown']} images of unknown patients left out" if row["unknown"] else ""
    return (
        f"{row['n']} {MANY[row['unit']]}, {by_rule(row)}: accuracy "
        f"{row['metrics']['accuracy']:.3f}{lost}{unknown}"
    )
