"""The section that shows the losses of every training."""

from collections.abc import Sequence

from brainssl.reporting.blocks import Block, Multiples, Prose, across
from brainssl.reporting.figures.figure import (
    Figure,
    Key,
    epoch_axis,
    epoch_traces,
    learner_keys,
    panel,
)
from brainssl.reporting.study import Study
from brainssl.reporting.titles import Learner, method_title
from brainssl.reporting.trainings import History, histories, watches
from brainssl.reporting.wording import join, labels_title
from brainssl.settings import SEMI_SUPERVISED
from brainssl.settings.starts import mark_of

# Trainings that can be compared stand in one figure: those that minimise the same loss.
_KINDS = {
    "Linear probes": ("linear",),
    "Fine-tuning and supervised training": ("finetune", "supervised"),
}


def content(study: Study) -> tuple[Block, ...]:
    """Plot training and validation loss of every stage, a line a seed, and say what has none."""
    found = list(histories(study))
    blocks: list[Block] = [Prose(text)] if (text := _without_curve(study, found)) else []
    for protocol in study.protocols:
        own = [history for history in found if history.training.protocol == protocol]
        where = f", protocol “{protocol}”" if len(study.protocols) > 1 else ""
        pretrained = [history for history in own if history.training.stage == "pretrain"]
        if pretrained:
            blocks.append(_pretraining(study, pretrained, protocol, where))
        for title, stages in _KINDS.items():
            trained = [history for history in own if history.training.stage in stages]
            if trained:
                blocks.append(_training(study, trained, f"{stages[0]}-{protocol}", title + where))
    return tuple(blocks)


def _without_curve(study: Study, found: Sequence[History]) -> tuple[str, ...]:
    """Say why a stage has no curve, or no validation curve, that a reader may look for."""
    told = []
    stages = {history.training.stage for history in found}
    if "pretrain" in stages:
        told.append(
            "Pretraining has a training loss only: what its loss is on other images says little "
            "about the features. What is measured on validation after each epoch is the kNN "
            "accuracy of the sentinel"
            + (", under “Did pretraining work?”." if watches(study) else ".")
        )
    probe = (study.facts.get("settings") or {}).get("probe") or {}
    solved = probe.get("solver", "lbfgs") == "lbfgs"
    if solved and any(row.stage == "linear" for row in study.rows):
        told.append(
            "Linear probes that are solved to their optimum (probe.solver lbfgs) have no epochs, "
            "and hence no curve."
        )
    return tuple(told)


def _pretraining(study: Study, found: Sequence[History], protocol: str, where: str) -> Multiples:
    keys = learner_keys(study)
    panels = []
    for learner in dict.fromkeys(history.training.learner for history in found):
        own = [history for history in found if history.training.learner == learner]
        said = f"Pretraining loss of {keys[learner].label} by epoch, a line for each seed"
        method, start = learner
        place = f"loss-pretrain-{protocol}-{method}{mark_of(start)}"
        panels.append(_panel(place, keys[learner], said, own, keys))
    caption = (
        "Loss on the training split by epoch, a line for each seed. Each method has a loss of its "
        "own: the scales are not comparable."
    )
    name, title = f"loss-pretrain-{protocol}", f"Pretraining{where}"
    return Multiples(name, title, caption, (), tuple(panels), across(len(panels)))


def _training(study: Study, found: Sequence[History], name: str, title: str) -> Multiples:
    keys, panels = learner_keys(study), []
    for fraction in sorted({history.training.label_fraction or 0.0 for history in found}):
        own = [h for h in found if (h.training.label_fraction or 0.0) == fraction]
        for part, validated in (("training", False), ("validation", True)):
            if validated and all(loss is None for h in own for loss in h.val_loss):
                continue
            heading = Key(f"{labels_title(fraction)}, {part}", "")
            said = f"{title}, {heading.label}: loss by epoch, a line for each seed"
            place = f"loss-{name}-f{fraction:g}-{part}"
            panels.append(_panel(place, heading, said, own, keys, validated=validated))
    learners = {history.training.learner for history in found}
    legend = tuple(key for learner, key in keys.items() if learner in learners)
    caption = "Cross-entropy by epoch, a line for each seed."
    semi = [method_title(method) for method in SEMI_SUPERVISED if method in dict(learners)]
    if semi:
        caption += f" In training, that of {join(semi)} holds the loss of pseudo-labels, too."
    return Multiples(f"loss-{name}", title, caption, legend, tuple(panels), across(len(panels)))


def _panel(
    name: str,
    heading: Key,
    said: str,
    found: Sequence[History],
    keys: dict[Learner, Key],
    *,
    validated: bool = False,
) -> Figure:
    traces = [
        trace
        for history in found
        for trace in epoch_traces(
            keys[history.training.learner],
            history.training.title,
            history.epochs,
            history.val_loss if validated else history.train_loss,
        )
    ]
    last = max(history.epochs[-1] for history in found)
    return panel(name, heading, said, traces, {"xaxis": epoch_axis(last)})
