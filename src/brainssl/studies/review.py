"""The labels of a study's images that are probably wrong, from models that never saw their group.

Of each fold the `MEMBERS` arms that are best on its validation set are asked, all seeds of each:
networks at the largest label fraction, classical baselines only where there is no network. Their
probabilities are calibrated by a temperature from that validation set, and their mean is taken.
Validation chooses and calibrates by labels that may be wrong themselves: that makes models less
sure, and no label suspicious.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brainssl.data.duplicates import NEAR, Pairs
from brainssl.data.families import Families, pairs_of
from brainssl.data.groups import blank_rows
from brainssl.data.store import ImageStore
from brainssl.evaluation.calibration import fit_temperature
from brainssl.evaluation.ensemble import ensemble, from_probabilities
from brainssl.evaluation.label_errors import (
    FEWEST_GROUPS,
    Wrong,
    best_other,
    candidates,
    confident_joint,
    scores,
    wrong_shares,
)
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import read_json
from brainssl.studies.arms import HONEST, MEMBERS, Arm, arms_of
from brainssl.studies.grid import RANDOM_LABELS, UNTRAINED
from brainssl.training.classical import FAMILIES

LABEL, DOUBT, COPIES, ALIKE = "label", "doubt", "copies", "alike"
"""Why an image is listed: see `Review`."""

_ORDER = (COPIES, LABEL, ALIKE, DOUBT)
_RESULTS = "results.json"
# Agreement below which no share is told: of labels that were all right, models that agreed with
# 65 % of them called 33 % wrong (`results/review-phantom.json`).
_SURE = 0.8


@dataclass(frozen=True, eq=False)
class Review:
    """The images of a study whose labels somebody should look at.

    Attributes:
        rows: what to look at, the likeliest first: `image_id`, `path`, `label`, `suggested` (""
            where nothing is), `score` (see `brainssl.evaluation.label_errors.scores`; NaN of an
            image that no model was asked about), `why`, `patient` ("" if unknown), `group`, `other`
            (path of a copy with another label, or ""), `other_label`, and `p:<class>` for each
            class. `why` holds, joined by `;`, `copies` (the same pixels stand under another label),
            `label` (among as many images as are estimated to be wrong), `alike` (a near-duplicate
            has another label, the sequence aside) and `doubt` (another class is likelier, and no
            more). Copies stand first, as one of their labels is wrong for certain; all others by
            falling score.
        classes: in the order of the probabilities.
        models: each that was asked, by fold.
        folds: how many; 0: one split, of which only the test images were asked about.
        agreement: share of the reviewed labels that the models give too.
        whole: which share of all labels is wrong.
        by_class: the same of each class.
        joint: (given, true) of the reviewed images.
        notes: what else to know.
    """

    rows: pd.DataFrame
    classes: tuple[str, ...]
    models: tuple[dict[str, Any], ...]
    folds: int
    agreement: float
    whole: Wrong
    by_class: tuple[Wrong, ...]
    joint: np.ndarray
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Asked:
    """What the chosen models say together of every tested image.

    Attributes:
        predictions: mean of calibrated probabilities, as logits that give it back.
        models: which models of which fold, with their temperatures.
        folds: how many; 0 for one split.
        notes: what else to know.
    """

    predictions: Predictions
    models: tuple[dict[str, Any], ...]
    folds: int
    notes: tuple[str, ...] = field(default=())


def review_study(folder: Path, *, draws: int | None = None, seed: int = 0) -> Review:
    """Rank the labels of a finished study by how probably they are wrong.

    Args:
        folder: of the study.
        draws: of the cluster bootstrap; by default those of the study.
        seed: of the draws.

    Raises:
        BrainsslError: no finished study, or predictions or store of it are missing or damaged.
    """
    file = folder / _RESULTS
    held = read_json(file, "the results of a study (see brainssl study)")
    try:
        facts, rows = held["study"], held["rows"]
        told = int(facts["settings"]["evaluation"]["draws"])
        protocols = [str(name) for name in facts["protocols"]]
    except (KeyError, TypeError, ValueError):
        raise BrainsslError(
            f"{file} is not the results of a study: run brainssl study again"
        ) from None
    asked = ask_models(folder, rows, protocols)
    store = ImageStore.open(folder / "store")
    return review(asked, store, families=facts.get("families"), draws=draws or told, seed=seed)


def ask_models(folder: Path, rows: Sequence[Mapping[str, Any]], protocols: Sequence[str]) -> Asked:
    """Return the mean of what the best models of each fold say of its test images.

    Args:
        folder: of the study.
        rows: of its results.
        protocols: of the study, the leading one first; `grouped` goes before all others.

    Raises:
        BrainsslError: there are no predictions to go by.
    """
    protocol = next((one for one in (HONEST, "image") if one in protocols), None)
    if protocol is None:
        raise BrainsslError(
            f"{folder} has no protocol grouped or image: its images are copies and turned ones"
        )
    own = [
        arm
        for arm in arms_of(folder, rows)
        if arm.protocol == protocol and arm.method not in (RANDOM_LABELS, UNTRAINED)
    ]
    most = max((arm.label_fraction for arm in own), default=1.0)
    full = [arm for arm in own if arm.label_fraction == most]
    chosen = [arm for arm in full if arm.method not in FAMILIES] or full
    if not chosen:
        raise BrainsslError(
            f"{folder} holds no predictions of trained models: run brainssl study again"
        )
    numbers = range(len(chosen[0].folds) or 1)
    parts, models = [], []
    for number in numbers:
        tested, said = _best_of([arm.folds[number] if arm.folds else arm for arm in chosen])
        parts.append(tested)
        models += [one | {"fold": number + 1 if chosen[0].folds else None} for one in said]
    notes = []
    if not chosen[0].folds:
        notes.append(
            "The study has no folds: its test images alone are reviewed. A study with --folds "
            "reviews all."
        )
    if protocol != HONEST:
        notes.append(
            f"Images were divided by the protocol {protocol}: models have seen other slices of the "
            "same groups, and may have learnt their wrong labels."
        )
    return Asked(Predictions.joined(parts), tuple(models), len(chosen[0].folds), tuple(notes))


def _best_of(arms: Sequence[Arm]) -> tuple[Predictions, list[dict[str, Any]]]:
    """Return what the arms that are best on validation say of test, calibrated, in the mean."""
    best = sorted(arms, key=lambda arm: -arm.mean_validated)[:MEMBERS]
    tested, said = [], []
    for arm in best:
        for step, model in zip(arm.steps, arm.models, strict=True):
            tested_by, temperature = calibrated(model)
            tested.append(tested_by)
            said.append({**arm.facts, "step": step, "temperature": round(temperature, 4)})
    return ensemble(tested), said


def calibrated(model: Predictions) -> tuple[Predictions, float]:
    """Return what a model says of its test images at the temperature of its validation images."""
    val, test = model.of("val"), model.of("test")
    temperature = fit_temperature(val) if len(val) else 1.0
    warm = test.probabilities(temperature)
    return from_probabilities(test, warm, test.labels, test.classes), temperature


def review(
    asked: Asked,
    store: ImageStore,
    *,
    families: Families | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Review:
    """Rank the labels of the images that models were asked about, and those of copies.

    Args:
        asked: what the models say.
        store: of the images, with its near-duplicates.
        families: what a table said of the classes.
        draws: of the cluster bootstrap.
        seed: of the draws.

    Raises:
        BrainsslError: the store lacks images, or gives them other labels.
    """
    said, manifest = asked.predictions, store.manifest
    rows = pd.Index(manifest["image_id"]).get_indexer(pd.Index(said.frame["image_id"]))
    given = manifest["label"].to_numpy(object)
    if (rows < 0).any() or (given[rows] != said.frame["label"].to_numpy(object)).any():
        raise BrainsslError(
            f"{store.path} holds other images or labels than the study's predictions are of: give "
            "the study back the store that it was made with"
        )
    probabilities, labels = said.probabilities(), said.labels
    joint = confident_joint(probabilities, labels, said.groups)
    whole, by_class = wrong_shares(probabilities, labels, said.groups, draws=draws, seed=seed)
    suggested = candidates(joint, probabilities, labels)
    likelier = best_other(probabilities, labels)
    against = scores(probabilities, labels)
    others, notes = _conflicts(store, families)
    why: dict[int, set[str]] = {row: {kind} for row, (kind, _) in others.items()}
    doubted = (suggested < 0) & (against > 0.5)
    for reason, places in ((LABEL, suggested >= 0), (DOUBT, doubted)):
        for row in rows[places].tolist():
            why.setdefault(row, set()).add(reason)
    suggested = np.where(doubted, likelier, suggested)
    at = dict(zip(rows.tolist(), range(len(rows)), strict=True))
    listed = []
    for row, reasons in why.items():
        one, place = _row(manifest, row, reasons, others.get(row)), at.get(row)
        shares = np.full(len(said.classes), np.nan) if place is None else probabilities[place]
        one |= {f"p:{name}": float(p) for name, p in zip(said.classes, shares, strict=True)}
        if place is not None:
            one["score"] = float(against[place])
            one["suggested"] = said.classes[suggested[place]] if suggested[place] >= 0 else ""
        listed.append(one)
    agreement = float((said.predicted == labels).mean())
    if agreement < _SURE:
        whole, *by_class = (replace(w, share=None, interval=None) for w in (whole, *by_class))
    return Review(
        _ranked(listed, said.classes),
        said.classes,
        asked.models,
        asked.folds,
        agreement,
        whole,
        tuple(by_class),
        joint.joint,
        (*asked.notes, *notes, *_cautions(said.classes, by_class, agreement)),
    )


def _cautions(classes: Sequence[str], by_class: Sequence[Wrong], agreement: float) -> list[str]:
    told = []
    few = [c for c, one in zip(classes, by_class, strict=True) if one.images and one.share is None]
    if agreement < _SURE:
        told.append(
            f"The models give {100 * agreement:.0f} % of these labels themselves: too little to "
            "tell how many are wrong, and much of what they call wrong is a mistake of their own."
        )
    elif few:
        told.append(
            f"Too little to tell which share of the labels is wrong (fewer than {FEWEST_GROUPS} "
            f"groups, or no image that models are sure of): {', '.join(few)}."
        )
    told.append(
        "Images that resemble nothing are not looked for: a study keeps no features of its images."
    )
    return told


def _row(
    manifest: pd.DataFrame,
    row: int,
    why: set[str],
    other: tuple[str, int] | None,
) -> dict[str, Any]:
    own = manifest.iloc[row]
    beside = None if other is None else manifest.iloc[other[1]]
    return {
        "image_id": str(own["image_id"]),
        "path": str(own["path"]),
        "label": str(own["label"]),
        # Of a copy that no model was asked about, what its copy is called is all that is known.
        "suggested": "" if beside is None else str(beside["label"]),
        "score": float("nan"),
        "why": ";".join(reason for reason in _ORDER if reason in why),
        "patient": "" if pd.isna(own["patient"]) else str(own["patient"]),
        "group": int(own["group"]),
        "other": "" if beside is None else str(beside["path"]),
        "other_label": "" if beside is None else str(beside["label"]),
    }


def _ranked(listed: list[dict[str, Any]], classes: Sequence[str]) -> pd.DataFrame:
    """Put copies first; order by score, then by path."""
    columns = ["image_id", "path", "label", "suggested", "score", "why", "patient", "group"]
    columns += ["other", "other_label", *(f"p:{name}" for name in classes)]

    def key(one: dict[str, Any]) -> tuple[bool, float, str]:
        score = -1.0 if np.isnan(one["score"]) else one["score"]
        return COPIES not in one["why"].split(";"), -score, one["path"]

    ranked: list[dict[str, Any]] = sorted(listed, key=key)
    return pd.DataFrame(ranked, columns=columns)


def _conflicts(
    store: ImageStore, families: Families | None
) -> tuple[dict[int, tuple[str, int]], list[str]]:
    """Return for each row that has one its copy with another label: why, and the other row.

    As the audit counts them: the same pixels under two labels, and near-duplicates of two families
    (the sequence aside, in which slices of one patient may well look alike). Of several near ones
    the most similar is named.
    """
    manifest, near = store.manifest, store.near
    found: dict[int, tuple[str, int]] = {}
    shown = manifest["label"].notna().to_numpy() & ~blank_rows(manifest)
    labels = manifest["label"].to_numpy(object)
    notes = []
    if near is None:
        notes.append("The store is of an older version and knows no near-duplicates.")
        near = Pairs.none()
    family = _families(labels, families)
    known = shown[near.left] & shown[near.right] & (family[near.left] != family[near.right])
    differing = near.where(known & (near.similarity >= NEAR))
    for at in np.argsort(-differing.similarity, kind="stable"):
        left, right = int(differing.left[at]), int(differing.right[at])
        found.setdefault(left, (ALIKE, right))
        found.setdefault(right, (ALIKE, left))
    for _, own in manifest[shown].groupby("pixels", sort=False):
        places = [int(place) for place in manifest.index.get_indexer(own.index)]
        for place in places:
            other = next((one for one in places if labels[one] != labels[place]), None)
            if other is not None:
                found[place] = (COPIES, other)
    return found, notes


def _families(labels: np.ndarray, told: Families | None) -> np.ndarray:
    names = sorted({str(label) for label in labels if not pd.isna(label)})
    family = {n: f for n, (f, _) in zip(names, pairs_of(names, told), strict=True)}
    return np.array([family.get(str(label), "") for label in labels], object)
