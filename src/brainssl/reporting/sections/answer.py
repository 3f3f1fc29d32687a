"""What came out, in words, with its uncertainty."""

from brainssl.reporting.blocks import (
    Block,
    Facts,
    Prose,
)
from brainssl.reporting.findings.classical import challenges
from brainssl.reporting.findings.outcomes import answer, outcomes
from brainssl.reporting.findings.protocols import protocol_finding
from brainssl.reporting.study import Study
from brainssl.reporting.wording import (
    labels_title,
)

_BEST = "Best is who has the highest macro F1 on validation."


def content(study: Study) -> tuple[Block, ...]:
    """Say what came out, in words, with its uncertainty."""
    found = outcomes(study)
    blocks: list[Block] = [Prose((answer(study),), lead=True)]
    if finding := protocol_finding(study):
        blocks.append(Prose((finding,)))
    if challenged := challenges(study):
        blocks.append(Prose((" ".join(one.text for one in challenged) + f" {_BEST}",)))
    if found:
        pairs = tuple((labels_title(o.label_fraction), o.text) for o in found)
        blocks += [Facts(pairs), Prose((_what_intervals_say(study),))]
    return tuple(blocks)


def _what_intervals_say(study: Study) -> str:
    where = "the collection" if study.folds else "the test split"
    drawn = (
        f"patients happen to be in {where}."
        if study.patients
        else f"groups happen to be in {where}. Patients are not known: groups are clusters "
        "of near-duplicates, which do not catch all slices of a patient, so the intervals are too "
        "narrow and some leakage may remain."
    )
    return (
        f"The intervals say how far one model’s score depends on which {drawn} Whether two of "
        "them overlap is no test: “Which models differ” compares models on the same images."
    )
