"""The section on starts: what self-supervision adds to weights that can be had for nothing."""

from brainssl.reporting.blocks import Block, Fold, Prose
from brainssl.reporting.findings.starts import LEVEL, Contrast, Worth, level, said, worths
from brainssl.reporting.rows import Arm
from brainssl.reporting.study import Study
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.titles import method_title
from brainssl.reporting.wording import HEADLINE, MISSING, counted, fraction_title, percent, signed
from brainssl.settings.starts import start_title

_HOW = (
    "A start is the weights that an encoder begins with. What self-supervision is set against is "
    "what a user would do without it: a linear probe on the weights as they are, and the same "
    "weights fine-tuned with the labels alone.",
    "Of several self-supervised methods the one with the best macro F1 on validation stands for "
    "all, and those that pretrain with labels are no part of it: the test "
    "images choose nothing. Differences are on the same test images (paired cluster bootstrap, "
    "mean over seeds). p values are corrected for the differences of this table (Holm), which "
    "were chosen beforehand; “Which models differ” corrects for all pairs of models with the same "
    "labels, so a pair has another corrected p value there. Intervals are not corrected.",
)


def content(study: Study) -> tuple[Block, ...]:
    """Say what self-supervision adds to each start, and show it by label fraction."""
    found = worths(study)
    told = said(found)
    if not told:
        return ()
    how = Fold("How starts are compared", (Prose(_HOW),))
    return (Prose((*told, *level(study, found))), starts_table(study, found), how)


def starts_table(study: Study, found: list[Worth]) -> Table:
    """Return scores and differences, a line for each label fraction and start."""
    lines = []
    for place, one in enumerate(found):
        cells = (
            _scored(one.as_it_is),
            _scored(one.probed, named=True),
            _difference(one.frozen),
            _scored(one.supervised),
            _scored(one.finetuned, named=True),
            _difference(one.trained),
            *([_difference(one.itself)] if _from_random(found) else []),
        )
        start = place == 0 or found[place - 1].label_fraction != one.label_fraction
        title = start_title(one.start)
        lines.append(Line((fraction_title(one.label_fraction), title), cells, "", start))
    itself = ("The start adds, fine-tuned",) if _from_random(found) else ()
    return Table(
        name="by-start",
        caption=(
            f"{HEADLINE.heading} on the test split of “{study.protocols[0]}”, mean over seeds, of "
            "each start as it is and after pretraining by the method that is best on validation; "
            "what pretraining adds, and the start itself to random weights, in points with 95 % "
            f"intervals. Shaded: p < {LEVEL:g} after correction for all differences of the table."
        ),
        stub=("Labels", "Start"),
        columns=(
            "As it is, probe",
            "Pretrained, probe",
            "It adds, probe",
            "As it is, fine-tuned",
            "Pretrained, fine-tuned",
            "It adds, fine-tuned",
            *itself,
        ),
        lines=tuple(lines),
        layout="wide",
    )


def _from_random(found: list[Worth]) -> bool:
    return any(one.itself for one in found)


def _scored(arm: Arm | None, *, named: bool = False) -> Cell:
    if arm is None:
        return Cell(MISSING)
    return Cell(percent(arm.mean(HEADLINE.name)), method_title(arm.method) if named else "")


def _difference(contrast: Contrast | None) -> Cell:
    if contrast is None:
        return Cell(MISSING)
    if contrast.limits is None:
        return Cell(signed(contrast.difference))
    low, high = contrast.limits
    family = counted(contrast.family, "difference")
    title = f"p = {contrast.p_value:.4f}, corrected for {family} {contrast.p_holm:.4f}"
    shade = 0.5 if contrast.sure else None
    return Cell(signed(contrast.difference), f"{percent(low)} to {percent(high)}", shade, title)
