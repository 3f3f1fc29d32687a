"""What was run, on what, and how it was split."""

from collections.abc import Mapping
from typing import Any

from brainssl.reporting.blocks import (
    Block,
    Facts,
    Fold,
    Prose,
)
from brainssl.reporting.findings.data_evidence import use_of_unlabelled
from brainssl.reporting.study import Study
from brainssl.reporting.titles import method_title
from brainssl.reporting.wording import (
    PROTOCOLS,
    count,
    counted,
    duration,
    fraction_title,
    join,
    moment,
)


def content(study: Study) -> tuple[Block, ...]:
    """Say what was run, on what, and how it was split."""
    facts = study.facts
    blocks: list[Block] = [Facts(_run_facts(study), frozenset({"Command", "Classifier"}))]
    for protocol in study.protocols:
        pairs = _split_facts(study, protocol)
        if pairs:
            blocks.append(Prose((f"Protocol “{protocol}”. {PROTOCOLS.get(protocol, '')}".strip(),)))
            code = (head for head, _ in pairs if head.startswith(("Digest", "File", "Fold")))
            blocks.append(Facts(pairs, frozenset(code)))
    environment = facts.get("environment") or {}
    if environment:
        pairs = tuple((str(key), str(value)) for key, value in environment.items())
        blocks.append(Fold("Environment", (Facts(pairs),)))
    return tuple(blocks)


def _run_facts(study: Study) -> tuple[tuple[str, str], ...]:
    facts, audit = study.facts, study.audit
    methods = [method_title(str(m)) for m in facts.get("methods") or ()]
    fractions = [fraction_title(f) for f in facts.get("label_fractions") or ()]
    pairs = {
        "Command": str(facts.get("command") or ""),
        "Source": str(facts.get("source") or ""),
        "Images": _images(audit),
        "Classes": count(len(study.classes)) if study.classes else "",
        "Preset": str(facts.get("preset") or ""),
        "Budget": _budget(facts.get("budget") or {}),
        "Methods": join(methods) if methods else "",
        "Starts": _starts(study),
        "Label fractions": join(fractions) if fractions else "",
        "Seeds": _seeds(facts),
        "Folds": _folds(study),
        "brainssl": str(facts.get("brainssl") or ""),
        "Finished": moment(str(facts.get("created") or "")),
        "Classifier": _classifier(facts),
        "Training and evaluation": duration(facts["seconds"]) if facts.get("seconds") else "",
    }
    return tuple((key, value) for key, value in pairs.items() if value)


def _starts(study: Study) -> str:
    """Return what encoders began with, where that is not what the settings say."""
    told = [str(one["weights"]) for one in study.facts.get("starts") or ()]
    encoder = (study.facts.get("settings") or {}).get("encoder") or {}
    return "" if told == [encoder.get("weights")] else join(told)


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


def _folds(study: Study) -> str:
    """Return "5, pooled", or which column is left out; nothing where there is one split."""
    if not study.folds:
        return ""
    facts = study.facts["folds"]
    if not facts.get("column"):
        return f"{study.folds}, pooled"
    return f"{study.folds}, pooled: each of {facts['column']} in turn ({join(facts['values'])})"


def _split_facts(study: Study, protocol: str) -> tuple[tuple[str, str], ...]:
    split = study.split(protocol)
    images, groups = split.get("images") or {}, split.get("groups") or {}
    heads = [("train", "Training"), ("val", "Validation"), ("test", "Test")]
    texts = [("seed", "Split seed"), ("file", "File"), ("digest", "Digest")]
    if study.folds:
        heads = [(n, f"{h}, {'all folds' if n == 'test' else 'first fold'}") for n, h in heads]
        texts = [("seed", "Seed of the folds"), ("digest", "Digest of all folds")]
    pairs = [
        (
            head,
            counted(images[name], "image")
            + (f" of {counted(groups[name], 'group')}" if name in groups else ""),
        )
        for name, head in heads
        if name in images
    ]
    optional = (
        ("unlabelled", f"For {use_of_unlabelled(study)} only"),
        ("left_out", "Left out"),
    )
    pairs += [(head, counted(split[name], "image")) for name, head in optional if split.get(name)]
    pairs += [(head, str(split[name])) for name, head in texts if split.get(name) is not None]
    pairs += [
        (f"Fold {number}", f"{fold['file']}, digest {fold['digest'][:12]}")
        for number, fold in enumerate(split.get("folds") or (), start=1)
    ]
    return tuple(pairs)
