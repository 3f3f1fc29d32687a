"""The section on protocols: what each leaks, and how far it flatters."""

from collections.abc import Mapping, Sequence
from typing import Any

from brainssl.reporting import tables
from brainssl.reporting.blocks import Block, Prose, Section
from brainssl.reporting.results import Study, arm_title, interval
from brainssl.reporting.tables import Cell, Line, Table
from brainssl.reporting.wording import HEADLINE, METRIC, fraction_title, join, percent, signed

HONEST = "grouped"
_UNTRAINED = ("untrained", "linear")

_CONTROLS = (
    "Two controls tell what a protocol leaks. Labels drawn at random, one for each group, say "
    "nothing about an image: a model can know them of a test image only by recognising that images "
    "like it stood in training. And an encoder that was never trained knows nothing about tumours: "
    "what a linear probe on it scores more under one protocol than under another is recognition "
    "too. Both are linear probes on the same untrained encoder, with all labels."
)


def protocol_section(study: Study) -> Section:
    """Show the controls, and where there are several protocols how they differ."""
    blocks: list[Block] = []
    if finding := protocol_finding(study):
        blocks.append(Prose((finding,)))
    if study.analysis.get("random_labels"):
        blocks += [Prose((_CONTROLS,)), control_table(study)]
    side_by_side = [HEADLINE, METRIC["f1_macro"]]
    if study.analysis.get("optimism"):
        blocks.append(optimism_table(study))
        side_by_side.remove(HEADLINE)
    if len([p for p in study.protocols if study.arms(p)]) > 1:
        blocks += [tables.protocol_table(study, metric) for metric in side_by_side]
    return Section("protocols", "Can the numbers be believed?", tuple(blocks))


def protocol_finding(study: Study) -> str:
    """Return what the protocols differ in and what the controls expose, in words; else nothing."""
    controls = {str(c["protocol"]): c for c in study.analysis.get("random_labels") or ()}
    gaps = study.analysis.get("optimism") or ()
    sentences = [*_flattery(gaps), *_recognition(gaps)]
    learnt = [protocol for protocol, control in controls.items() if control["learnt"]]
    tested = [name for name, control in controls.items() if interval(control["interval"])]
    clean = [protocol for protocol in tested if protocol not in learnt]
    if learnt:
        told = join([f"{_right(controls[p])} under “{p}”" for p in learnt])
        sentences.append(
            f"Labels drawn at random are learnt: {told}. That is possible only by recognising test "
            "images from training, so no score under "
            f"{'that protocol' if len(learnt) == 1 else 'these protocols'} can be believed."
        )
    if clean:
        told = join([f"“{p}” ({_right(controls[p])})" for p in clean])
        sentences.append(
            f"Nothing shows that labels drawn at random were learnt under {told}"
            + (
                "."
                if study.patients
                else ", as far as that can be told: groups are made by likeness, so patients who "
                "stand in two groups go unseen."
            )
        )
    return " ".join(sentences)


def control_table(study: Study) -> Table:
    """Return, for each protocol, what the two controls score."""
    lines = []
    for control in study.analysis["random_labels"]:
        protocol = str(control["protocol"])
        limits = interval(control["interval"])
        untrained = [
            arm
            for arm in study.arms(protocol)
            if (arm.method, arm.stage) == _UNTRAINED and arm.mean(HEADLINE.name) is not None
        ]
        cells = (
            Cell(percent(control["accuracy"])),
            Cell(percent(control["guessing"])),
            Cell(
                signed(control["difference"]),
                "" if limits is None else HEADLINE.range(limits),
            ),
            Cell(_whether_learnt(control)),
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
    fraction: float | None = None
    for gap in sorted(study.analysis["optimism"], key=lambda g: float(g["label_fraction"])):
        limits = interval(gap["interval"])
        start, fraction = gap["label_fraction"] != fraction, gap["label_fraction"]
        cells = (
            Cell(percent(gap["accuracy"])),
            Cell(percent(gap["honest"])),
            Cell(signed(gap["difference"]), "" if limits is None else HEADLINE.range(limits)),
        )
        title = arm_title(gap["method"], gap["stage"])
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


def _flattery(gaps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say of each protocol what it does to the model that scores highest under `grouped`."""
    trained = [gap for gap in gaps if gap["method"] != _UNTRAINED[0]]
    if not trained:
        return []
    most = max(gap["label_fraction"] for gap in trained)
    sentences = []
    for protocol in dict.fromkeys(str(gap["protocol"]) for gap in trained):
        own = [g for g in trained if (g["protocol"], g["label_fraction"]) == (protocol, most)]
        best = max(own, key=lambda gap: float(gap["honest"]))
        limits = interval(best["interval"])
        drawn = "" if limits is None else f" (95 % interval {HEADLINE.range(limits)})"
        sentence = (
            f"{arm_title(best['method'], best['stage'])} scores {percent(best['accuracy'])} % "
            f"under protocol “{protocol}” and {percent(best['honest'])} % under “{HONEST}”: "
            f"a difference of {signed(best['difference'])} points{drawn}"
        )
        above = limits is not None and limits[0] > 0
        sentences.append(f"{sentence}, which is no skill." if above else f"{sentence}.")
    return sentences


def _recognition(gaps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say of each protocol what it does to an encoder that was never trained."""
    untrained = [gap for gap in gaps if (gap["method"], gap["stage"]) == _UNTRAINED]
    most = max((gap["label_fraction"] for gap in untrained), default=0.0)
    sentences = []
    for gap in untrained:
        if gap["label_fraction"] != most:
            continue
        sentences.append(
            "A linear probe on an encoder that was never trained scores "
            f"{percent(gap['accuracy'])} % under “{gap['protocol']}” and {percent(gap['honest'])} "
            f"% under “{HONEST}”{_gained(interval(gap['interval']))}."
        )
    return sentences


def _gained(limits: tuple[float, float] | None) -> str:
    if limits is None:
        return ""
    if limits[0] > 0:
        return ": it has learnt no features, and gains by images whose like stood in training"
    return ", which are not told apart" if limits[1] >= 0 else ": no sign of recognition"


def _whether_learnt(control: Mapping[str, Any]) -> str:
    if interval(control["interval"]) is None:
        return "not tested"
    return "yes: it leaks" if control["learnt"] else "not shown"


def _right(control: Mapping[str, Any]) -> str:
    limits = interval(control["interval"])
    span = "" if limits is None else f", 95 % interval of the difference {HEADLINE.range(limits)}"
    shares = f"{percent(control['accuracy'])} % right, guessing {percent(control['guessing'])} %"
    return f"{shares}{span}"
