"""Linear probe and fine-tuning as folders: classifier, predictions, history, rows of results."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32

from brainssl.data.dataset import Data, evenly
from brainssl.data.extra import is_extra
from brainssl.data.families import pairs_of
from brainssl.data.field_of_view import FIELD
from brainssl.data.indices import Indices
from brainssl.data.marks import joined
from brainssl.data.store import ImageStore
from brainssl.data.subgroups import cuts_of
from brainssl.evaluation.predictions import SPLITS, Predictions
from brainssl.evaluation.rows import result_rows
from brainssl.evaluation.subgroups import SUBGROUPS, by_subgroup
from brainssl.evaluation.units import choose_rules
from brainssl.evaluation.unlabelled import UNLABELLED, Unlabelled
from brainssl.foundation.spreadsheet import csv_of
from brainssl.foundation.storage import whole_folder, write_json, write_text
from brainssl.hardware.device import device_of, precision_of
from brainssl.models.classifier import Classifier, run_in_batches
from brainssl.models.encoder import Encoder
from brainssl.models.lineage import FACTS, PRETRAINED, training_of
from brainssl.settings import SEMI_SUPERVISED, Settings
from brainssl.training.finetune import finetune, passes, supervised_epochs
from brainssl.training.limits import learn_limits
from brainssl.training.loggers import build_loggers
from brainssl.training.probe import Labelled, fit_probe
from brainssl.training.requests import START, as_before, as_begun
from brainssl.training.starting import refuse_more_labels, refuse_seen_start
from brainssl.training.trainer import CHECKPOINT

Progress = Callable[[int, int], None]

_MOST_UNLABELLED = 1000  # more would not tell much more, and cost as much as the test set


@dataclass
class Features:
    """An encoder and its features for every image of a store, both made when first needed.

    Attributes:
        load: makes the encoder.
        store: of the images.
        device: where the encoder runs.
        progress: called with (images encoded, images in all).
    """

    load: Callable[[], Encoder]
    store: ImageStore
    device: torch.device
    progress: Progress | None = None

    @cached_property
    def encoder(self) -> Encoder:
        """The frozen encoder."""
        return self.load().eval().to(self.device)

    @cached_property
    def vectors(self) -> Float32[np.ndarray, "n dim"]:
        """One row an image of the store."""
        return run_in_batches(self.encoder, self.store.images, progress=self.progress)


def probe_stage(
    data: Data,
    features: Features,
    out: Path,
    *,
    facts: dict[str, Any],
    settings: Settings,
    label_fraction: float | str = 1.0,
    seed: int = 0,
    parts: Collection[str] = SPLITS,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Fit a linear probe into a new folder and return its rows of results.

    Args:
        data: store and split.
        features: of the frozen encoder on the same store.
        out: folder to make.
        facts: at least `method`; kept with the classifier and in the rows.
        settings: of the probe and the evaluation.
        label_fraction: share of the training labels that are used, or shots.
        seed: of the choice of labels and the order.
        parts: of the split that are predicted and measured.
        progress: called with (images encoded, images in all).
    """
    started = time.perf_counter()
    refuse_seen_start(features.encoder, data.store, data.split)
    refuse_more_labels(features.encoder, data.store, data.split, label_fraction, seed)
    features.progress = progress
    rows = data.rows(label_fraction, seed)
    with whole_folder(out) as folder:
        train, val = rows["train"], rows["val"]
        probe = fit_probe(
            Labelled(features.vectors[train], data.store.labels[train]),
            Labelled(features.vectors[val], data.store.labels[val]),
            classes=len(data.store.classes),
            settings=settings.probe,
            seed=seed,
        )
        if probe.history:
            write_text(folder / "history.csv", csv_of(pd.DataFrame(probe.history)))
        told = facts | {"stage": "linear", "label_fraction": label_fraction, "seed": seed}
        told |= data.labelled(label_fraction, train).facts()
        told |= {"chosen": probe.chosen} | _origin(features.encoder)
        classifier = Classifier(
            features.encoder, probe.head, data.store.classes, told | data.facts()
        )
        return _finish(classifier, data, rows, folder, settings, started, parts)


def finetune_stage(
    data: Data,
    encoder: Encoder,
    out: Path,
    *,
    facts: dict[str, Any],
    settings: Settings,
    label_fraction: float | str = 1.0,
    seed: int = 0,
    parts: Collection[str] = SPLITS,
    progress: Progress | None = None,
    loggers: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Fine-tune `encoder` (in place) into a new folder and return its rows of results.

    Args:
        data: store and split.
        encoder: pretrained, or fresh for the supervised baseline and FixMatch.
        out: folder to make; a killed training goes on from its last checkpoint.
        facts: at least `method` and `stage`; a method of `SEMI_SUPERVISED` also learns from what a
            pretraining may see, without labels. Kept with the classifier and in the rows.
        settings: of fine-tuning and evaluation.
        label_fraction: share of the training labels that are used, or shots.
        seed: of the choice of labels, the head, the order and the augmentation.
        parts: of the split that are predicted and measured.
        progress: called with (optimiser steps done, steps in all).
        loggers: names of `brainssl.training.loggers.LOGGERS`, beside `history.csv`.
    """
    started = time.perf_counter()
    refuse_seen_start(encoder, data.store, data.split)
    refuse_more_labels(encoder, data.store, data.split, label_fraction, seed)
    rows = data.rows(label_fraction, seed)
    own, unlabelled = _own_section(facts), None
    if facts["stage"] == "supervised":
        seen = data.split.pretraining(data.store.manifest)
        settings = settings.with_epochs(supervised_epochs(settings, len(rows["train"]), len(seen)))
        unlabelled = seen if own else None
    request = {**facts, **data.facts(), "label_fraction": label_fraction, "seed": seed}
    request |= {START: encoder.digest, "settings": settings.written(own)}
    request["precision"] = precision_of(settings.run, encoder).name
    request = as_begun(out, request)
    before = as_before(str(facts["method"]), own)
    with whole_folder(out, resume=True, request=request, defaults=before) as folder:
        tuned = finetune(
            data.store,
            rows["train"],
            rows["val"],
            folder,
            encoder=encoder,
            settings=settings,
            seed=seed,
            progress=progress,
            loggers=partial(build_loggers, loggers, folder, out.name),
            unlabelled=unlabelled,
        )
        told = facts | {"label_fraction": label_fraction, "seed": seed}
        told |= data.labelled(label_fraction, rows["train"]).facts()
        told["passes"] = passes(settings.finetune, len(rows["train"]))
        told["epochs"] = settings.finetune.epochs
        told |= {"chosen": tuned.chosen} | _origin(encoder)
        told |= {"val_loss": tuned.val_loss, "uniform_loss": tuned.uniform_loss}
        if settings.finetune.test_views > 1:
            told["test_views"] = settings.finetune.test_views
        classifier = Classifier(encoder, tuned.head, data.store.classes, told | data.facts())
        results = _finish(classifier, data, rows, folder, settings, started, parts)
        (folder / CHECKPOINT).unlink(missing_ok=True)
        return results


def evaluate_stage(
    data: Data, classifier: Classifier, out: Path, *, settings: Settings
) -> list[dict[str, Any]]:
    """Measure a classifier into a new folder: predictions, rows of results and `subgroups.json`.

    The last is there where columns of the store divide the test images, see
    `brainssl.evaluation.subgroups.by_subgroup`.

    Args:
        data: store and split that the classifier was trained on.
        classifier: what to measure.
        out: folder to make.
        settings: of the evaluation.

    Raises:
        BrainsslError: the classifier was trained on another store or split; then this would
            measure it on images that it may have learnt.
    """
    facts = classifier.facts
    data.refuse_seen(facts)
    with whole_folder(out) as folder:
        rows = data.rows(facts["label_fraction"], facts["seed"])
        started = time.perf_counter()
        predictions = predict_parts(classifier.to(device_of(settings.run)), data, rows)
        results = measure(classifier, predictions, data, folder, settings, started)
        images, draws = data.store.manifest, settings.evaluation.draws
        cuts = cuts_of(images.iloc[rows["train"]])
        if told := by_subgroup(predictions.of("test"), images, cuts, draws=draws):
            write_json(folder / SUBGROUPS, told)
        return results


def predict_parts(classifier: Classifier, data: Data, rows: dict[str, Indices]) -> Predictions:
    """Run a classifier on the rows of each part of a store."""
    return _seen_parts(classifier, data, rows)[0]


def _seen_parts(
    classifier: Classifier, data: Data, rows: dict[str, Indices]
) -> tuple[Predictions, Float32[np.ndarray, "n dim"]]:
    """Return what a classifier says of the rows of each part, and the features of these images."""
    order = np.concatenate(list(rows.values()))
    manifest = data.store.manifest.iloc[order]
    logits, features = classifier.seen(data.store.images, order)
    said = Predictions.build(
        manifest["image_id"].tolist(),
        manifest["group"].to_numpy(np.int64),
        [part for part, own in rows.items() for _ in own],
        data.store.labels[order],
        logits,
        data.store.classes,
    )
    return said, features


def predict_unlabelled(classifier: Classifier, data: Data) -> Unlabelled:
    """Run a classifier on images without label, at most `_MOST_UNLABELLED` from all groups.

    Extra ones are for pretraining alone.
    """
    manifest = data.store.manifest
    rows = data.split.indices(manifest, "unlabelled")
    rows = rows[~is_extra(manifest)[rows]]
    rows = rows[evenly(manifest["group"].to_numpy()[rows], _MOST_UNLABELLED)]
    own = manifest.iloc[rows]
    logits = (
        classifier.logits(data.store.images, rows)
        if len(rows)
        else np.empty((0, len(data.store.classes)), np.float32)
    )
    return Unlabelled(
        tuple(own["image_id"]), own["group"].to_numpy(np.int64), logits, data.store.classes
    )


def _origin(encoder: Encoder) -> dict[str, Any]:
    """Say which weights an encoder began with, and of a pretrained one how it was trained."""
    own = training_of(encoder.facts)
    return encoder.starting_weights | ({PRETRAINED: own} if own else {})


def _finish(
    classifier: Classifier,
    data: Data,
    rows: dict[str, Indices],
    folder: Path,
    settings: Settings,
    started: float,
    parts: Collection[str],
) -> list[dict[str, Any]]:
    learnt, section = [rows["train"], rows["val"]], _own_section(classifier.facts)
    if section or classifier.encoder.facts.get("split_digest") == data.split.digest:
        learnt.append(data.split.pretraining(data.store.manifest))
    marks = data.store.marks[np.concatenate(learnt)]
    classifier.learnt = joined(marks, classifier.encoder.learnt)
    classifier.eval().to(device_of(settings.run))
    asked = {part: of_part for part, of_part in rows.items() if part in parts}
    predictions, features = _seen_parts(classifier, data, asked)
    classifier.facts |= _of_units(predictions, data)
    classifier.facts["cuts"] = cuts_of(data.store.manifest.iloc[rows["train"]])
    learn_limits(classifier, predictions, features, data)
    classifier.save(folder / "classifier.safetensors")
    data.split.save(folder / "split.json")
    write_json(folder / "settings.json", settings.written(section))
    return measure(classifier, predictions, data, folder, settings, started)


def _own_section(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the method of a training if it is semi-supervised: it has settings of its own."""
    return (facts["method"],) if facts["method"] in SEMI_SUPERVISED else ()


def _of_units(predictions: Predictions, data: Data) -> dict[str, Any]:
    """Say what the classes are, and how slices become series and patients."""
    classes, told = data.store.classes, data.store.families
    named = zip(classes, map(list, pairs_of(classes, told)), strict=True)
    return {
        "families": dict(named),
        "rules": choose_rules(predictions, data.store.manifest, told),
    }


def measure(
    classifier: Classifier,
    predictions: Predictions,
    data: Data,
    folder: Path,
    settings: Settings,
    started: float,
) -> list[dict[str, Any]]:
    """Measure what was said of some parts of a split, into a folder that is being made.

    Images without label are predicted where the test set is: what they tell is told beside it. But
    a semi-supervised method has learnt to be sure of them.

    Args:
        classifier: that said it.
        predictions: of those parts.
        data: store and split.
        folder: where predictions and rows of results go.
        settings: of the evaluation.
        started: when the work began, by `time.perf_counter`.
    """
    predictions.save(folder / "predictions.parquet")
    if len(predictions.of("test")) and not _own_section(classifier.facts):
        said = predict_unlabelled(classifier, data)
        if len(said.image_ids):
            said.save(folder / UNLABELLED)
    hidden = {"store", "split_digest", "reader", "bits", "plane", "families", "rules", "cuts"}
    hidden |= {FIELD, FACTS, PRETRAINED}
    facts = {name: value for name, value in classifier.facts.items() if name not in hidden}
    facts["seconds"] = round(time.perf_counter() - started, 2)
    results = result_rows(predictions, facts, settings.evaluation)
    write_json(folder / "rows.json", results)
    return results
