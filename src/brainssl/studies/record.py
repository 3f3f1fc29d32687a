"""The record of a study: what `results.json` says beside the rows."""

import hashlib
import os
import platform
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import torch

from brainssl import __version__
from brainssl.data.dataset import Data
from brainssl.data.folds import Fold, split_name, values_of
from brainssl.data.leakage import near_duplicates_left
from brainssl.data.shots import label_fraction
from brainssl.data.split import PARTS, Protocol
from brainssl.data.store import ImageStore
from brainssl.hardware.device import device_of, precision_of
from brainssl.models.architectures import laid_out
from brainssl.settings import SEMI_SUPERVISED, Settings
from brainssl.settings.starts import NamedStart
from brainssl.studies.grid import RANDOM_LABELS, SUPERVISED
from brainssl.studies.journal import read_around, read_log
from brainssl.studies.plan import Plan
from brainssl.studies.pooling import POOLED
from brainssl.studies.starts import digests_of
from brainssl.training.classical import FAMILIES

_CELL = ("method", "start", "stage", "label_fraction", "seed")
_DEVICES = {"cpu": "CPU", "mps": "Apple GPU"}
_TRAINING = {
    "pretrain-": "pretraining",
    "linear-": "linear probes",
    "finetune-": "fine-tuning",
    **{f"supervised-{method}-": "semi-supervised training" for method in SEMI_SUPERVISED},
    "supervised-": "supervised training",
    "classical-": "classical baselines",
    "tuned": "choice among trials",
}


def describe(
    plan: Plan,
    shared: dict[tuple[Protocol, Fold | None], Data],
    audit: dict[str, Any] | None,
    rows: list[dict[str, Any]],
    log: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """Say what was run, on what, where, and with which settings for which reasons.

    Args:
        plan: of the study.
        shared: store and split of each protocol and fold.
        audit: of the source, if it was a folder of images.
        rows: of results.
        log: notes on each finished step, see `brainssl.studies.journal.read_log`.
    """
    said = [_warned([d for (p, _), d in shared.items() if p == name]) for name in plan.protocols]
    warnings = list(dict.fromkeys(warning for own in said for warning in own))
    places = [note["where"] for note in log.values()]
    if any(place != places[0] for place in places):
        warnings.append("Steps ran on different machines or versions: see log/.")
    warnings += _precisions(places)
    store = next(iter(shared.values())).store
    return {
        "brainssl": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": plan.command,
        "source": plan.source.name,
        "simulated": store.facts.get("simulated", False),
        **store.told_pixels,
        "preset": plan.preset,
        "chosen_on": plan.chosen_on,
        "seed": plan.seed,
        "seeds": plan.seeds,
        "methods": list(plan.methods),
        "starts": _starts(plan),
        "protocols": list(plan.protocols),
        "folds": _folds(plan, store),
        "label_fractions": list(plan.label_fractions),
        "classes": list(store.classes),
        "families": store.families,
        "settings": plan.settings.written((*plan.methods, SUPERVISED)),
        "budget": plan.budget,
        "reasons": plan.reasons | _passes(rows),
        "splits": {
            protocol: _splits(
                [data for (name, _), data in shared.items() if name == protocol], plan
            )
            for protocol in plan.protocols
        },
        "audit": audit,
        "best": _best(rows, plan.protocols[0]),
        "environment": places[-1] if places else environment(plan.settings),
        "warnings": warnings,
        "seconds": round(sum(note["seconds"] for note in log.values()), 1),
    }


def environment(settings: Settings) -> dict[str, Any]:
    """Say where this process computes."""
    device = device_of(settings.run).type
    name = torch.cuda.get_device_name(0) if device == "cuda" else _DEVICES[device]
    precision = precision_of(settings.run, laid_out(settings.encoder.name))
    return {
        "brainssl": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "device": name,
        "cpus": os.cpu_count(),
        "precision": precision.name,
        "precision_reason": precision.reason,
    }


def where_time_went(out: Path) -> list[dict[str, Any]]:
    """Return how many seconds a study's work took, by what it was.

    Args:
        out: folder of the study.

    Returns:
        Of each kind of work: `what`, `seconds` (of several processes the sum), `steps`, and whether
        it is `training`, the measuring of what was trained included.
    """
    log = read_log(out)
    steps: dict[str, list[str]] = {}
    for name in log:
        kind = next((what for stage, what in _TRAINING.items() if name.startswith(stage)), None)
        if kind:
            steps.setdefault(kind, []).append(name)
    training = [
        {
            "what": what,
            "seconds": round(sum(float(log[name]["seconds"]) for name in steps[what]), 1),
            "steps": len(steps[what]),
            "training": True,
        }
        for what in dict.fromkeys(_TRAINING.values())
        if what in steps
    ]
    around = [
        {"what": what, "seconds": round(seconds, 1), "steps": 0, "training": False}
        for what, seconds in read_around(out).items()
    ]
    return training + around


def _starts(plan: Plan) -> list[dict[str, str | None]]:
    """Say which weights encoders began with; of files also what their content was."""
    digests = digests_of(plan)
    return [
        {"name": one.name, "weights": one.weights, "digest": digests.get(one.name)}
        for one in map(NamedStart, plan.starts)
    ]


def _folds(plan: Plan, store: ImageStore) -> dict[str, Any] | None:
    """Say which folds there are, and what each tests where a column is left out."""
    if plan.folds is None:
        return None
    told: dict[str, Any] = {"number": plan.folds, "column": plan.leave_out, "values": None}
    if plan.leave_out is not None:
        told["values"] = values_of(store.manifest, plan.leave_out)
    return told


def _splits(own: list[Data], plan: Plan) -> dict[str, Any]:
    """Say what a protocol's split holds; of folds what they test together, and under `folds` each.

    What is said of training and validation is then true of the first fold.
    """
    facts = [_split_facts(data, fold) for data, fold in zip(own, plan.divisions, strict=True)]
    if plan.folds is None:
        return facts[0]
    manifest = own[0].store.manifest
    tested = np.concatenate([data.split.indices(manifest, "test") for data in own])
    whole = _part_facts(manifest.iloc[tested])
    digests = "".join(one["digest"] for one in facts)
    joint = {
        name: facts[0][name] | {"test": whole[name]} for name in ("images", "groups", "counts")
    }
    remaining = [one["near_duplicates"] for one in facts]
    return {
        **facts[0],
        **joint,
        "digest": hashlib.sha256(digests.encode()).hexdigest(),
        "near_duplicates": None if None in remaining else sum(map(int, remaining)),
        "warnings": _warned(own),
        "folds": [
            {name: one[name] for name in ("file", "digest", "images", "groups")} for one in facts
        ],
    }


def _warned(own: list[Data]) -> list[str]:
    """Return what the splits of a protocol warn of, with the folds where not all of them do."""
    folds: dict[str, list[str]] = {}
    for number, data in enumerate(own, start=1):
        for warning in data.split.warnings:
            folds.setdefault(warning, []).append(str(number))
    return [
        warning if len(of) == len(own) else f"fold{'s' * (len(of) > 1)} {', '.join(of)}: {warning}"
        for warning, of in folds.items()
    ]


def _part_facts(own: pd.DataFrame) -> dict[str, Any]:
    counts = own["label"].value_counts().sort_index()
    return {
        "images": len(own),
        "groups": int(own["group"].nunique()),
        "counts": {str(label): int(n) for label, n in counts.items()},
    }


def _split_facts(data: Data, fold: Fold | None) -> dict[str, Any]:
    manifest, split, near = data.store.manifest, data.split, data.store.near
    parts = {part: _part_facts(manifest.iloc[split.indices(manifest, part)]) for part in PARTS}
    return {
        "file": f"splits/{split_name(split.protocol, fold)}.json",
        "digest": split.digest,
        "seed": split.seed,
        "images": {part: own["images"] for part, own in parts.items()},
        "groups": {part: own["groups"] for part, own in parts.items()},
        "unlabelled": len(split.unlabelled),
        "left_out": len(split.left_out),
        "near_duplicates": None if near is None else near_duplicates_left(manifest, near, split),
        "counts": {part: own["counts"] for part, own in parts.items()},
        "warnings": list(split.warnings),
    }


def _precisions(places: list[dict[str, Any]]) -> list[str]:
    """Say that steps were computed in different precisions, where they were."""
    counts = Counter(str(place.get("precision")) for place in places)
    if len(counts) < 2:
        return []
    told = ", ".join(f"{count} in {name}" for name, count in counts.most_common())
    return [
        f"Steps were computed in different precisions, as machines have units for: {told}. Which "
        "step in which: see log/."
    ]


def _passes(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Say how finetune.min_epoch_steps worked out at each label fraction."""
    found = {}
    for row in rows:
        if "passes" in row:
            at = f"{label_fraction(row['label_fraction']):g}"
            told = f"passes through the labels an epoch, at {at} of them"
            found[told] = f"{row['passes']}, by finetune.min_epoch_steps"
    return found


def _best(rows: list[dict[str, Any]], protocol: Protocol) -> dict[str, Any]:
    """Name the network with the best validation macro F1: the test set must not choose.

    Of folds, the model with the best mean over them, and of that the best fold.
    """
    no_classifier = (RANDOM_LABELS, *FAMILIES)  # a classical baseline has no file to hand over
    candidates = [
        row
        for row in rows
        if (row["split"], row["protocol"]) == ("val", protocol)
        and row["method"] not in no_classifier
        and row.get("fold") != POOLED
    ]
    if not candidates:
        return {}
    cells: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in candidates:
        cell = tuple(row.get(name) for name in _CELL)
        cells.setdefault(cell, []).append(row)
    # What lacks a fold was judged on others.
    whole = max(map(len, cells.values()))
    best = max((own for own in cells.values() if len(own) == whole), key=_mean_score)
    step = max(best, key=_score)["step"]
    file = f"{step}/classifier.safetensors"
    return {"classifier": file, "chosen_by": "macro F1 on the validation set", "step": step}


def _mean_score(rows: list[dict[str, Any]]) -> float:
    return fmean(map(_score, rows))


def _score(row: dict[str, Any]) -> float:
    return row["metrics"]["f1_macro"] or 0.0
