"""Whether the answer can be believed, in one line: what is against it, what it rests on."""

from dataclasses import dataclass
from typing import Literal

from brainssl.reporting.findings.cautions import cautions
from brainssl.reporting.findings.protocols import HONEST, Leak, leak_of
from brainssl.reporting.study import Study
from brainssl.reporting.wording import counted, join

_MOST = 3  # of what speaks against it; the list of cautions has them all


@dataclass(frozen=True)
class Belief:
    """The line, and whether anything serious speaks against the answer."""

    severity: Literal["serious", "calm"]
    text: str


def belief(study: Study) -> Belief | None:
    """Return what a reader must know before believing the answer; None without results.

    The worst caution comes first, in the order of `cautions`: a leak, then a protocol that
    flatters, then patients who are not known, and so on.
    """
    if not study.rows:
        return None
    found = [caution for caution in cautions(study) if caution.severity == "serious"]
    against = list(dict.fromkeys(caution.brief for caution in found if caution.brief))
    told = f"{_verdict(study, against)} {_rests_on(study)}"
    return Belief("serious" if against else "calm", told)


def _verdict(study: Study, against: list[str]) -> str:
    if not against:
        return "Nothing serious was found that speaks against it."
    leaks = _leak(study) == "found" or study.protocols[0] != HONEST
    head = "Not to be believed" if leaks else "To be read with care"
    shown, more = against[:_MOST], len(against) - _MOST
    return f"{head}: {join([*shown, *([f'{more} more'] if more > 0 else [])])}."


def _rests_on(study: Study) -> str:
    protocol = study.protocols[0]
    split = study.split(protocol)
    groups = (split.get("groups") or {}).get("test")
    images = (split.get("images") or {}).get("test")
    seeds = max((len(arm.rows) for arm in study.arms(protocol)), default=0)
    facts = [
        counted(images, "test slice") + (f" of {counted(groups, 'group')}" if groups else "")
        if images
        else "",
        f"{_kept_apart(study)} kept apart" if protocol == HONEST else f"protocol “{protocol}”",
        _LEAKAGE[_leak(study)],
        counted(seeds, "seed") if seeds else "",
        counted(study.folds, "fold") if study.folds else "one split",
    ]
    return f"{'; '.join(fact for fact in facts if fact).capitalize()}."


def _kept_apart(study: Study) -> str:
    if not study.patients:
        return "near-duplicates"
    return "patients" if study.patients_known == 1 else "known patients"


def _leak(study: Study) -> Leak | None:
    """Return what labels drawn at random tell of the first protocol; None if nothing was tested."""
    controls = study.analysis.get("random_labels") or ()
    own = (leak_of(one) for one in controls if one["protocol"] == study.protocols[0])
    return next((leak for leak in own if leak is not None), None)


_LEAKAGE = {
    None: "leakage not tested",
    "found": "leakage found",
    "none": "no leakage found by random labels",
    "open": "random labels cannot tell whether it leaks",
}
