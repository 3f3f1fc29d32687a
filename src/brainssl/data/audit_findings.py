"""An audit in plain language: what a reader must know, the most serious first, and the mend."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["serious", "caution", "good"]
_SETS = {"train": "training", "test": "test"}
_ORDER = {"serious": 0, "caution": 1, "good": 2}


@dataclass(frozen=True)
class Finding:
    """One thing to know.

    Attributes:
        level: "serious" spoils results, "caution" may, "good" need not be worried about.
        text: what was found.
        mend: what to do.
    """

    level: Level
    text: str
    mend: str

    @property
    def sentence(self) -> str:
        """What was found and what to do, as one line."""
        return f"{self.text} {self.mend}".strip()


def findings_of(report: dict[str, Any]) -> list[Finding]:
    """Say what a report, as `brainssl.data.audit.audit_scan` makes it, amounts to."""
    found = [
        *(Finding("serious", question, "") for question in report.get("questions", ())),
        *_given(report),
        *_conflicts(report),
        *_leakage(report),
        *_classes(report),
        *_files(report),
        *_text(report),
        *_pictures(report),
        *_series(report),
    ]
    if not any(finding.level == "serious" for finding in found):
        text = "Nothing was found that would spoil a study by itself."
        found.append(Finding("good", text, "Split by group all the same."))
    return sorted(found, key=lambda finding: _ORDER[finding.level])


def _many(count: int, one: str, several: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def _given(report: dict[str, Any]) -> Iterator[Finding]:
    given = report["given_split"]
    if given is None:
        return
    for lacking, other in (("train", "test"), ("test", "train")):
        if names := given["missing_classes"][lacking]:
            yield Finding(
                "serious",
                f"The given {_SETS[other]} set has {_many(len(names), 'class', 'classes')} that "
                f"the {_SETS[lacking]} set lacks: {', '.join(names)}.",
                "Name folders of one class alike in both, or leave the class out of both.",
            )
    if given["groups_across"]:
        yield Finding(
            "serious",
            f"The given split leaks: {given['group']:.0%} of its {given['test']:,} test images "
            f"share a group with a training image ({given['near_duplicate']:.0%} have a copy or "
            f"near-duplicate there, {given['identical']:.0%} an identical one).",
            "Leave those training images out, or draw a new split by group.",
        )
    else:
        yield Finding("good", "No group crosses the given split.", "")


def _conflicts(report: dict[str, Any]) -> Iterator[Finding]:
    conflicts = report["conflicts"]
    if conflicts["identical"]:
        yield Finding(
            "serious",
            f"{_many(conflicts['identical'], 'picture stands', 'pictures stand')} under more than "
            f"one label ({_many(conflicts['images'], 'file')}).",
            "Ask whoever labelled them which is right, and delete the others.",
        )
    if conflicts["near_duplicates"]:
        yield Finding(
            "caution",
            f"{_many(conflicts['near_duplicates'], 'pair')} of near-duplicates bear different "
            "labels, the sequence aside.",
            "Look at the pairs: a label may be wrong, or a slice may show too little to be told.",
        )


def _leakage(report: dict[str, Any]) -> Iterator[Finding]:
    near = report["random_split"].get("near_duplicate")
    if near and near["mean"] >= 0.01:
        identical = report["random_split"]["identical"]["mean"]
        yield Finding(
            "serious" if near["mean"] >= 0.05 else "caution",
            f"A random split by image would leak: {near['mean']:.0%} of its test images have a "
            f"near-duplicate in training ({identical:.1%} an identical copy).",
            "Use the protocol `grouped`, which keeps such images on one side.",
        )
    patient = report["random_split"].get("patient")
    if patient and patient["mean"] >= 0.01:
        yield Finding(
            "serious",
            f"A random split by image would show {patient['mean']:.0%} of the test images' "
            "patients in training.",
            "Use the protocol `grouped`, which splits by patient.",
        )
    if not report["patients"]:
        yield Finding(
            "caution",
            "No patients are known: groups rest on the likeness of pictures alone, which cannot "
            "tell that two unlike slices are of one patient.",
            "If you can, add `patients.csv` with the columns path,patient.",
        )
    across = report["near_duplicates"]["across_patients"]
    if across:
        yield Finding(
            "caution",
            f"{_many(across, 'pair')} of near-duplicates belong to different patients.",
            "Check whether one person was registered twice.",
        )


def _classes(report: dict[str, Any]) -> Iterator[Finding]:
    small = report["small_classes"]
    if small:
        yield Finding(
            "serious",
            f"{_many(len(small), 'class', 'classes')} with fewer than 3 groups cannot be in "
            f"training, validation and test at once: {', '.join(small)}.",
            "Join them with a related class, leave them unlabelled, or collect more patients.",
        )
    if not report["labelled"]:
        yield Finding(
            "caution",
            "No image is labelled.",
            "Pretraining works; for classification give --labels or class folders.",
        )
    sizes = [one["images"] for one in report["classes"]]
    if len(sizes) == 1:
        yield Finding("serious", "There is only one class.", "A classifier needs at least two.")
    if sizes and max(sizes) >= 5 * min(sizes):
        yield Finding(
            "caution",
            f"The largest class has {max(sizes) / min(sizes):.0f} times as many images as the "
            "smallest.",
            "Read macro F1 and balanced accuracy, not accuracy alone.",
        )


def _files(report: dict[str, Any]) -> Iterator[Finding]:
    if names := report["lost_classes"]:
        yield Finding(
            "serious",
            f"No file of {_many(len(names), 'class', 'classes')} could be read: "
            f"{', '.join(names)}.",
            "See the list of files for the reasons.",
        )
    if report["unreadable"]:
        first = report["unreadable"][0]
        yield Finding(
            "caution",
            f"{_many(len(report['unreadable']), 'file')} could not be read and are left out, e.g. "
            f"{first['path']}: {first['reason']}.",
            "Replace them, or delete them if they are no images.",
        )
    copies = report["pixel_identical"]
    if copies["sets"]:
        yield Finding(
            "caution",
            f"{_many(copies['images'], 'image')} are pixel-identical copies of one another "
            f"({copies['superfluous']:,} superfluous, "
            f"{report['byte_identical']['superfluous']:,} of them identical files).",
            "Copies share a group, unless blank; delete them if they carry no meaning.",
        )


def _text(report: dict[str, Any]) -> Iterator[Finding]:
    told = report["text"]
    if told["images"]:
        by = {"the picture": told["by_picture"], "the header": told["by_header"]}
        yield Finding(
            "caution",
            f"{_many(told['images'], 'image seems', 'images seem')} to have text burned in ("
            + ", ".join(f"{count:,} by {who}" for who, count in by.items() if count)
            + f"), e.g. {told['paths'][0]}.",
            "Look at them before anybody else does: text can name a patient, and give a label "
            "away. Blacken it in the source, or leave them out.",
        )


def _pictures(report: dict[str, Any]) -> Iterator[Finding]:
    coloured = sum(report["flags"].get(flag, 0) for flag in ("coloured", "coloured annotation"))
    if coloured:
        yield Finding(
            "caution",
            f"{_many(coloured, 'image')} hold colour, as drawn annotations do.",
            "Look for marks that give the label away, and remove such images.",
        )
    blank = sum(report["flags"].get(flag, 0) for flag in ("blank", "nearly blank"))
    if blank:
        yield Finding(
            "caution",
            f"{_many(blank, 'image')} {'is' if blank == 1 else 'are'} blank or nearly so; "
            "blank slices of all people are alike, so they join no group by likeness.",
            "Delete them.",
        )
    if len(report["bit_depths"]) > 1:
        depths = ", ".join(report["bit_depths"])
        yield Finding(
            "caution",
            f"Bit depths are mixed ({depths}): such images come from several sources. All are "
            "scaled alike, but shallow ones may have been clipped before.",
            "Check that depth does not go with the label.",
        )


def _series(report: dict[str, Any]) -> Iterator[Finding]:
    told = report.get("series") or {}
    for what in ("sequence", "plane"):
        flagged = [one for one in told.get("flagged", ()) if one["what"] == what]
        if flagged:
            first, checked = flagged[0], told["checked"][what]
            yield Finding(
                "caution",
                f"{len(flagged):,} of {_many(checked, 'series', 'series')} look like another "
                f"{what} than is told of them, e.g. {first['series']}: told as {first['told']}, "
                f"looks like {first['looks_like']} (probability {first['probability']:.2f}).",
                "Look at them: the header may be wrong, or the picture unusual. Nothing was "
                "changed.",
            )
        against = [one for one in told.get("contradictions", ()) if one["what"] == what]
        if against:
            first = against[0]
            yield Finding(
                "caution",
                f"What headers and names say of the {what} contradicts itself in "
                f"{_many(len(against), 'series', 'series')}, e.g. {first['series']}: "
                f"{first['value']} by {'; '.join(first['evidence'])}; against it "
                f"{'; '.join(first['against'])}.",
                "Look at them, and mend the header or leave the series out.",
            )
