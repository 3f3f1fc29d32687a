"""What an audit says of series: which look unlike what their headers say, and which contradict."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from brainssl.data.appearance.check import Check, Seen, plane_check, sequence_check
from brainssl.data.archives.archive import UNKNOWN, Told
from brainssl.data.scanned import Scan
from brainssl.data.shown import ShownSeries

WHAT = ("sequence", "plane")


def series_report(scanned: Scan) -> dict[str, Any] | None:
    """Compare what slices of each series look like with what its header says.

    Nothing is corrected: what is told stays what it is.

    Args:
        scanned: of an archive; nobody's series are judged by what was learnt from the same group.

    Returns:
        What JSON can hold; None where the source holds pictures.

        - `checked`: how many series could be judged by their sequence and by their plane
        - `flagged`: `series what told evidence looks_like probability told_probability slices by`
          each, the least likely first
        - `contradictions`: `series what value confidence evidence against` each
        - `notes`: what could not be judged, and why
    """
    if not scanned.series:
        return None
    groups = _groups(scanned)
    checks = {
        "sequence": _checked(scanned.series, "sequence", groups),
        "plane": _checked(scanned.series, "plane", groups),
    }
    by_name = {one.name: one for one in scanned.series}
    return {
        "checked": {what: len(check.series) for what, check in checks.items()},
        "flagged": [
            _flagged(seen, what, by_name[str(seen.series)])
            for what, check in checks.items()
            for seen in check.flagged
        ],
        "contradictions": [
            _contradiction(one.name, what, told)
            for one in scanned.series
            for what in WHAT
            if (told := getattr(one, what)).against
        ],
        "notes": [
            f"Check of the {what} by the picture: {note}"
            for what, check in checks.items()
            for note in check.notes
        ],
    }


def _groups(scanned: Scan) -> Mapping[str, Hashable]:
    """Return the group of each series, by its name: paths are the name and a number."""
    paths, groups = scanned.manifest["path"], scanned.manifest["group"]
    return dict(zip(paths.str.rpartition("/")[0], groups.tolist(), strict=True))


def _checked(series: Sequence[ShownSeries], what: str, groups: Mapping[str, Hashable]) -> Check:
    rows = [one for one in series for _ in one.images]
    told: list[Told] = [getattr(one, what) for one in rows]
    check = sequence_check if what == "sequence" else plane_check
    return check(
        np.concatenate([one.images for one in series]),
        [one.value for one in told],
        [groups[one.name] for one in rows],
        series=[one.name for one in rows],
        # What contradicts itself is judged, and teaches nothing.
        sure=[one.value != UNKNOWN and not one.against for one in told],
    )


def _flagged(seen: Seen, what: str, series: ShownSeries) -> dict[str, Any]:
    told: Told = getattr(series, what)
    return {
        "series": series.name,
        "what": what,
        "told": seen.told,
        "evidence": list(told.evidence),
        "looks_like": seen.seen,
        "probability": round(seen.probability, 4),
        "told_probability": round(seen.told_probability, 4),
        "slices": seen.slices,
        "by": seen.by,
    }


def _contradiction(name: str, what: str, told: Told) -> dict[str, Any]:
    return {
        "series": name,
        "what": what,
        "value": told.value,
        "confidence": told.confidence,
        "evidence": list(told.evidence),
        "against": list(told.against),
    }
