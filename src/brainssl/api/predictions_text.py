"""What predict says in words: patients, series and files, and what is to be known of them.

Of each list the first `MOST` are shown; `--out` has all. In a terminal a line is as wide as that:
what is too long is cut at the beginning of its name, for the end tells most.
"""

from typing import Any

from brainssl.api.summaries import by_rule
from brainssl.foundation.nouns import counted
from brainssl.inference.inputs import MANY

MOST = 40
"""Lines of a list that are shown."""
_NARROWEST = 24  # signs of a name, however narrow the terminal is


def predictions_text(answer: dict[str, Any], width: int | None = None) -> str:
    """Say what patients have, then series, then each file, then what is to be known of it.

    Args:
        answer: of `brainssl.inference.predict.predict_files`.
        width: of a line, in signs; None: any.
    """
    lines: list[str] = []
    for kind, many in MANY.items():
        if units := answer[many]:
            lines.append(f"{many.capitalize()}, {by_rule(answer['rules'][kind])}:")
            own = [line for one in units[:MOST] for line in _unit_lines(one, width)]
            lines += [f"  {line}" for line in [*own, *_more(len(units), kind, many)]]
    excluded = answer["excluded"]
    lines += [
        f"Not judged: {one['series']} ({one['source']}): {one['reason']}" for one in excluded[:MOST]
    ]
    lines += _more(len(excluded), "series", "series that are not judged")
    within = "  " if lines else ""
    files = _files_lines(answer["predictions"], width and width - len(within))
    lines += ["Files:"] if lines else []
    lines += [f"{within}{line}" for line in files]
    told: list[str | None] = [
        answer["patients_from"],
        *answer["notes"],
        answer["limits"]["promise"],
    ]
    told += [_measured_text(answer["classifier"].get("measured")), *answer["lacks"]]
    return "\n".join([*lines, *filter(None, told)])


def _more(count: int, one: str, many: str) -> list[str]:
    left = count - MOST
    if left <= 0:
        return []
    return [f"… and {counted(left, one, many)} more: --out FILE has all, as has --format json"]


def _unit_lines(unit: dict[str, Any], width: int | None) -> list[str]:
    """Return what is said of a patient or a series, and below it what is odd."""
    own = "series" if unit.get("series") else "patient"
    about = f" · {unit['sequence']}" if unit.get("sequence") else ""
    if sources := [unit["source"]] if "source" in unit else unit.get("sources"):
        more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
        about += f" ({sources[0]}{more})"
    if "error" in unit:
        return [f"{unit[own] or ''}{about}: {unit['error']}"]
    about += f": {unit['label']} ({unit['probability']:.3f}), {_slices(unit)}"
    if unit["left_out"]:
        about += f", {len(unit['left_out'])} left out"
    below = []
    if "held" in unit and (best := unit["decided_by"]):
        number = int(best["file"].rpartition("/")[2])
        below.append(f"most of all slice {number} ({best['probability']:.3f})")
    if sequences := unit.get("sequences"):
        each = (f"{s['sequence']} {s['label']} ({s['probability']:.3f})" for s in sequences)
        below.append(f"{unit['fusion']}: {', '.join(each)}")
    if "note" in unit:
        below.append(unit["note"])
    name = _shortened(unit[own] or "", width, len(about) + 2)
    return [f"{name}{about}", *(f"  {line}" for line in below)]


def _slices(unit: dict[str, Any]) -> str:
    if "held" not in unit:
        return counted(unit["slices"], "slice")
    without = len(unit["without_brain"])
    told = f"{unit['slices']} of {counted(unit['held'], 'slice')}"
    return f"{told}, {without} without brain" if without else told


def _files_lines(rows: list[dict[str, Any]], width: int | None) -> list[str]:
    """Return a table of files: class, other classes of its set, what is unusual, like what.

    Those that cannot be read come last, so that none is missed.
    """
    good = [row for row in rows if "error" not in row]
    bad = [row for row in rows if "error" in row]
    cells = [_cells(row) for row in good[:MOST]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rest = sum(wide + 2 for wide in widths[1:] if wide)
    lines = []
    for row, (name, *others) in zip(good, cells, strict=False):
        short = _shortened(name, width, rest)
        padded = [cell.ljust(wide) for cell, wide in zip(others, widths[1:], strict=True)]
        longest = min(widths[0], max(_NARROWEST, width - rest)) if width else widths[0]
        line = "  ".join([short.ljust(longest), *(cell for cell in padded if cell)])
        lines.append(line.rstrip())
        if row["familiar"] is False:
            lines.append(f"  Unfamiliar. {row['why']}")
    lines += _more(len(good), "file", "files")
    if bad:
        lines.append(f"Not read: {counted(len(bad), 'file')}")
        lines += [f"  {error_text(row)}" for row in bad[:MOST]]
        lines += _more(len(bad), "file", "files")
    return lines


def error_text(row: dict[str, Any]) -> str:
    """Return why a file is not read, in one line that names it once."""
    error = str(row["error"])
    named = any(error.startswith(str(row[name])) for name in ("file", "source") if name in row)
    return error if named else f"{row['file']}: {error}"


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
    answer = f"{row['label']} ({row['probability']:.3f})"
    return row["file"] + ":", answer, said, unusual, f"like {like}" if like else ""


def _shortened(name: str, width: int | None, rest: int) -> str:
    """Return a name with its beginning left out, if a line of it and the rest is too wide."""
    longest = None if width is None else max(_NARROWEST, width - rest)
    return name if longest is None or len(name) <= longest else f"…{name[1 - longest :]}"


def _measured_text(measured: dict[str, Any] | None) -> str | None:
    """Say how often the classifier was right on the test images of its study."""
    if not measured:
        return None
    share = f"{measured['accuracy']:.1%}"
    told = f"On {counted(measured['n'], 'test image')} of its study it was right on {share}"
    if interval := measured["interval"]:
        told += f" [{interval[0]:.1%}, {interval[1]:.1%}]"
    if folds := measured.get("folds"):
        told += f"; over all folds, {folds['accuracy']:.1%} of {folds['n']:,}"
    return told.replace("%", " %") + "."
