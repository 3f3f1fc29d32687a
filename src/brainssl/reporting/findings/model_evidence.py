"""What a run says of its models: a sentence for each question that it can answer."""

from collections.abc import Callable, Mapping
from typing import Any

from brainssl.reporting.findings.data_evidence import PARTS
from brainssl.reporting.findings.outcomes import chosen_step
from brainssl.reporting.findings.subgroups import sentences
from brainssl.reporting.findings.tuning import trials_of
from brainssl.reporting.rows import Row
from brainssl.reporting.study import Study
from brainssl.reporting.titles import BASELINE, method_title
from brainssl.reporting.wording import (
    HEADLINE,
    MAIN_METRICS,
    METRICS,
    count,
    counted,
    decimal,
    join,
    percent,
)
from brainssl.settings import SEMI_SUPERVISED

_WORST = 3  # classes that are named


def chosen_row(study: Study) -> Row | None:
    """Return the test row of the model that the study chose on validation; None without one."""
    step = chosen_step(study)
    return next((row for row in study.rows if (row.step, row.split) == (step, "test")), None)


def analysed(study: Study) -> Mapping[str, Any]:
    """Return what the analysis found of the chosen model; empty if it was not analysed."""
    found = (study.analysis.get("models") or {}).get(chosen_step(study)) or {}
    return found if isinstance(found, Mapping) else {}


def stage_settings(study: Study, method: str, stage: str) -> dict[str, Any]:
    """Return the settings of a stage such as `pretrain` as they hold for one method."""
    settings = study.facts.get("settings") or {}
    own = (settings.get(method) or {}).get(stage) or {}
    return {**(settings.get(stage) or {}), **own}


def _model(study: Study) -> str:
    encoder = (study.facts.get("settings") or {}).get("encoder") or {}
    if not encoder.get("name"):
        return ""
    told = f"Encoder {encoder['name']} (as timm defines it), one linear layer from features to "
    told += "classes"
    return told + (f", weights at the start {_starts(study)}." if "weights" in encoder else ".")


def _starts(study: Study) -> str:
    """Return what encoders began with, and where that was not the same, the chosen model's."""
    row = chosen_row(study)
    chosen = f" ({row.start} of the model chosen)" if row is not None and row.start else ""
    return f"{join(study.starts)}{chosen}"


def _training(study: Study) -> str:
    told = []
    for method in map(str, study.facts.get("methods") or ()):
        stages = [("pretraining", "pretrain"), ("fine-tuning", "finetune")]
        if method in SEMI_SUPERVISED:
            stages = [("training", "finetune")]
        recipes = [(name, recipe(stage_settings(study, method, stage))) for name, stage in stages]
        parts = [f"{name} {text}" for name, text in recipes if text]
        told += [f"{method_title(method)}: {'; '.join(parts)}."] if parts else []
    if text := recipe(stage_settings(study, BASELINE, "finetune")):
        told.append(f"{method_title(BASELINE)}: {text}.")
    if told and (tried := trials_of(study)) > 1:
        told.append(f"Of each, {tried} settings were tried: see “What the search chose”.")
    return " ".join(told)


def recipe(values: Mapping[str, Any]) -> str:
    """Return "20 epochs, batches of 64, learning rate 0.001" of a stage's settings."""
    if not {"epochs", "batch_size", "learning_rate"} <= set(values):
        return ""
    return (
        f"{values['epochs']} epochs, batches of {values['batch_size']}, learning rate "
        f"{values['learning_rate']:g}"
    )


def _choice(study: Study) -> str:
    best = study.facts.get("best") or {}
    if not best.get("step") or not best.get("chosen_by"):
        return ""
    return f"Of all models, {best['step']} was chosen by {best['chosen_by']}."


def _software(study: Study) -> str:
    environment = study.facts.get("environment") or {}
    pairs = {"brainssl": study.facts.get("brainssl"), "Python": environment.get("python")}
    pairs |= {"PyTorch": environment.get("torch"), "on": environment.get("device")}
    told = [f"{name} {value}" for name, value in pairs.items() if value]
    if not study.facts.get("brainssl") or not study.facts.get("command"):
        return ""
    return f"{', '.join(told)}. Command: {study.facts['command']}"


def _measures(study: Study) -> str:
    row = chosen_row(study)
    if row is None or not any(row.intervals.values()):
        return ""
    known = [metric for metric in METRICS if metric.name in row.metrics]
    drawn, bare = ([m.title for m in known if m.has_interval == has] for has in (True, False))
    draws = ((study.facts.get("settings") or {}).get("evaluation") or {}).get("draws")
    how = f" from {count(draws)} draws of whole groups" if draws else ""
    told = f"{join(drawn)}, with 95 % intervals of a cluster bootstrap{how}"
    return f"{told}; {join(bare)} without one." if bare else f"{told}."


def _comparisons(study: Study) -> str:
    pairs = len(study.analysis.get("comparisons") or ())
    if not pairs:
        return ""
    return (
        f"{counted(pairs, 'difference')} between two models on the same test images, with "
        "intervals of a paired cluster bootstrap, p-values corrected by Holm’s method within a "
        "protocol and label fraction."
    )


def _performance(study: Study) -> str:
    row = chosen_row(study)
    if row is None:
        return ""
    told = [
        f"{metric.title} {metric.number(row.metrics[metric.name])}{' %' * metric.percent}"
        + (f" (95 % interval {metric.range(limits)})" if limits else "")
        for metric in MAIN_METRICS
        if row.metrics.get(metric.name) is not None
        for limits in [row.intervals.get(metric.name)]
    ]
    return f"{', '.join(told)}, on {where(row)}." if told else ""


def where(row: Row) -> str:
    """Say what a row was measured on: number of images, split, protocol, seed."""
    name = f"{count(row.n)} images of the {PARTS.get(row.split, row.split)} split"
    return f"{name}, protocol “{row.protocol}”, seed {row.seed}"


def _weakest(study: Study) -> str:
    row = chosen_row(study)
    recalls = {} if row is None else {c: s.get("recall") for c, s in row.per_class.items()}
    known = sorted((r, c) for c, r in recalls.items() if r is not None)
    if row is None or not known:
        return ""
    told = [
        f"{name} {percent(recall)} % of {counted(int(row.per_class[name]['support']), 'image')}"
        for recall, name in known[:_WORST]
    ]
    return f"Lowest recall: {', '.join(told)}. Confusion matrices are under “Model by model”."


def _factors(study: Study) -> str:
    found = analysed(study).get("factors") or {}
    told = [
        f"{percent(row['metrics'][HEADLINE.name])} % if the {name} alone counts"
        for name, row in found.items()
    ]
    return f"{HEADLINE.title} on the same test images: {', '.join(told)}." if told else ""


def _subgroups(study: Study) -> str:
    return " ".join(sentences(analysed(study).get("subgroups") or {}))


def _calibration(study: Study) -> str:
    found = analysed(study).get("calibration")
    if not found:
        return ""
    before, after = found["before"], found["after"]
    changes = [
        f"{title} {decimal(before[name])} as trained, {decimal(after[name])} with it"
        for name, title in (("ece", "ECE"), ("nll", "NLL"))
    ]
    return (
        f"Temperature {decimal(found['temperature'])}, fitted on "
        f"{counted(found['fitted_on'], 'validation image')}: {'; '.join(changes)}."
    )


def _novelty(study: Study) -> str:
    found = analysed(study).get("novelty")
    if not found:
        return ""
    return (
        f"By its highest probability, {counted(found['novel'], 'image')} without a label are told "
        f"from {counted(found['known'], 'test image')} with an AUROC of "
        f"{decimal(found['msp']['auroc'])} (blindness is 0.5)."
    )


def _explanations(study: Study) -> str:
    found = study.analysis.get("explanations") or {}
    models = found.get("models") or ()
    if not models:
        return ""
    measures = {score["measure"] for model in models for score in model["scores"]}
    against = "lesions, " if "pointing" in measures else ""
    return (
        f"Saliency maps of {counted(len(models), 'classifier')} on "
        f"{counted(int(models[0]['images']), 'test slice')}, measured against {against}pixels "
        "taken away and random weights, beside maps that know nothing: see “Where the models look”."
    )


MODEL_EVIDENCE: dict[str, Callable[[Study], str]] = {
    "model": _model,
    "training": _training,
    "choice": _choice,
    "software": _software,
    "measures": _measures,
    "performance": _performance,
    "comparisons": _comparisons,
    "calibration": _calibration,
    "weakest": _weakest,
    "factors": _factors,
    "subgroups": _subgroups,
    "novelty": _novelty,
    "explanations": _explanations,
}
"""By the name that `checklist.toml` uses: a sentence, or nothing where the run lacks the fact."""
