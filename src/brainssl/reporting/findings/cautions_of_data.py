"""What to be careful about in how a study divides and counts its images."""

from collections.abc import Iterator

from brainssl.reporting.findings.caution import Caution
from brainssl.reporting.findings.protocols import HONEST, TOO_WIDE, leak_of
from brainssl.reporting.study import Study
from brainssl.reporting.titles import BASELINE
from brainssl.reporting.wording import (
    PROTOCOLS,
    count,
    counted,
    join,
    percent,
    some,
)

SMALL_CLASS = 10
ENOUGH_SEEDS = 3
ENOUGH_GROUPS = 30
"""Groups below which the percentile cluster bootstrap covers noticeably less than it says."""
ENOUGH_TO_CHOOSE, VERY_FEW = 10, 5
"""Groups of validation below which what they choose is cautioned of, and seriously so."""

ENOUGH_DRAWS = 2000
"""Draws of a bootstrap below which the ends of a 95 % interval are themselves left to chance."""

# How the audit begins a finding about splits by image: no fault of a study that makes none.
_RANDOM_SPLIT = "A random split by image"
NAMED = 3  # of what a caution is about; tables have them all


def from_protocols(study: Study) -> Iterator[Caution]:
    """What a protocol leaks, and what its split warns of."""
    leading = study.protocols[:1]
    for control in study.analysis.get("random_labels") or ():
        if control["learnt"]:
            yield Caution(
                "serious",
                f"Protocol “{control['protocol']}” leaks: labels drawn at random were learnt "
                f"({percent(control['accuracy'])} % right, guessing "
                f"{percent(control['guessing'])} %).",
                "labels drawn at random were learnt" * (control["protocol"] in leading),
            )
        elif leak_of(control) == "open":
            yield Caution(
                "note",
                "Labels drawn at random cannot tell whether protocol "
                f"“{control['protocol']}” leaks: {TOO_WIDE}.",
            )
    for protocol in study.protocols:
        if protocol in PROTOCOLS and protocol != HONEST:
            yield Caution(
                "serious",
                f"Protocol “{protocol}”: {PROTOCOLS[protocol]}",
                "images like those of the test stood in training" * (protocol in leading),
            )
    warned: dict[str, list[str]] = {}
    for protocol in study.protocols:
        for warning in study.split(protocol).get("warnings") or ():
            warned.setdefault(str(warning), []).append(f"“{protocol}”")
    for warning, protocols in warned.items():
        yield Caution("note", f"Split {join(protocols)}: {warning}")
    if study.facts.get("simulated"):
        yield Caution(
            "serious",
            "The images are simulated. The scores say how the methods compare on this simulation, "
            "and nothing about patients.",
            "the images are simulated",
        )


def from_patients(study: Study) -> Iterator[Caution]:
    """Patients who are not known may stand on both sides."""
    if study.rows and not study.patients:
        yield Caution(
            "serious",
            "Patients are not known: groups are clusters of near-duplicates, which do not catch "
            "all slices of a patient. Slices of one patient may stand in training and test, so "
            "that some leakage may remain under every protocol, and intervals are too narrow.",
            "patients are not known, so some leakage may remain",
        )
    elif study.rows and (known := study.patients_known) < 1:
        told = f"the patients of {percent(1 - known)}\u00a0% of the images are not known"
        yield Caution(
            "serious",
            f"{told[0].upper()}{told[1:]}: slices of one of them may stand in training and test.",
            told,
        )


def from_groups(study: Study) -> Iterator[Caution]:
    """A few groups tell little, and make intervals too narrow."""
    for protocol in study.protocols:
        groups = int((study.split(protocol).get("groups") or {}).get("test") or 0)
        few = 0 < groups < ENOUGH_GROUPS
        sentences = []
        if few:
            sentences.append(
                f"The test set of protocol “{protocol}” has only {counted(groups, 'group')}: "
                "intervals are somewhat too narrow, and every score rests on a few groups."
            )
        by_class = study.test_groups(protocol)
        single = [name for name, number in by_class.items() if number == 1]
        if single:
            sentences.append(
                f"Under “{protocol}” the test images of {count(len(single))} of "
                f"{counted(len(by_class), 'class', 'classes')} come from a single group each, so "
                f"that their own scores speak of that group alone: {some(single, NAMED)}."
            )
        if sentences:
            brief = f"only {counted(groups, 'group')} tested"
            yield Caution(
                "serious" if few else "note",
                " ".join(sentences),
                brief * (few and protocol in study.protocols[:1]),
            )


def from_validation(study: Study) -> Iterator[Caution]:
    """What few groups choose, others might not have chosen."""
    for protocol in study.protocols:
        split = study.split(protocol)
        folds = split.get("folds") or [split]
        numbers = [int((one.get("groups") or {}).get("val") or 0) for one in folds]
        groups = min((number for number in numbers if number), default=0)
        if not 0 < groups < ENOUGH_TO_CHOOSE:
            continue
        where = "of one fold " * (len(folds) > 1)
        serious = groups < VERY_FEW
        yield Caution(
            "serious" if serious else "note",
            f"The validation set {where}of protocol “{protocol}” has only "
            f"{counted(groups, 'group')}. What is chosen there (epochs, settings, temperature, "
            "which model is best) rests on so few: others might have chosen otherwise.",
            f"only {counted(groups, 'group')} chose on validation"
            * (serious and protocol in study.protocols[:1]),
        )


def from_audit(study: Study) -> Iterator[Caution]:
    """What the audit of the source found."""
    by_image = bool({"image", "paper"} & set(study.protocols))
    for finding in study.audit.get("findings") or ():
        severity, text = finding["severity"], finding["text"]
        if severity == "good":
            continue
        avoided = text.startswith(_RANDOM_SPLIT) and not by_image
        serious = severity == "serious" and not avoided
        brief = "the audit has a serious finding"
        yield Caution("serious" if serious else "note", f"Audit: {text}", brief * serious)


def from_draws(study: Study) -> Iterator[Caution]:
    """Too few draws leave the ends of an interval to chance."""
    settings = (study.facts.get("settings") or {}).get("evaluation") or {}
    draws = int(settings.get("draws") or ENOUGH_DRAWS)
    if draws < ENOUGH_DRAWS:
        yield Caution(
            "note",
            f"Intervals rest on {counted(draws, 'draw')} of the bootstrap: other draws would move "
            f"their ends. Set evaluation.draws to {count(ENOUGH_DRAWS)} or more.",
        )


def from_size(study: Study) -> Iterator[Caution]:
    """Few seeds, few images of a class, and scores that were pooled or picked."""
    seeds = {len(arm.rows) for protocol in study.protocols for arm in study.arms(protocol)}
    if seeds and min(seeds) < ENOUGH_SEEDS:
        few = min(seeds)
        yield Caution(
            "note",
            "Only one seed: how much a score would change with another one is unknown."
            if few == 1
            else f"Only {few} seeds: their standard deviation is itself very uncertain.",
        )
    for protocol in study.protocols[:1]:
        counts = (study.split(protocol).get("counts") or {}).get("test") or {}
        small = [f"{name} ({n})" for name, n in counts.items() if n < SMALL_CLASS]
        if small:
            yield Caution(
                "note",
                f"Fewer than {SMALL_CLASS} test images under “{protocol}” in "
                f"{count(len(small))} of {count(len(counts))} classes: {some(small, NAMED)}. "
                "Their own scores, and every macro average, rest on few cases.",
            )
    if study.folds:
        yield Caution(
            "note",
            f"Test scores pool {study.folds} models of each kind, each on the images of its own "
            "fold; what is said of training, validation, explanations and maps of features is "
            "of the first fold. AUROC and average precision rank images across these models, which "
            "may cost them a little.",
        )
    own = {r.title for r in study.rows if r.method != BASELINE}
    if len(own) > 2:
        yield Caution(
            "note",
            "The highest of several scores on the same test split is, by the choice itself, a "
            "little too high.",
        )
