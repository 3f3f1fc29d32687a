"""What was said of files, patients and series as tables, and their files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainssl.foundation.errors import BadUseError
from brainssl.foundation.nouns import counted
from brainssl.foundation.spreadsheet import csv_of
from brainssl.foundation.storage import write_text
from brainssl.inference.inputs import MANY

if TYPE_CHECKING:
    import pandas as pd

FORMS = (".json", ".jsonl", ".csv")
"""What the name of a file of answers ends in."""

_BEGINS = {
    "patient": ("patient", "label", "probability"),
    "series": ("patient", "sequence", "label", "probability"),
}
"""The first columns of a table of units: by them we know one of ours."""


_OF_WHAT = ("source", "slice", "patient", "series")


def predictions_table(answer: dict[str, Any]) -> "pd.DataFrame":
    """Return what `predict_files` does as a table, one row a file.

    Its columns are `file`, `label`, `probability`, `probability:<class>` for each class, `set` (its
    classes), `familiar`, `why`, `oddness`, `family`, `sequence`, `neighbours` (label and
    similarity), `learnt`, `map`, `flags`, `error`, of slices of volumes `source` and `slice`, and
    where they are known `patient` and `series`. Lists are joined by ";".
    """
    rows = []
    for said in answer["predictions"]:
        shares = said.get("probabilities", {})
        row = {name: said.get(name) for name in ("file", "label", "probability")}
        row |= {f"probability:{name}": shares.get(name) for name in answer["classes"]}
        row["set"] = None if said.get("set") is None else ";".join(said["set"])
        row |= {name: said.get(name) for name in ("familiar", "why", "oddness")}
        row |= {name: said.get(name, {}).get("label") for name in ("family", "sequence")}
        cases = (f"{one['label']} {one['similarity']:.3f}" for one in said.get("neighbours", ()))
        row |= {"neighbours": ";".join(cases), "learnt": said.get("learnt"), "map": said.get("map")}
        row |= {"flags": ";".join(said.get("flags", ())), "error": said.get("error")}
        rows.append(row | {name: said.get(name) for name in _OF_WHAT})
    import pandas as pd

    return pd.DataFrame(rows)


def written_as(answer: dict[str, Any], form: str) -> str:
    """Return an answer as text that a program reads.

    Args:
        answer: of `brainssl.inference.predict.predict_files`.
        form: `json`; `jsonl`: the predictions, one line a file; or `csv`: their table.
    """
    if form == "csv":
        return csv_of(predictions_table(answer))
    if form == "jsonl":
        lines = (json.dumps(row, ensure_ascii=False) for row in answer["predictions"])
        return "".join(f"{line}\n" for line in lines)
    return json.dumps(answer, indent=2, ensure_ascii=False) + "\n"


def said_of_form(answer: dict[str, Any], form: str | None) -> str | None:
    """Say which answers a printed form leaves out: `csv` and `jsonl` are rows of files alone."""
    units = [counted(len(answer[many]), kind, many) for kind, many in MANY.items() if answer[many]]
    if form not in ("csv", "jsonl") or not units:
        return None
    return (
        f"What is printed is of files alone; the answers for {' and '.join(units)} are in what "
        "--out FILE.csv writes, and in --format json."
    )


def write_answer(answer: dict[str, Any], out: Path) -> None:
    """Write an answer in the form that the file's name ends in, one of `FORMS`."""
    form = out.suffix.lower().removeprefix(".")
    if form == "csv":
        write_tables(answer, out)
    else:
        write_text(out, written_as(answer, form))


def maps_beside(out: Path) -> Path:
    """Return the folder for saliency maps beside a file of predictions."""
    return out.with_name(f"{out.stem}-maps")


def units_table(answer: dict[str, Any], kind: str) -> "pd.DataFrame | None":
    """Return what `predict_files` says of a kind of unit as a table, one row each; None for none.

    Its columns are `patient`, for series `sequence`, `label`, `probability`, `probability:<name>`
    for each family or class, `slices`, `left_out` (how many), `rule` and `error`; where there are
    volumes also `source`, and of series `decided_by` (the file), `series`, `held`, `without_brain`
    (how many) and `note`.

    Args:
        answer: of `brainssl.inference.predict.predict_files`.
        kind: `patient` or `series`.
    """
    units = answer[MANY[kind]]
    if not units:
        return None
    names = next((list(one["probabilities"]) for one in units if "probabilities" in one), [])
    rule = answer["rules"][kind]["rule"]
    rows = []
    for said in units:
        shares = said.get("probabilities", {})
        row = {name: said.get(name) for name in _BEGINS[kind]}
        row |= {f"probability:{name}": shares.get(name) for name in names}
        row |= {"slices": said["slices"], "left_out": len(said["left_out"])}
        row |= {"rule": rule, "error": said.get("error")}
        if any("sources" in one for one in units):
            row["source"] = ";".join(said.get("sources", ()))
        if any(one.get("series") for one in units):
            row["decided_by"] = said.get("decided_by", {}).get("file")
            row |= {name: said.get(name) for name in ("series", "source", "held", "note")}
            row["without_brain"] = len(said["without_brain"]) if "without_brain" in said else None
        rows.append(row)
    import pandas as pd

    return pd.DataFrame(rows)


def refuse_overwriting(out: Path, kept: Path) -> None:
    """Raise BadUseError if `write_tables` could write over a file that is to be kept."""
    if kept.resolve() in (file.resolve() for file in (out, *_beside(out).values())):
        raise BadUseError(f"--out {out} would write over {kept}: give another name")


def write_tables(answer: dict[str, Any], out: Path) -> None:
    """Write the table of files, and beside it those of patients and series, where there are any.

    Those of an earlier answer do not stay beside a newer one that has none: they are removed.

    Args:
        answer: of `brainssl.inference.predict.predict_files`.
        out: CSV to write; `-patients` and `-series` are added to its name for the others.
    """
    write_text(out, csv_of(predictions_table(answer)))
    for kind, file in _beside(out).items():
        if (table := units_table(answer, kind)) is not None:
            write_text(file, csv_of(table))
        elif _is_ours(file, kind):
            file.unlink()


def _beside(out: Path) -> dict[str, Path]:
    return {kind: out.with_stem(f"{out.stem}-{many}") for kind, many in MANY.items()}


def _is_ours(file: Path, kind: str) -> bool:
    """Tell whether a file is a table of units; another of that name is somebody's own."""
    if not file.is_file():
        return False
    with file.open(encoding="utf-8-sig", errors="replace") as lines:
        return lines.readline().startswith(",".join([*_BEGINS[kind], ""]))
