"""The sections of a report, in their order: each takes a study and returns what to show."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from brainssl.reporting import tables
from brainssl.reporting.balance import balance_table
from brainssl.reporting.blocks import (
    Block,
    Cautions,
    Facts,
    Fold,
    Prose,
    Section,
    Strips,
)
from brainssl.reporting.cautions import cautions
from brainssl.reporting.certainty import certainty_section
from brainssl.reporting.checklist import checklist_section
from brainssl.reporting.comparisons import comparison_section
from brainssl.reporting.efficiency import efficiency_section
from brainssl.reporting.explanations import explanation_section
from brainssl.reporting.factors import factor_section
from brainssl.reporting.health import health_section
from brainssl.reporting.losses import loss_section
from brainssl.reporting.models import model_section
from brainssl.reporting.outcomes import answer, outcomes
from brainssl.reporting.pictures import read_images, sample_strips
from brainssl.reporting.projection import projection_section
from brainssl.reporting.protocols import protocol_finding, protocol_section
from brainssl.reporting.published import published_section
from brainssl.reporting.recipes import recipe_strips
from brainssl.reporting.results import Study, arm_title, method_title
from brainssl.reporting.settings import settings_section
from brainssl.reporting.times import time_section
from brainssl.reporting.wording import (
    HEADLINE,
    METRIC,
    METRICS,
    PROTOCOLS,
    count,
    counted,
    duration,
    fraction_title,
    join,
    moment,
)

_MOST_LINES = 60  # of a table that nobody asked for


def sections(study: Study, built: Sequence[Section] | None = None) -> list[Section]:
    """Return every section that has something to show; `built` are the untimed ones, if known."""
    known = untimed_sections(study) if built is None else list(built)
    return [section for section in [*known, time_section(study)] if section.blocks]


def untimed_sections(study: Study) -> list[Section]:
    """Return the sections that can be told before it is known how long the report took."""
    built = [make(study) for make in _SECTIONS]
    return [section for section in built if section.blocks]


def answer_section(study: Study) -> Section:
    """Say what came out, in words, with its uncertainty."""
    found = outcomes(study)
    blocks: list[Block] = [Prose((answer(study),), lead=True)]
    if finding := protocol_finding(study):
        blocks.append(Prose((finding,)))
    if found:
        pairs = tuple((f"{fraction_title(o.label_fraction)} of labels", o.text) for o in found)
        blocks += [Facts(pairs), Prose((_what_intervals_say(study),))]
    return Section("answer", "Answer", tuple(blocks))


def caution_section(study: Study) -> Section:
    """List what to be careful about."""
    items = tuple(cautions(study))
    return Section("cautions", "What to be careful about", (Cautions(items),) if items else ())


def run_section(study: Study) -> Section:
    """Say what was run, on what, and how it was split."""
    facts = study.facts
    blocks: list[Block] = [Facts(_run_facts(study), frozenset({"Command", "Classifier"}))]
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
        if len({arm.label_fraction for arm in study.arms(protocol)}) > 1:
            shown = (HEADLINE, METRIC["f1_macro"])
            blocks += [tables.overview_table(study, protocol, metric) for metric in shown]
        main = tables.main_table(study, protocol)
        title = f"Every model with its interval, protocol “{protocol}”"
        blocks.append(main if len(main.lines) <= _MOST_LINES else Fold(title, (main,)))
        blocks += [
            Fold(
                f"All metrics, {tables.split_title(split).lower()}, protocol “{protocol}”",
                tables.full_tables(study, protocol, split),
            )
            for split in ("test", "val", "train")
            if study.arms(protocol, split)
        ]
    if combined := _ensembles(study):
        blocks.append(Prose((combined,)))
    if blocks:
        meanings = tuple((metric.title, metric.meaning) for metric in METRICS)
        blocks.append(Fold("What the metrics mean", (Facts(meanings),)))
    return Section("results", "Results on the test split", tuple(blocks))


def data_section(study: Study) -> Section:
    """Show class counts and a few slices of each class."""
    balanced = balance_table(study)
    blocks: list[Block] = [balanced] if balanced else []
    blocks += [
        tables.counts_table(study, protocol)
        for protocol in study.protocols
        if study.split(protocol).get("counts")
    ]
    if found := _store_images(study):
        images, manifest = found
        classes = study.classes or sorted(manifest["label"].dropna().unique())
        strips = tuple(sample_strips(images, manifest, classes))
        if strips:
            caption = "Slices of each class as the store holds them, from different groups."
            blocks.append(Strips(caption, strips))
    return Section("data", "The data", tuple(blocks))


def view_section(study: Study) -> Section:
    """Show what pretraining and fine-tuning see of a few slices."""
    found, values = _store_images(study), (study.facts.get("settings") or {}).get("views")
    if not found or not values:
        return Section("views", "Views")
    from brainssl.views.recipes import TABLE2, ViewRecipe

    images, manifest = found
    labels = manifest["label"].dropna().drop_duplicates()
    rows = labels.index[np.linspace(0, len(labels) - 1, min(4, len(labels))).round().astype(int)]
    recipes = {
        f"Pretraining{methods}: each strip begins with the slice as stored.": ViewRecipe.of(own)
        for methods, own in _view_settings(study, values)
    } | {
        "Fine-tuning and supervised training: the augmentation of the study’s Table 2, applied to "
        "training slices alone.": TABLE2,
    }
    blocks = tuple(
        Strips(caption, tuple(recipe_strips(images[rows], list(labels[rows]), recipe)))
        for caption, recipe in recipes.items()
    )
    return Section("views", "Views", blocks)


_SECTIONS: tuple[Callable[[Study], Section], ...] = (
    answer_section,
    caution_section,
    run_section,
    protocol_section,
    health_section,
    efficiency_section,
    result_section,
    comparison_section,
    factor_section,
    certainty_section,
    model_section,
    projection_section,
    explanation_section,
    loss_section,
    data_section,
    view_section,
    settings_section,
    checklist_section,
    published_section,
)


def _ensembles(study: Study) -> str:
    """Say what the ensembles are made of."""
    sentences = []
    for row in study.analysis.get("ensembles") or ():
        titles = join([arm_title(m["method"], m["stage"]) for m in row["members"]])
        sentences.append(
            f"“Ensemble” under “{row['protocol']}” is the mean of the probabilities of the models "
            f"that are best on validation: {titles}."
        )
    return " ".join(dict.fromkeys(sentences))


def _what_intervals_say(study: Study) -> str:
    drawn = (
        "patients happen to be in the test split."
        if study.patients
        else "groups happen to be in the test split. Patients are not known: groups are clusters "
        "of near-duplicates, which do not catch all slices of a patient, so the intervals are too "
        "narrow and some leakage may remain."
    )
    return (
        f"The intervals say how far one model’s score depends on which {drawn} Whether two of "
        "them overlap is no test: “Which models differ” compares models on the same images."
    )


def _view_settings(study: Study, shared: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the settings of views, and of which methods they are where these differ."""
    titles: dict[str, list[str]] = {}
    views: dict[str, Mapping[str, Any]] = {}
    for method in map(str, study.facts.get("methods") or ()):
        own = {**shared, **((study.facts["settings"].get(method) or {}).get("views") or {})}
        views[repr(own)] = own
        titles.setdefault(repr(own), []).append(method_title(method))
    several = len(views) > 1
    return [(f" with {join(titles[key])}" * several, own) for key, own in views.items()] or [
        ("", shared)
    ]


def _store_images(study: Study) -> tuple[UInt8[np.ndarray, "n h w"], pd.DataFrame] | None:
    """Return images and manifest of the study's store, or of its balanced one."""
    stores = (read_images(store) for store in sorted(study.folder.glob("store*")))
    return next((found for found in stores if found), None)


def _run_facts(study: Study) -> tuple[tuple[str, str], ...]:
    facts, audit = study.facts, study.audit
    methods = [method_title(str(m)) for m in facts.get("methods") or ()]
    fractions = [fraction_title(float(f)) for f in facts.get("label_fractions") or ()]
    pairs = {
        "Command": str(facts.get("command") or ""),
        "Source": str(facts.get("source") or ""),
        "Images": _images(audit),
        "Classes": count(len(study.classes)) if study.classes else "",
        "Preset": str(facts.get("preset") or ""),
        "Budget": _budget(facts.get("budget") or {}),
        "Methods": join(methods) if methods else "",
        "Label fractions": join(fractions) if fractions else "",
        "Seeds": _seeds(facts),
        "brainssl": str(facts.get("brainssl") or ""),
        "Finished": moment(str(facts.get("created") or "")),
        "Classifier": _classifier(facts),
        "Training and evaluation": duration(facts["seconds"]) if facts.get("seconds") else "",
    }
    return tuple((key, value) for key, value in pairs.items() if value)


def _budget(chosen: Mapping[str, Any]) -> str:
    """Return "10m: rung 3 of 11", or nothing without a budget."""
    return "{budget}: rung {rung} of {rungs}".format(**chosen) if chosen else ""


def _classifier(facts: Mapping[str, Any]) -> str:
    best = facts.get("best") or {}
    reason = f", chosen by {best['chosen_by']}" if best.get("chosen_by") else ""
    return f"{best['classifier']}{reason}" if best.get("classifier") else ""


def _images(audit: Mapping[str, Any]) -> str:
    """Return "90 images in 30 groups, 2 files unreadable", or nothing without an audit."""
    if not audit.get("images"):
        return ""
    text = counted(audit["images"], "image")
    if groups := audit.get("groups"):
        text += f" in {counted(groups['count'], 'group')}"
    if unreadable := audit.get("unreadable"):
        text += f", {counted(len(unreadable), 'file')} unreadable"
    return text


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
