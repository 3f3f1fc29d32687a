"""What a source holds, by its names and headers alone, before any pixel is read."""

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brainssl.data.archives.archive import UNKNOWN, Archive, Series
from brainssl.data.archives.labels import labels_of
from brainssl.data.archives.reading import BY_DEFAULT, Reading
from brainssl.data.archives.scan_archive import series_to_read, slices_of
from brainssl.data.layout import Layout
from brainssl.data.volumes.square import is_square
from brainssl.foundation.nouns import counted

QUANTILES = {"least": 0.0, "p5": 0.05, "median": 0.5, "p95": 0.95, "most": 1.0}
PLANES = ("axial", "coronal", "sagittal", UNKNOWN)
_EXAMPLES = 5  # of what is unreadable or contradicts itself


def inventory_of(
    found: Layout | Archive, *, labels: Path | None = None, reading: Reading = BY_DEFAULT
) -> dict[str, Any]:
    """Describe what `brainssl.data.sources.open_source` found.

    Args:
        found: names of pictures, or headers of volumes.
        labels: CSV of labels of an archive; those of pictures were taken already.
        reading: how an archive would be read.

    Returns:
        What JSON can hold. Of both: `source`, `kind`, `images` (of an archive the slices that would
        be read at most), `labels` (images or series, and patients, of each), `unlabelled`,
        `patients` (None where none is known), `unreadable` (how many, and `examples` with their
        reasons), `notes` and `questions`. Of an archive also `series`, `series_read`, `studies`,
        `slices`, `unknown_patient` (series), `masks` (series), `millimetres` (`pixel` and
        `longer_side` of slices, as `least p5 median p95 most` over series, or None, and `unknown`,
        series of which nothing says so), `table` (`sequence plane series
        patients slices` each), `excluded` (series by reason), `unknown` and `against` (series whose
        sequence or plane is not known, or contradicts itself), and `contradictions`: `name what
        value evidence against` each.

    Raises:
        BrainsslError: the table of labels does not fit.
    """
    if isinstance(found, Layout):
        return _of_pictures(found)
    return _of_archive(found, labels, reading)


def _of_pictures(layout: Layout) -> dict[str, Any]:
    counts = Counter(layout.labels.values())
    unlabelled = counts.pop(None, 0)
    known = {name for name in layout.patients.values() if name}
    told = {
        label: {
            "images": count,
            "patients": len(
                {layout.patients[p] for p, c in layout.labels.items() if c == label} - {None}
            ),
        }
        for label, count in sorted(counts.items(), key=lambda item: str(item[0]))
    }
    return {
        "source": str(layout.root),
        "kind": "pictures",
        "images": len(layout.paths),
        "labels": told,
        "unlabelled": unlabelled,
        "patients": len(known) or None,
        "given": dict(Counter(part for part in layout.given.values() if part)),
        "unreadable": _unreadable(layout.unreadable),
        "notes": list(layout.notes),
        "questions": list(layout.questions),
    }


def _of_archive(archive: Archive, labels: Path | None, reading: Reading) -> dict[str, Any]:
    read = series_to_read(archive)
    told = labels_of(archive, read, labels=labels, label_by=reading.label_by)
    by_label: dict[str, list[Series]] = {}
    for one in read:
        if label := told.labels[one.name]:
            by_label.setdefault(label, []).append(one)
    facts = {what: [getattr(one, what) for one in read] for what in ("sequence", "plane")}
    return {
        "source": str(archive.root),
        "kind": archive.kind,
        "images": sum(reading.slices.most(slices_of(one, reading)) for one in read),
        "labels": {
            label: {"series": len(some), "patients": _patients(some)}
            for label, some in sorted(by_label.items())
        },
        "unlabelled": sum(label is None for label in told.labels.values()),
        "patients": _patients(archive.series) or None,
        "unknown_patient": sum(one.patient is None for one in read),
        "studies": len({(one.patient, one.study) for one in archive.series if one.study}),
        "series": len(archive.series),
        "series_read": len(read),
        "slices": sum(one.shape[0] for one in read),
        "masks": sum(one.mask is not None for one in read),
        "millimetres": _millimetres(read),
        "table": _table(read),
        "excluded": _sorted(one.exclusion for one in archive.series if one.exclusion),
        "unknown": {
            what: sum(fact.value == UNKNOWN for fact in some) for what, some in facts.items()
        },
        "against": {what: sum(bool(fact.against) for fact in some) for what, some in facts.items()},
        "contradictions": _contradictions(read),
        "unreadable": _unreadable(archive.unreadable),
        "notes": [*archive.notes, *told.notes, *_notes_on_pixels(read)],
        "questions": [],
    }


def _millimetres(read: Sequence[Series]) -> dict[str, Any]:
    """Return how large pixels and slices are: by what a field of view is chosen."""
    known = [(one.pixel, one.shape[1:]) for one in read if one.pixel is not None]
    return {
        "pixel": _quantiles([min(spacing) for spacing, _ in known]),
        "longer_side": _quantiles([max(s * n for s, n in zip(*one, strict=True)) for one in known]),
        "unknown": sum(one.pixel is None for one in read),
    }


def _quantiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    found = np.quantile(values, [*QUANTILES.values()])
    return dict(zip(QUANTILES, np.round(found, 3).tolist(), strict=True))


def _notes_on_pixels(read: Iterable[Series]) -> list[str]:
    every = list(read)
    odd = [one.placed for one in every if not is_square(one.pixel)]
    then = {
        "they are made so": odd.count(True),
        "whole slices stay so, as nothing says where they lie": odd.count(False),
    }
    return [
        f"The pixels of {count} of {len(every)} series are not square: {what}."
        for what, count in then.items()
        if count
    ]


def _table(read: Iterable[Series]) -> list[dict[str, Any]]:
    cells: dict[tuple[str, str], list[Series]] = {}
    for one in read:
        cells.setdefault((one.sequence.value, one.plane.value), []).append(one)
    return [
        {
            "sequence": sequence,
            "plane": plane,
            "series": len(some),
            "patients": _patients(some),
            "slices": sum(one.shape[0] for one in some),
        }
        for (sequence, plane), some in sorted(cells.items())
    ]


def _contradictions(read: Iterable[Series]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "what": what,
            "value": fact.value,
            "evidence": list(fact.evidence),
            "against": list(fact.against),
        }
        for one in read
        for what in ("sequence", "plane")
        if (fact := getattr(one, what)).against
    ]


def _patients(some: Iterable[Series]) -> int:
    return len({one.patient for one in some} - {None})


def _sorted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def _unreadable(left_out: list[tuple[str, str]]) -> dict[str, Any]:
    examples = [{"path": path, "reason": reason} for path, reason in left_out[:_EXAMPLES]]
    return {"count": len(left_out), "examples": examples}


def text_of(held: Mapping[str, Any]) -> str:
    """Return an inventory as lines for a terminal."""
    lines = _first_lines(held)
    if held["labels"]:
        unit = "images" if held["kind"] == "pictures" else "series"
        lines += [
            "",
            *_drawn(
                ("label", unit, "patients"),
                [
                    (label, told[unit], told["patients"] or "")
                    for label, told in held["labels"].items()
                ],
            ),
        ]
        if held["unlabelled"]:
            lines.append(f"Without label: {held['unlabelled']:,} {unit}.")
    lines += [f"Left out: {one['path']}: {one['reason']}" for one in held["unreadable"]["examples"]]
    more = held["unreadable"]["count"] - len(held["unreadable"]["examples"])
    lines += [f"Left out: {more:,} more."] if more else []
    lines += [f"- {note}" for note in held["notes"]]
    lines += [f"To be answered first: {question}" for question in held["questions"]]
    return "\n".join(lines)


def _first_lines(held: Mapping[str, Any]) -> list[str]:
    patients = held["patients"]
    of_whom = "of unknown patients" if patients is None else f"of {counted(patients, 'patient')}"
    if held["kind"] == "pictures":
        given = ", ".join(f"{count:,} for {part}" for part, count in sorted(held["given"].items()))
        return [
            f"{counted(held['images'], 'file')} that may be pictures, {of_whom}, in "
            f"{held['source']}",
            *([f"The source divides them: {given}."] if given else []),
        ]
    lines = [
        f"{held['series']:,} series {of_whom} ({held['kind']}) in {held['source']}",
        "",
        *_drawn(
            ("sequence", "plane", "series", "patients", "slices"),
            [tuple(row.values()) for row in held["table"]],
        ),
        f"To be read: {held['series_read']:,} series, at most {held['images']:,} slices.",
    ]
    lines += _lines_of_millimetres(held["millimetres"])
    if held["excluded"]:
        told = ", ".join(f"{count:,} {reason}" for reason, count in held["excluded"].items())
        lines.append(f"Not to be read: {told}.")
    for what in ("sequence", "plane"):
        if held["unknown"][what]:
            lines.append(f"Unknown {what}: {held['unknown'][what]:,} series.")
        if held["against"][what]:
            lines.append(f"Contradictory {what}: {held['against'][what]:,} series, such as")
            lines += [
                f"  {one['name']}: {one['value']} by {'; '.join(one['evidence'])}; against it "
                f"{'; '.join(one['against'])}"
                for one in held["contradictions"]
                if one["what"] == what
            ][:_EXAMPLES]
    if held["unknown_patient"]:
        lines.append(f"Unknown patient: {held['unknown_patient']:,} series.")
    if held["masks"]:
        lines.append(f"Masks of lesions: of {held['masks']:,} series.")
    return lines


def _lines_of_millimetres(told: Mapping[str, Any]) -> list[str]:
    names = {"pixel": "side of a pixel", "longer_side": "longer side of a slice"}
    rows = [
        (name, *(f"{value:.4g}" for value in told[key].values()))
        for key, name in names.items()
        if told[key]
    ]
    lines = _drawn(("millimetres", "least", "5 %", "median", "95 %", "most"), rows) if rows else []
    if told["unknown"]:
        lines.append(f"Unknown millimetres: {told['unknown']:,} series.")
    return lines


def _drawn(heads: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> list[str]:
    """Return a table as lines."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*heads, box=box.SIMPLE, pad_edge=False)
    for column in table.columns[1:]:
        if column.header != "plane":
            column.justify = "right"
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    stream = io.StringIO()
    Console(file=stream, width=100, color_system=None, highlight=False, markup=False).print(table)
    return [line.rstrip() for line in stream.getvalue().splitlines() if line.strip()]
