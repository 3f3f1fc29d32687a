"""Whether the answer can be believed, in one line: what is against it, what it rests on."""

from dataclasses import dataclass
from typing import Literal

from brainssl.reporting.findings.cautions import cautions
from brainssl.reporting.findings.protocols import HONEST
from brainssl.reporting.study import Study, interval
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
    leaks = _learnt(study) or study.protocols[0] != HONEST
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
        _leakage(study),
        counted(seeds, "seed") if seeds else "",
        counted(study.folds, "fold") if study.folds else "one split",
    ]
    return f"{'; '.join(fact for fact in facts if fact).capitalize()}."


def _kept_apart(study: Study) -> str:
    if not study.patients:
        return "near-duplicates"
    return "patients" if study.patients_known == 1 else "known patients"


def _learnt(study: Study) -> bool | None:
    """Return whether the control learnt labels drawn at random; None where it was not tested."""
    for control in study.analysis.get("random_labels") or ():
        if control["protocol"] == study.protocols[0] and interval(control["interval"]):
            return bool(control["learnt"])
    return None


def _leakage(study: Study) -> str:
    learnt = _learnt(study)
    if learnt is None:
        return "leakage not tested"
    return "leakage found" if learnt else "no leakage found by random labels"
