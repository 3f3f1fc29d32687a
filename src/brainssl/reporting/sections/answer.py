"""What must be seen first: the answer, whether to believe it, figure 1, and examples."""

from brainssl.reporting.blocks import Block, Facts, Fold, Multiples, Prose
from brainssl.reporting.figures.scoreboard import label_width, legend, panels
from brainssl.reporting.findings.answer import answer, where_tested
from brainssl.reporting.findings.belief import belief
from brainssl.reporting.findings.classical import CHOSEN, challenges
from brainssl.reporting.findings.outcomes import outcomes
from brainssl.reporting.scoreboard import Board, boards
from brainssl.reporting.sections.example_slices import example_strips
from brainssl.reporting.study import Study
from brainssl.reporting.wording import labels_title

FIGURE = "figure-1"

_ACROSS = 4  # panels side by side at most
_HOW = (
    "A marker is the test score of one seed{pooled}, its line the 95\u00a0% interval for the "
    "choice of test groups. Highest first; controls stand below."
)
_NO_LINE = (
    " A marker without a line scores the same in every draw: it is right on all or none, or names "
    "one class for all, and classes are as frequent in each."
)


def content(study: Study) -> tuple[Block, ...]:
    """Answer in a sentence, say what that is worth, and show every model."""
    blocks: list[Block] = [Prose((answer(study),), lead=True)]
    if worth := belief(study):
        blocks.append(Prose((worth.text,), mark=worth.severity))
    if shown := [found for protocol in study.protocols[:1] for found in boards(study, protocol)]:
        pooled = ", pooled over folds" if study.folds else ""
        points = [point for board in shown for entry in board.entries for point in entry.points]
        still = any(point.limits and point.limits[0] == point.limits[1] for point in points)
        blocks.append(scoreboard(shown, _HOW.format(pooled=pooled) + _NO_LINE * still))
    blocks += example_strips(study)
    if found := outcomes(study):
        won = [one.text for one in challenges(study) if one.verdict == "above"]
        told = [f"{where_tested(study)}:", *([f"{' '.join(won)} {CHOSEN}"] if won else [])]
        pairs = tuple((labels_title(o.label_fraction), o.text) for o in found)
        full = (Prose(tuple(told)), Facts(pairs), Prose((_what_intervals_say(study),)))
        blocks.append(Fold("The answer in full", full))
    return tuple(blocks)


def scoreboard(shown: list[Board], caption: str, name: str = FIGURE, title: str = "") -> Multiples:
    """Return figure 1 of these panels."""
    across = min(_ACROSS, len(shown))
    labels = label_width(shown)
    return Multiples(name, title, caption, legend(shown), panels(name, shown), across, labels)


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
