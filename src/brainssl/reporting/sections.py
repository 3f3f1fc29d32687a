"""The sections of a report, in their order: each takes a study and returns what to show."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from brainssl.evaluation.metrics import confusion
from brainssl.reporting import figures, tables
from brainssl.reporting.figures import Figure
from brainssl.reporting.findings import PROTOCOLS, Caution, answer, cautions, findings
from brainssl.reporting.pictures import Picture, read_images, sample_strips
from brainssl.reporting.results import Arm, History, Row, Study, method_title, stage_title
from brainssl.reporting.tables import Table
from brainssl.reporting.wording import (
    HEADLINE,
    METRIC,
    METRICS,
    count,
    counted,
    duration,
    fraction_title,
    join,
    moment,
)

_SHOWN_CELLS = 8000
_MOST_MODELS = 24


@dataclass(frozen=True)
class Prose:
    """Paragraphs; `lead` sets the first one larger."""

    paragraphs: tuple[str, ...]
    lead: bool = False
    kind: str = "prose"


@dataclass(frozen=True)
class Facts:
    """Terms and what they are, as a definition list; `code` sets the values in monospace."""

    pairs: tuple[tuple[str, str], ...]
    code: frozenset[str] = frozenset()
    kind: str = "facts"


@dataclass(frozen=True)
class Cautions:
    """A list of cautions."""

    items: tuple[Caution, ...]
    kind: str = "cautions"


@dataclass(frozen=True)
class Strips:
    """Sample pictures, a strip a class."""

    caption: str
    pictures: tuple[Picture, ...]
    kind: str = "strips"


@dataclass(frozen=True)
class Fold:
    """Blocks that a reader opens if wanted."""

    title: str
    blocks: tuple["Block", ...]
    kind: str = "fold"


@dataclass(frozen=True)
class Columns:
    """Blocks side by side where the page is wide enough."""

    blocks: tuple["Block", ...]
    kind: str = "columns"


@dataclass(frozen=True)
class Panel:
    """One of the alternatives of a `Choice`."""

    name: str
    title: str
    blocks: tuple["Block", ...]


@dataclass(frozen=True)
class Choice:
    """Alternatives of which one is shown, the first to begin with."""

    name: str
    label: str
    panels: tuple[Panel, ...]
    kind: str = "choice"


Block = Prose | Facts | Cautions | Strips | Fold | Columns | Choice | Table | Figure


@dataclass(frozen=True)
class Section:
    """A numbered part of the report."""

    name: str
    title: str
    blocks: tuple[Block, ...] = field(default=())


def sections(study: Study) -> list[Section]:
    """Return every section that has something to show."""
    built = [make(study) for make in _SECTIONS]
    return [section for section in built if section.blocks]


def answer_section(study: Study) -> Section:
    """Say what came out, in words, with its uncertainty."""
    found = findings(study)
    blocks: list[Block] = [Prose((answer(study),), lead=True)]
    if found:
        pairs = tuple((f"{fraction_title(f.label_fraction)} of labels", f.text) for f in found)
        blocks.append(Facts(pairs))
        blocks.append(
            Prose(
                (
                    "The intervals say how far one model’s score depends on which patients happen "
                    "to be in the test split. Whether two of them overlap is no test: a paired "
                    "comparison on the same cases can tell models apart whose intervals overlap, "
                    "and it is not part of this report.",
                )
            )
        )
    return Section("answer", "Answer", tuple(blocks))


def caution_section(study: Study) -> Section:
    """List what to be careful about."""
    items = tuple(cautions(study))
    return Section("cautions", "What to be careful about", (Cautions(items),) if items else ())


def run_section(study: Study) -> Section:
    """Say what was run, on what, and how it was split."""
    facts = study.facts
    blocks: list[Block] = [Facts(_run_facts(study), frozenset({"Command"}))]
    for protocol in study.protocols:
        pairs = _split_facts(study, protocol)
        if pairs:
            blocks.append(Prose((f"Protocol “{protocol}”. {PROTOCOLS.get(protocol, '')}".strip(),)))
            blocks.append(Facts(pairs, frozenset({"Digest", "File"})))
    environment = facts.get("environment") or {}
    if environment:
        pairs = tuple((str(key), str(value)) for key, value in environment.items())
        blocks.append(Fold("Environment", (Facts(pairs),)))
    return Section("run", "What was run, on what", tuple(blocks))


def result_section(study: Study) -> Section:
    """Show the main table of each protocol, and everything measured behind a fold."""
    blocks: list[Block] = []
    for protocol in study.protocols:
        if not study.arms(protocol):
            continue
        blocks.append(tables.main_table(study, protocol))
        blocks += [
            Fold(
                f"All metrics, {tables.split_title(split).lower()}, protocol “{protocol}”",
                (tables.full_table(study, protocol, split),),
            )
            for split in ("test", "val", "train")
            if study.arms(protocol, split)
        ]
    if blocks:
        meanings = tuple((metric.title, metric.meaning) for metric in METRICS)
        blocks.append(Fold("What the metrics mean", (Facts(meanings),)))
    return Section("results", "Results on the test split", tuple(blocks))


def protocol_section(study: Study) -> Section:
    """Set the protocols side by side, where there are several."""
    if len([p for p in study.protocols if study.arms(p)]) < 2:
        return Section("protocols", "Protocols side by side")
    shown = (HEADLINE, METRIC["f1_macro"])
    blocks = tuple(tables.protocol_table(study, metric) for metric in shown)
    return Section("protocols", "Protocols side by side", blocks)


def efficiency_section(study: Study) -> Section:
    """Plot the score against the label fraction."""
    plots = [figures.label_efficiency(study, p) for p in study.protocols if study.arms(p)]
    return Section("efficiency", "How far the labels go", tuple(plots))


def confusion_section(study: Study) -> Section:
    """Show confusion matrices, per-class scores and curves of one model, others by choice."""
    chosen = _models_to_show(study)
    panels = tuple(p for arm in chosen if (p := _model_panel(study, arm)) is not None)
    if not panels:
        return Section("models", "Model by model")
    return Section(
        "models",
        "Model by model",
        (
            Prose((_choice_rule(study, len(panels)),)),
            Choice("model", "Model", panels),
        ),
    )


def loss_section(study: Study) -> Section:
    """Plot training and validation loss of every stage."""
    stages: dict[str, list[History]] = {}
    for history in study.histories():
        stages.setdefault(history.stage, []).append(history)
    known = ["pretrain", "linear", "finetune", "supervised"]
    order = sorted(stages, key=lambda s: (known.index(s) if s in known else len(known), s))
    plots = tuple(
        figures.loss_curves(
            stage, stage_title(stage)[0].upper() + stage_title(stage)[1:], stages[stage]
        )
        for stage in order
    )
    return Section("losses", "Loss curves", (Columns(plots),) if plots else ())


def data_section(study: Study) -> Section:
    """Show class counts and a few slices of each class."""
    blocks: list[Block] = [
        tables.counts_table(study, protocol)
        for protocol in study.protocols
        if study.split(protocol).get("counts")
    ]
    for store in sorted(study.folder.glob("store*")):
        found = read_images(store)
        if found is None:
            continue
        images, manifest = found
        classes = study.classes or sorted(manifest["label"].dropna().unique())
        strips = tuple(sample_strips(images, manifest, classes))
        if strips:
            caption = "Slices of each class as the store holds them, from different groups."
            blocks.append(Strips(caption, strips))
            break
    return Section("data", "The data", tuple(blocks))


def settings_section(study: Study) -> Section:
    """List every setting with its reason."""
    settings, reasons = study.facts.get("settings") or {}, study.facts.get("reasons") or {}
    if not settings and not reasons:
        return Section("settings", "Settings")
    return Section("settings", "Settings", (tables.settings_table(settings, reasons),))


def published_section(study: Study) -> Section:
    """Show the numbers of the published study, marked as not comparable."""
    del study
    published = read_published()
    shown = tuple(tables.published_table(published, i) for i in range(len(published["tables"])))
    warning = (
        f"These numbers are quoted from: {published['source']}. They were measured on other "
        f"images under another protocol. {published['note']} They stand here for context, and are "
        "not comparable with any number above."
    )
    return Section("published", "Published numbers", (Prose((warning,)), Columns(shown)))


def read_published() -> dict[str, Any]:
    """Return `published.toml`."""
    text = resources.files("brainssl.reporting").joinpath("published.toml").read_text("utf-8")
    return tomllib.loads(text)


_SECTIONS: tuple[Callable[[Study], Section], ...] = (
    answer_section,
    caution_section,
    run_section,
    result_section,
    protocol_section,
    efficiency_section,
    confusion_section,
    loss_section,
    data_section,
    settings_section,
    published_section,
)


def _run_facts(study: Study) -> tuple[tuple[str, str], ...]:
    facts, audit = study.facts, study.audit
    methods = [method_title(str(m)) for m in facts.get("methods") or ()]
    fractions = [fraction_title(float(f)) for f in facts.get("label_fractions") or ()]
    unreadable = audit.get("unreadable")
    unread = f", {counted(unreadable, 'file')} unreadable" if unreadable else ""
    groups = f" in {counted(audit['groups'], 'group')}" if audit.get("groups") else ""
    images = f"{counted(audit['images'], 'image')}{groups}{unread}" if audit.get("images") else ""
    pairs = {
        "Command": str(facts.get("command") or ""),
        "Source": str(facts.get("source") or ""),
        "Images": images,
        "Classes": count(len(study.classes)) if study.classes else "",
        "Preset": str(facts.get("preset") or ""),
        "Methods": join(methods) if methods else "",
        "Label fractions": join(fractions) if fractions else "",
        "Seeds": _seeds(facts),
        "brainssl": str(facts.get("brainssl") or ""),
        "Finished": moment(str(facts.get("created") or "")),
        "Time taken": duration(facts["seconds"]) if facts.get("seconds") else "",
    }
    return tuple((key, value) for key, value in pairs.items() if value)


def _seeds(facts: Mapping[str, Any]) -> str:
    number, first = facts.get("seeds"), facts.get("seed")
    if number is None:
        return ""
    return f"{number}, counted from {first}" if first is not None else f"{number}"


def _split_facts(study: Study, protocol: str) -> tuple[tuple[str, str], ...]:
    split = study.split(protocol)
    images, groups = split.get("images") or {}, split.get("groups") or {}
    heads = (("train", "Training"), ("val", "Validation"), ("test", "Test"))
    pairs = [
        (
            head,
            counted(images[name], "image")
            + (f" of {counted(groups[name], 'group')}" if name in groups else ""),
        )
        for name, head in heads
        if name in images
    ]
    optional = (("unlabelled", "For pretraining only"), ("left_out", "Left out"))
    pairs += [(head, counted(split[name], "image")) for name, head in optional if split.get(name)]
    texts = (("seed", "Split seed"), ("file", "File"), ("digest", "Digest"))
    pairs += [(head, str(split[name])) for name, head in texts if split.get(name) is not None]
    return tuple(pairs)


def _models_to_show(study: Study) -> list[Arm]:
    """Return the arms on test, the best on validation of the default protocol first."""
    classes = max(1, len(study.classes))
    most = max(1, min(_MOST_MODELS, _SHOWN_CELLS // classes**2))
    arms = [arm for protocol in study.protocols for arm in study.arms(protocol)]
    best = max(
        (arm for arm in arms if arm.protocol == study.protocols[0]),
        key=lambda arm: _validation_score(study, arm),
        default=None,
    )
    rest = [arm for arm in arms if arm is not best]
    return ([] if best is None else [best, *rest])[:most]


def _validation_score(study: Study, arm: Arm) -> float:
    key = (arm.method, arm.stage, arm.label_fraction)
    for other in study.arms(arm.protocol, "val"):
        if (other.method, other.stage, other.label_fraction) == key:
            return other.mean("f1_macro") or 0.0
    return 0.0


def _choice_rule(study: Study, shown: int) -> str:
    chosen = "The model shown first has the highest macro F1 on the validation split"
    if not study.arms(study.protocols[0], "val"):
        chosen = "No validation scores are stored, so the model shown first is not a choice"
    first = "of its seeds the first" if shown == 1 else "each with the first of its seeds"
    return f"{chosen}; {first}. All of it is measured on the test split."


def _model_panel(study: Study, arm: Arm) -> Panel | None:
    row: Row = arm.rows[0]
    predictions = study.predictions(row)
    if predictions is None:
        return None
    classes, labels = predictions.classes, predictions.labels
    title = f"{arm.title}, {fraction_title(arm.label_fraction)} of labels"
    where = f"{title}, seed {row.seed}, test split, protocol “{arm.protocol}”"
    counts = confusion(labels, predictions.predicted, classes)
    probabilities = predictions.probabilities()
    blocks: list[Block] = [
        tables.confusion_table(counts, classes, f"confusion-{arm.key}", where),
        tables.class_table(row, classes, f"classes-{arm.key}", where),
        Columns(
            (
                figures.roc_curves(labels, probabilities, classes, f"roc-{arm.key}", where),
                figures.pr_curves(labels, probabilities, classes, f"pr-{arm.key}", where),
            )
        ),
    ]
    option = title if len(study.protocols) == 1 else f"{title}, {arm.protocol}"
    return Panel(f"panel-{arm.key}", option, tuple(blocks))
