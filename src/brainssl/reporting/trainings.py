"""What the training steps of a study left behind: losses, and what the sentinel saw."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from brainssl.data.shots import LabelFraction, label_fraction
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import read_json
from brainssl.reporting.rows import finite
from brainssl.reporting.study import Study, starts_of
from brainssl.reporting.titles import BASELINE, Learner, method_title
from brainssl.reporting.wording import labels_title
from brainssl.settings.starts import mark_of

_STEP_NAME = re.compile(
    r"(tuned\d+-)?(?P<stage>[a-z]+)(-(?P<method>(?!from-).+?))?"
    r"(?P<mark>-from-[A-Za-z0-9._]+)?-(?P<protocol>(?!shot)[a-z]+)"
    r"(-[A-Za-z0-9_]+?-?(?P<fold>\d+)of\d+)?(-f(?P<fraction>\d+-shot|[\de.-]+))?"
    r"-s(?P<seed>\d+)(-t(?P<trial>\d+))?"
)


@dataclass(frozen=True)
class Training:
    """One step of the grid, by the name of its folder.

    Attributes:
        label_fraction: a share in (0, 1], or shots; None for a pretraining that uses none.
        fold: number of its fold; None where there is one split.
        trial: number of the settings that it tried; 1: those given, and of a search that chose.
        start: of its encoder, unless all began with random weights; else empty.
    """

    folder: Path
    stage: str
    method: str
    protocol: str
    label_fraction: LabelFraction | None
    seed: int
    fold: int | None = None
    trial: int = 1
    start: str = ""

    @property
    def learner(self) -> Learner:
        """Method and start."""
        return self.method, self.start

    @property
    def title(self) -> str:
        """The training in words, without its stage and protocol."""
        words = [method_title(self.method, self.start)]
        if self.label_fraction is not None:
            words.append(labels_title(self.label_fraction))
        words += [] if self.fold is None else [f"fold {self.fold}"]
        words += [f"seed {self.seed}"] + ([f"trial {self.trial}"] if self.trial > 1 else [])
        return ", ".join(words)


@dataclass(frozen=True)
class History:
    """The losses of one training, an entry an epoch."""

    training: Training
    epochs: list[int]
    train_loss: list[float | None]
    val_loss: list[float | None]


@dataclass(frozen=True)
class Watch:
    """What the sentinel saw of one pretraining.

    Attributes:
        verdict: What is wrong, in words; None if nothing was seen to be.
        k: Neighbours of the kNN accuracy; None without labels.
        epochs: Measures by name, the first before training (see training/collapse.py).
    """

    training: Training
    verdict: str | None
    k: int | None
    epochs: tuple[Mapping[str, float | None], ...]

    def before(self, measure: str) -> float | None:
        """Return a measure of the untrained network; None if it was not looked at."""
        return self.epochs[0].get(measure) if self.epochs[0]["epoch"] == 0 else None

    def after(self, measure: str) -> float | None:
        """Return a measure after the last epoch."""
        return self.epochs[-1].get(measure)


@dataclass(frozen=True)
class Resolved:
    """A setting of a method that was resolved from the data when pretraining began."""

    training: Training
    name: str
    value: float
    reason: str


def trainings(study: Study) -> list[Training]:
    """Return the steps of a study, by method, protocol, label fraction and seed.

    A folder may hold finished steps of a larger grid, which this study does not speak of, and
    pretrainings of trials that no model rests on.
    """
    methods = [str(method) for method in study.facts.get("methods") or ()]

    protocols, starts = study.protocols, study.starts

    def order(training: Training) -> tuple[bool, int, str, int, int, LabelFraction, int, int, int]:
        place = methods.index(training.method) if training.method in methods else len(methods)
        side = protocols.index(training.protocol)
        last = training.method == BASELINE
        fraction = training.label_fraction or 0.0
        number, fold = training.seed, training.fold or 0
        begun = starts.index(training.start) if training.start else 0
        return last, place, training.method, begun, side, fraction, number, fold, training.trial

    steps = {row.step for row in (*study.rows, *study.of_folds)}
    behind = {(r.learner, r.protocol, r.seed, r.fold, r.trial) for r in study.trained}
    searched = bool(study.facts.get("tuning"))
    begun_with = _starts_by_mark(study)
    parsed = (_parse(path, begun_with) for path in study.folder.glob("steps/*") if path.is_dir())
    own = [t for t in parsed if t is not None and _belongs(t, study, steps)]
    return sorted(
        (
            t
            for t in own
            if t.stage != "pretrain"
            or (searched and (t.learner, t.protocol, t.seed, t.fold, t.trial) in behind)
            or (not searched and t.trial == 1)
        ),
        key=order,
    )


def histories(study: Study) -> Iterator[History]:
    """Yield the losses of every training that kept them."""
    for training in trainings(study):
        try:
            frame = pd.read_csv(training.folder / "history.csv")
        except (OSError, ValueError):
            continue
        if {"epoch", "train_loss"} <= set(frame.columns) and len(frame):
            yield History(
                training=training,
                epochs=[int(epoch) for epoch in frame["epoch"]],
                train_loss=_losses(frame, "train_loss"),
                val_loss=_losses(frame, "val_loss"),
            )


def watches(study: Study) -> list[Watch]:
    """Return what the sentinel saw of every pretraining that it watched."""
    found = (_watch(t) for t in trainings(study) if t.stage == "pretrain")
    return [watch for watch in found if watch is not None]


def resolved(study: Study) -> list[Resolved]:
    """Return the settings that pretrainings resolved from their data."""
    found = []
    for training in trainings(study):
        try:
            raw = read_json(training.folder / "settings.json", "the settings of a step")
            for name, entry in (raw.get("resolved") or {}).items():
                key = f"{training.method}.{name}"
                found.append(Resolved(training, key, float(entry["value"]), str(entry["reason"])))
        except (BrainsslError, KeyError, TypeError, ValueError, AttributeError):
            continue
    return found


def _starts_by_mark(study: Study) -> dict[str, str]:
    """Return the short name of each start by what it adds to names; "" where there is one."""
    own = starts_of({"settings": study.facts.get("settings")})[0]
    marks = {"" if name == own else mark_of(name): name for name in study.starts}
    return marks if study.tells_starts else dict.fromkeys(marks, "")


def _parse(folder: Path, starts: Mapping[str, str]) -> Training | None:
    """Read the name of a step; None of what is none, or begins with weights of no start."""
    parts = _STEP_NAME.fullmatch(folder.name)
    if parts is None or (parts["mark"] or "") not in starts:
        return None
    return Training(
        folder=folder,
        stage=parts["stage"],
        method=parts["method"] or parts["stage"],
        protocol=parts["protocol"],
        label_fraction=label_fraction(parts["fraction"]) if parts["fraction"] else None,
        seed=int(parts["seed"]),
        fold=int(parts["fold"]) if parts["fold"] else None,
        trial=int(parts["trial"] or 1),
        start=starts[parts["mark"] or ""],
    )


def _belongs(training: Training, study: Study, steps: set[str]) -> bool:
    if training.stage != "pretrain":
        return f"steps/{training.folder.name}" in steps
    facts = study.facts
    first, number = int(facts.get("seed") or 0), facts.get("seeds")
    return (
        training.method in (facts.get("methods") or ())
        and training.protocol in study.protocols
        and (training.fold or 0) <= study.folds
        and (training.fold is None) == (not study.folds)
        and (number is None or first <= training.seed < first + int(number))
    )


def _watch(training: Training) -> Watch | None:
    """Read `collapse.json`; None where it is missing, as in older studies, or of no use."""
    try:
        raw = read_json(training.folder / "collapse.json", "what the sentinel saw")
        rows = [{name: finite(value) for name, value in row.items()} for row in raw["epochs"]]
        epochs = tuple(row for row in rows if row["epoch"] is not None)
        said = raw["verdict"]
        # It begins with the method's name, as a terminal needs it.
        verdict = None if said is None else str(said).removeprefix(f"{training.method}: ")
        k = None if raw["k"] is None else int(raw["k"])
    except (BrainsslError, KeyError, TypeError, ValueError, AttributeError):
        return None
    return Watch(training, verdict, k, epochs) if epochs else None


def _losses(frame: pd.DataFrame, column: str) -> list[float | None]:
    if column not in frame:
        return [None] * len(frame)
    return [finite(value) for value in pd.to_numeric(frame[column], errors="coerce")]
