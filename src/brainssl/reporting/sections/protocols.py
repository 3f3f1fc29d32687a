"""The section on protocols: what each leaks, and how far it flatters."""

from brainssl.data.shots import label_fraction
from brainssl.reporting.blocks import Block, Fold, Prose
from brainssl.reporting.findings.protocols import (
    HONEST,
    UNTRAINED_PROBE,
    leak_of,
    protocol_finding,
)
from brainssl.reporting.rows import interval
from brainssl.reporting.study import Study
from brainssl.reporting.tables import results as tables
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.titles import title_of
from brainssl.reporting.wording import HEADLINE, METRIC, fraction_title, percent, signed

_CONTROLS = (
    "Two controls tell what a protocol leaks. Labels drawn at random, one for each group, say "
    "nothing about an image: a model can know them of a test image only by recognising that images "
    "like it stood in training. And an encoder that was never trained knows nothing about tumours: "
    "what a linear probe on it scores more under one protocol than under another is recognition "
    "too. Both are linear probes on the same untrained encoder, with all labels."
)

_LEARNT = {None: "not tested", "found": "yes: it leaks", "none": "not shown", "open": "cannot tell"}


def content(study: Study) -> tuple[Block, ...]:
    """Show the controls, and where there are several protocols how they differ."""
    blocks: list[Block] = []
    if finding := protocol_finding(study):
        blocks.append(Prose((finding,)))
    if study.analysis.get("random_labels"):
        blocks += [control_table(study), Fold("What the controls are", (Prose((_CONTROLS,)),))]
    side_by_side = [HEADLINE, METRIC["f1_macro"]]
    if study.analysis.get("optimism"):
        blocks.append(optimism_table(study))
        side_by_side.remove(HEADLINE)
    if len([p for p in study.protocols if study.arms(p)]) > 1:
        blocks += [tables.protocol_table(study, metric) for metric in side_by_side]
    return tuple(blocks)


def control_table(study: Study) -> Table:
    """Return, for each protocol, what the two controls score."""
    lines = []
    for control in study.analysis["random_labels"]:
        protocol = str(control["protocol"])
        limits = interval(control["interval"])
        untrained = [
            arm
            for arm in study.arms(protocol)
            if (arm.method, arm.stage) == UNTRAINED_PROBE
            and arm.start == (control.get("start") or "")
            and arm.mean(HEADLINE.name) is not None
        ]
        cells = (
            Cell(percent(control["accuracy"])),
            Cell(percent(control["guessing"])),
            Cell(
                signed(control["difference"]),
                "" if limits is None else HEADLINE.range(limits),
            ),
            Cell(_LEARNT[leak_of(control)]),
            Cell(percent(untrained[-1].mean(HEADLINE.name)) if untrained else "–"),
        )
        lines.append(Line((protocol,), cells))
    return Table(
        name="controls",
        caption=(
            "Controls for leakage: accuracy (%) on the test split, mean over seeds. Guessing is "
            "what the same answers would get right if they knew nothing but how frequent each "
            "class is in the training split; the difference has its 95 % interval (cluster "
            "bootstrap)."
        ),
        stub=("Protocol",),
        columns=(
            "Random labels",
            "Guessing",
            "Difference",
            "Learnt?",
            "True labels, untrained encoder",
        ),
        lines=tuple(lines),
    )


def optimism_table(study: Study) -> Table:
    """Return by how much each model scores higher under another protocol than under `grouped`."""
    lines = []
    fraction: float | str | None = None
    for gap in sorted(
        study.analysis["optimism"], key=lambda g: label_fraction(g["label_fraction"])
    ):
        limits = interval(gap["interval"])
        start, fraction = gap["label_fraction"] != fraction, gap["label_fraction"]
        cells = (
            Cell(percent(gap["accuracy"])),
            Cell(percent(gap["honest"])),
            Cell(signed(gap["difference"]), "" if limits is None else HEADLINE.range(limits)),
        )
        title = title_of(gap)
        lines.append(
            Line((fraction_title(gap["label_fraction"]), title, gap["protocol"]), cells, "", start)
        )
    return Table(
        name="optimism",
        caption=(
            f"Optimism: {HEADLINE.title.lower()} (%) under a protocol minus that under “{HONEST}”, "
            "mean over seeds, with the 95 % interval of the difference (groups of both test splits "
            "drawn independently)."
        ),
        stub=("Labels", "Model", "Protocol"),
        columns=("Under it", f"Under “{HONEST}”", "Optimism"),
        lines=tuple(lines),
    )
