"""What came out on another collection, in words."""

from collections.abc import Mapping
from typing import Any

from brainssl.reporting.rows import interval
from brainssl.reporting.titles import arm_title
from brainssl.reporting.wording import HEADLINE, counted, percent, signed

WHAT = {"class": "classes", "family": "families", "sequence": "sequences"}
"""What labels may be about, in the plural."""


def external_answer(told: Mapping[str, Any]) -> str:
    """Return the score elsewhere, and the drop to it, in one sentence.

    Args:
        told: what `external.json` holds, see `brainssl.inference.external.evaluate_external`.
    """
    row, drop = told["row"], told["drop"]
    facts = told["classifier"]
    title = arm_title(str(facts.get("method") or "classifier"), str(facts.get("stage") or ""))
    limits = interval((row["intervals"] or {}).get(HEADLINE.name))
    span = "" if limits is None else f" (95\u00a0% interval {HEADLINE.range(limits)})"
    said = (
        f"{title} is right on {percent(row['metrics'][HEADLINE.name])}\u00a0%{span} of "
        f"{counted(told['images'], 'slice')} of another collection"
    )
    if not drop:
        return f"{said}; its own test images are not known."
    said += f", and on {percent(drop['own'])}\u00a0% of its own test images of the same labels"
    ends = interval(drop["interval"])
    if ends is None:
        return f"{said}."
    return (
        f"{said}: a drop of {signed(drop['difference']).lstrip('+')} points "
        f"({percent(ends[0])} to {percent(ends[1])})."
    )


def external_warnings(told: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know of the images: which are known from training, or left out."""
    learnt, said = told["learnt"], []
    if learnt is None:
        said.append(
            "Whether it was trained on some of these images cannot be told: it has no marks of its "
            "training images, as classifiers of earlier versions"
        )
    elif learnt["images"]:
        said.append(
            f"It was trained on {learnt['images']} of the images: they are left out, with all of "
            f"their groups {learnt['left_out']}"
        )
    said += [f"Left out: {loss}" for loss in told["left_out"]]
    return said + [note.removesuffix(".") for note in told.get("notes", [])]
