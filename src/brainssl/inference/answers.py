"""One answer for each series and each patient, made of what was said of their slices."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32, Int64

from brainssl.data.families import pairs_of
from brainssl.evaluation.limits import Limits
from brainssl.evaluation.patients import Rule, fuse
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.sequences import SLICES, Fusion
from brainssl.evaluation.units import asked_of, rule_of
from brainssl.foundation.nouns import agreed, counted
from brainssl.inference.inputs import MANY, Inputs
from brainssl.models.classifier import Classifier

_Keys: TypeAlias = dict[int, tuple[str, ...]]


def unit_answers(
    classifier: Classifier,
    inputs: Inputs,
    places: Int64[np.ndarray, " n"],
    logits: Float32[np.ndarray, "n classes"],
    limits: Limits | None = None,
) -> dict[str, Any]:
    """Answer for each patient and series that is known.

    Args:
        classifier: whose facts hold the rules; where they hold none it is the mean of
            probabilities, and a note says so.
        inputs: files, patients and sequences.
        places: of the files that could be read, among those of `inputs`.
        logits: of these.
        limits: of the classifier: the temperature of its slices' probabilities, and how a patient's
            sequences become one answer. None: plain probabilities, and no sequences.

    Returns:
        `rules` by kind, each with its `rule` in words and whether it was `chosen` on validation;
        `patients` and `series`: by key, in order, `patient` (and `sequence`, and of a volume
        `series`, its name; None where one is unknown), `label` (of a patient the tumour family),
        `probability`, `probabilities`, `slices` (how many), `files`, and `left_out` (files that
        could not be read), or `error` where none could; of a series also `decided_by`: the `file`
        with the highest `probability` of the label; of a patient with several sequences, where
        limits say how, also `fusion`, the rule, and `sequences`: what each of them says of the
        family; and `notes`.
    """
    acquired: _Keys = {
        at: (name, inputs.sequences[at])
        for at, name in inputs.patients.items()
        if at in inputs.sequences
    }
    volumes = {
        at: (inputs.patients.get(at, ""), inputs.sequences.get(at, ""), name)
        for at, name in inputs.volumes.items()
    }
    kinds: dict[str, _Keys] = {
        "patient": {at: (name,) for at, name in inputs.patients.items()},
        "series": acquired | volumes,
    }
    said = Predictions.build(
        [_image_id(at) for at in places],
        np.zeros(len(places), np.int64),
        ["test"] * len(places),
        np.zeros(len(places), np.int64),
        logits / np.float32((limits and limits.temperature) or 1),
        classifier.classes,
    )
    told: dict[str, Any] = {"rules": {}, "patients": [], "series": [], "notes": []}
    for kind, keys in kinds.items():
        asked = asked_of(said, kind, classifier.facts.get("families"))
        if not keys or asked is None:
            continue
        rule, chosen = rule_of(classifier.facts, kind)
        told["rules"][kind] = {"rule": rule.name, "chosen": chosen}
        told[MANY[kind]] = _fused(asked, keys, rule, inputs, places)
        if kind == "series":
            _tell_deciding(told["series"], said, inputs, places)
    if limits and limits.fusion and "patient" in told["rules"]:
        families = pairs_of(classifier.classes, classifier.facts.get("families"))
        by_sequence = told["series"]
        if volumes and acquired:  # several volumes of one sequence are one witness
            rule, _ = rule_of(classifier.facts, "series")
            by_sequence = _fused(said, acquired, rule, inputs, places)
        join_sequences(
            {"patients": told["patients"], "series": by_sequence if acquired else []},
            [family for family, _ in families],
            limits.fusion,
        )
    told["notes"] = _notes(classifier, told["rules"], kinds, inputs)
    return told


def _fused(
    asked: Predictions,
    keys: "_Keys",
    rule: Rule,
    inputs: Inputs,
    places: Int64[np.ndarray, " n"],
) -> list[dict[str, Any]]:
    """Answer for each unit, in the order of their keys."""
    # Sorted as the keys are; a slice's id must never be taken for a unit's.
    names = {key: f"unit {n:09}" for n, key in enumerate(sorted(set(keys.values())))}
    held = {_image_id(at): names[key] for at, key in keys.items()}
    answers: dict[str, np.ndarray] = {}
    if held.keys() & {_image_id(at) for at in places}:
        fused = fuse(asked, held, rule)
        answers = dict(zip(fused.frame["image_id"], fused.probabilities(), strict=True))
    members: dict[tuple[str, ...], list[int]] = {}
    for at in sorted(keys):
        members.setdefault(keys[at], []).append(at)
    readable = set(places.tolist())
    return [
        _answer(key, answers.get(name), asked.classes, _files(inputs, members[key], readable))
        for key, name in names.items()
    ]


def _tell_deciding(
    series: list[dict[str, Any]],
    said: Predictions,
    inputs: Inputs,
    places: Int64[np.ndarray, " n"],
) -> None:
    """Name for each series, in place, the slice that speaks most for its label."""
    shares = said.probabilities()
    rows = {str(inputs.images[at].file): row for row, at in enumerate(places.tolist())}
    for one in series:
        if "error" in one:
            continue
        column = said.classes.index(one["label"])
        best = max(one["files"], key=lambda file: shares[rows[file], column])
        one["decided_by"] = {"file": best, "probability": float(shares[rows[best], column])}


def join_sequences(told: dict[str, Any], families: Sequence[str], fusion: Fusion) -> None:
    """Let several sequences of a patient give one answer, in place.

    Args:
        told: of `unit_answers`, its `patients` and `series`.
        families: of the classes, in the order of a series' `probabilities`.
        fusion: how.
    """
    by_patient: dict[str, dict[str, dict[str, float]]] = {}
    for series in told["series"]:
        if "error" not in series:
            shares = dict.fromkeys(families, 0.0)
            for family, share in zip(families, series["probabilities"].values(), strict=True):
                shares[family] += share
            by_patient.setdefault(series["patient"], {})[series["sequence"]] = shares
    for patient in told["patients"]:
        sequences = by_patient.get(patient["patient"], {})
        if "error" in patient or len(sequences) < 2:
            continue
        if fusion.rule != SLICES:
            names = list(patient["probabilities"])
            said = {at: np.array([own[n] for n in names]) for at, own in sequences.items()}
            patient |= _labelled(dict(zip(names, fusion.of(said).tolist(), strict=True)))
        patient["fusion"] = fusion.name
        patient["sequences"] = [
            {"sequence": sequence, **_labelled(own)} for sequence, own in sequences.items()
        ]


def _labelled(named: dict[str, float]) -> dict[str, Any]:
    label = max(named, key=lambda name: named[name])
    return {"label": label, "probability": named[label], "probabilities": named}


def _image_id(place: int) -> str:
    return f"image {place:09}"


def _files(inputs: Inputs, own: Sequence[int], readable: set[int]) -> tuple[list[str], list[str]]:
    """Return the files of a unit that could be read, and those that could not."""
    files = {at: str(inputs.images[at].file) for at in own}
    return (
        [file for at, file in files.items() if at in readable],
        [file for at, file in files.items() if at not in readable],
    )


def _answer(
    key: tuple[str, ...],
    probabilities: np.ndarray | None,
    classes: Sequence[str],
    files: tuple[list[str], list[str]],
) -> dict[str, Any]:
    read, left_out = files
    answer: dict[str, Any] = {
        name: part or None
        for name, part in zip(("patient", "sequence", "series"), key, strict=False)
    }
    if probabilities is None:
        many = f"none of {len(left_out)} files could be read"
        answer["error"] = agreed(len(left_out), "its only file could not be read", many)
    else:
        named = dict(zip(classes, probabilities.tolist(), strict=True))
        answer |= _labelled(named)
    return answer | {"slices": len(read), "files": read, "left_out": left_out}


def _notes(
    classifier: Classifier,
    rules: Mapping[str, Mapping[str, Any]],
    kinds: Mapping[str, _Keys],
    inputs: Inputs,
) -> list[str]:
    if not kinds["patient"] and not kinds["series"]:
        return []
    notes = []
    if "families" not in classifier.facts:
        notes.append(
            "The classifier's file is of an earlier version: families and sequences are guessed "
            "from the names of its classes."
        )
    if unchosen := [MANY[kind] for kind, rule in rules.items() if not rule["chosen"]]:
        notes.append(
            f"How slices become {' and '.join(unchosen)} was not chosen on validation, as the "
            "classifier knew of none there: it is the mean of probabilities."
        )
    if kinds["patient"] and "patient" not in rules:
        notes.append("All classes are of one family: there is nothing to ask of a patient.")
    if without := len(kinds["patient"].keys() - kinds["series"].keys()):
        notes.append(
            f"The sequence of {counted(without, 'file')} is unknown: "
            f"{agreed(without, 'it is', 'they are')} in no series."
        )
    if unsaid := len({name for at, name in inputs.volumes.items() if at not in inputs.sequences}):
        notes.append(
            f"The sequence of {counted(unsaid, 'volume')} is unknown: where a patient's sequences "
            f"become one answer, {agreed(unsaid, 'it has', 'these have')} no say."
        )
    return notes
