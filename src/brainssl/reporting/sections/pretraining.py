"""The section that says whether pretraining worked, from what the collapse sentinel saw."""

from collections.abc import Sequence
from dataclasses import dataclass

from brainssl.reporting.blocks import Block, Cautions, Facts, Fold, Multiples, Prose, across
from brainssl.reporting.figures.figure import Key, epoch_axis, epoch_traces, learner_keys, panel
from brainssl.reporting.findings.caution import Caution
from brainssl.reporting.study import Study
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.titles import is_pretrained, method_title
from brainssl.reporting.trainings import Training, Watch, watches
from brainssl.reporting.wording import MISSING, count, counted, fixed, fraction_title


@dataclass(frozen=True)
class _Measure:
    """A measure of `collapse.json`: `scale` and `digits` say how its number is written."""

    name: str
    title: str
    meaning: str
    scale: float = 1.0
    digits: int = 2
    drawn: bool = True

    def text(self, value: float | None) -> str:
        """Return the value as it is written."""
        return fixed(value, self.digits, self.scale)


_KNN = _Measure(
    "knn_accuracy",
    "kNN accuracy, %",
    "share of validation images whose class their nearest training images name, by the encoder’s "
    "features",
    scale=100.0,
    digits=1,
)
_SPREAD = _Measure(
    "spread", "Spread", "of unit embeddings over images: 1 if even, 0 if all images are the same"
)
_RANK = _Measure(
    "effective_rank", "Effective rank", "how many dimensions the embeddings make use of", digits=1
)
_MEASURES = (
    _KNN,
    _SPREAD,
    _RANK,
    _Measure(
        "similarity_gap",
        "Similarity gap",
        "how much more alike two views of an image are than two images (cosines)",
        digits=3,
    ),
    _Measure("alignment", "Alignment", "distance of two views of an image, squared", drawn=False),
    _Measure(
        "uniformity",
        "Uniformity",
        "0 if all images are the same, −4 if they fill the sphere",
        drawn=False,
    ),
    _Measure(
        "teacher_entropy", "Teacher entropy, nats", "how undecided the teacher is about an image"
    ),
    _Measure(
        "teacher_information",
        "Teacher information, nats",
        "what the teacher’s answer tells of its image: 0 if it is the same for all",
    ),
)

_SAID = (
    (_KNN, "kNN accuracy", "\u00a0%"),
    (_RANK, "effective rank", ""),
    (_SPREAD, "spread", ""),
)


def content(study: Study) -> tuple[Block, ...]:
    """Say of each pretraining what the sentinel saw, draw it over epochs and tabulate its end."""
    found = watches(study)
    if not found:
        return ()
    named = [(_named(watch.training, study), watch) for watch in found]
    blocks: list[Block] = [Prose(_summary(study, named))]
    failed = [f"{name}: {w.verdict}. {_last_epoch(w)}" for name, w in named if w.verdict]
    if failed:
        blocks.append(Cautions(tuple(Caution("serious", text) for text in failed)))
    sound = tuple((name, _last_epoch(w)) for name, w in named if not w.verdict)
    if sound:
        blocks.append(Facts(sound))
    for protocol in study.protocols:
        own = [watch for watch in found if watch.training.protocol == protocol]
        if own:
            table = Fold(f"All measures, protocol “{protocol}”", (_table(own, protocol),))
            blocks += [_curves(study, own, protocol), table]
    meanings = tuple((m.title, m.meaning) for m in _MEASURES if _measured(found, m))
    blocks.append(Fold("What is measured", (Prose((_what_is_looked_at(found),)), Facts(meanings))))
    return tuple(blocks)


def _summary(study: Study, named: Sequence[tuple[str, Watch]]) -> tuple[str, ...]:
    failed = [name for name, watch in named if watch.verdict]
    if failed:
        text = (
            f"{len(failed)} of {counted(len(named), 'pretraining')} collapsed: "
            f"{'; '.join(failed)}. Scores that rest on such an encoder are those of a failed "
            "pretraining, not of the method."
        )
    else:
        text = f"No collapse was seen in {counted(len(named), 'pretraining')}."
    pairs = [(watch.before(_KNN.name), watch.after(_KNN.name)) for _, watch in named]
    known = [(before, after) for before, after in pairs if before is not None and after is not None]
    if short := sum(not (watch.verdict or _judged(watch)) for _, watch in named):
        text += (
            f" {short} of {len(named)} {'was' if short == 1 else 'were'} too short to be judged."
        )
    if known:
        better = sum(after > before for before, after in known)
        text += (
            f" In {better} of {len(known)}, kNN accuracy on validation is higher after the last "
            "epoch than before training."
        )
    missing = _missing(study, [watch.training for _, watch in named])
    return (text, f"Nothing is recorded of {'; '.join(missing)}.") if missing else (text,)


def _judged(watch: Watch) -> bool:
    """Tell whether there were epochs enough for a verdict, had there been a reason for one."""
    from brainssl.training.collapse import PATIENCE, SETTLED  # torch is slow to import

    steps = [row.get("step") for row in watch.epochs]
    return sum(step is None or step >= SETTLED for step in steps) >= PATIENCE


def _what_is_looked_at(found: Sequence[Watch]) -> str:
    from brainssl.training.collapse import PATIENCE, SETTLED

    ks = sorted({watch.k for watch in found if watch.k is not None})
    voters = f" ({' or '.join(map(str, ks))} neighbours)" if ks else ""
    return (
        "Before training (epoch 0) and after each epoch, a sentinel embeds two views of the same "
        f"images, and names validation images by their nearest training images{voters}. It calls a "
        f"collapse when {PATIENCE} epochs in a row show one, from step {SETTLED} on. Nothing is "
        "chosen by what it sees, and it does not look at the test split."
    )


def _last_epoch(watch: Watch) -> str:
    """Say how far the last epoch is from the untrained network."""
    ends: list[str] = []
    for measure, title, unit in _SAID:
        before, after = watch.before(measure.name), watch.after(measure.name)
        if after is not None:
            # The first bracket says what all of them hold.
            start = "" if before is None else f"{measure.text(before)}{unit}"
            said = f" ({'' if ends else 'before: '}{start})" if start else ""
            ends.append(f"{title} {measure.text(after)}{unit}{said}")
    epochs = counted(int(watch.epochs[-1]["epoch"] or 0), "epoch")
    text = f"After {epochs}: {', '.join(ends) or 'no measure is finite'}."
    before, after = watch.before(_KNN.name), watch.after(_KNN.name)
    if before is not None and after is not None and after <= before:
        text += " The kNN accuracy is no better than before training."
    return text


def _named(training: Training, study: Study) -> str:
    several = len(study.protocols) > 1
    return training.title + (f", protocol “{training.protocol}”" if several else "")


def _missing(study: Study, found: Sequence[Training]) -> list[str]:
    """Name the pretrainings that the study should have and of which nothing is recorded."""
    facts = study.facts
    first, number = int(facts.get("seed") or 0), int(facts.get("seeds") or 0)
    expected = [
        Training(study.folder, "pretrain", str(method), protocol, None, seed, fold, start=start)
        for start in (study.starts if study.tells_starts else [""])
        for method in filter(is_pretrained, facts.get("methods") or ())
        for protocol in study.protocols
        for seed in range(first, first + number)
        for fold in (range(1, study.folds + 1) if study.folds else [None])
    ]
    known = {(one.learner, one.protocol, one.seed, one.fold) for one in found}
    return [
        _named(t, study) for t in expected if (t.learner, t.protocol, t.seed, t.fold) not in known
    ]


def _measured(found: Sequence[Watch], measure: _Measure) -> bool:
    return any(row.get(measure.name) is not None for watch in found for row in watch.epochs)


def _curves(study: Study, found: Sequence[Watch], protocol: str) -> Multiples:
    keys, panels = learner_keys(study), []
    last = max(int(watch.epochs[-1]["epoch"] or 0) for watch in found)
    for measure in (m for m in _MEASURES if m.drawn and _measured(found, m)):
        traces = []
        for watch in found:
            epochs = [int(row["epoch"] or 0) for row in watch.epochs]
            seen = [row.get(measure.name) for row in watch.epochs]
            values = [None if value is None else measure.scale * value for value in seen]
            key = keys[watch.training.learner]
            traces += epoch_traces(key, watch.training.title, epochs, values)
        said = f"{measure.title} by epoch, a line for each seed of each method"
        heading = Key(measure.title, "")
        layout = {"xaxis": epoch_axis(last), "yaxis": {"rangemode": "tozero"}}
        panels.append(panel(f"watch-{protocol}-{measure.name}", heading, said, traces, layout))
    title = "By epoch" + (f", protocol “{protocol}”" if len(study.protocols) > 1 else "")
    legend = tuple(keys[m] for m in dict.fromkeys(watch.training.learner for watch in found))
    caption = "What the sentinel saw before training (epoch 0) and after each epoch; a line a seed."
    return Multiples(
        f"watch-{protocol}", title, caption, legend, tuple(panels), across(len(panels))
    )


def _table(found: Sequence[Watch], protocol: str) -> Table:
    shown = [measure for measure in _MEASURES if _measured(found, measure)]
    by_labels = any(watch.training.label_fraction is not None for watch in found)
    by_fold = any(watch.training.fold is not None for watch in found)
    lines: list[Line] = []
    above = ("", "")
    for watch in found:
        training = watch.training
        cells = [
            Cell(m.text(watch.after(m.name)), f"before {m.text(watch.before(m.name))}")
            if watch.after(m.name) is not None
            else Cell(MISSING)
            for m in shown
        ]
        verdict = Cell("collapsed" if watch.verdict else MISSING)
        epochs = Cell(count(watch.epochs[-1]["epoch"]))
        headers = [method_title(*training.learner)]
        if by_labels:
            used = training.label_fraction
            headers.append("none" if used is None else fraction_title(used))
        if by_fold:
            headers.append(MISSING if training.fold is None else str(training.fold))
        headers.append(str(training.seed))
        lines.append(
            Line(tuple(headers), (verdict, epochs, *cells), start=training.learner != above)
        )
        above = training.learner
    return Table(
        name=f"pretraining-{protocol}",
        caption=(
            f"After the last epoch of each pretraining, protocol “{protocol}”, and below it before "
            "training."
        ),
        stub=("Method", *["Labels"] * by_labels, *["Fold"] * by_fold, "Seed"),
        columns=("Verdict", "Epochs", *(measure.title for measure in shown)),
        lines=tuple(lines),
        layout="wide",
        column_titles={measure.title: measure.meaning for measure in shown},
    )
