"""Whose slice should the second view of a pair show, and may slices of a group be negatives?

Every method is pretrained with `pretrain.positives` image, group and patient, each with and without
`pretrain.one_per_group`, in grouped folds; each encoder gets a linear probe. The figures are
accuracy and NLL of the probe on the validation sets of all folds together, in the mean over
training seeds, and their differences to pairs of one image in any batches, with 95 % intervals of
the paired cluster bootstrap, not widened for the number of comparisons. The test sets are neither
predicted nor scored: they are for what is chosen here. Validation also chooses each probe's
penalty, in all arms alike.

Batches of one image a group leave out images of large groups in an epoch, so arms differ in epochs
and are alike in optimiser steps, as nearly as whole epochs come; the steps are told. A method that
learns from labels is pretrained for each label fraction, with its labels alone. An arm that the
collection does not allow, such as more images in a batch than groups, is told with the reason.

What is done is kept in a folder beside the file of figures: called again, the command goes on
where it was interrupted.

    python benchmarks/positives.py stores/mri44-48 --methods simclr,byol --out positives.json
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from brainssl.data.dataset import Data
from brainssl.data.folds import make_folds
from brainssl.data.prepare import prepare
from brainssl.data.scan import scan
from brainssl.data.store import ImageStore, is_store
from brainssl.evaluation.intervals import percentile_intervals, resample
from brainssl.evaluation.metrics import METRICS, evaluate
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import read_json, write_json
from brainssl.hardware.device import device_of
from brainssl.models.classifier import Classifier, run_in_batches
from brainssl.models.encoder import Encoder, load_encoder
from brainssl.settings import LABELLED_METHODS, Settings, load_settings
from brainssl.studies.record import environment
from brainssl.training.batches import training_batches
from brainssl.training.pretrain import pretrain
from brainssl.training.probe import Labelled, fit_probe
from brainssl.training.stages import predict_parts

POSITIVES = ("image", "group", "patient")
ARMS = tuple(product(POSITIVES, (False, True)))
BASE = "image"
JUDGED = ("accuracy", "nll")
DRAWS = 2000


@dataclass(frozen=True)
class Bench:
    """What all arms share.

    Attributes:
        data: store and split of each fold.
        overrides: of settings, set by hand for all.
        epochs: of pairs of one image in any batches; the other arms have as many steps.
        fractions: of the training labels, for the probe.
        seeds: how many trainings in each fold.
        folder: where encoders and predictions are kept.
    """

    data: tuple[Data, ...]
    overrides: list[str]
    epochs: int
    fractions: tuple[float, ...]
    seeds: int
    folder: Path

    def settings(self, method: str, positives: str, alone: bool, data: Data) -> Settings:
        """Return the settings of an arm, with epochs that make about as many steps as the base."""
        own = [f"pretrain.positives={positives}", f"pretrain.one_per_group={str(alone).lower()}"]
        chosen = load_settings("quick", [*self.overrides, *own])[0].of(method).pretrain
        rows = data.split.pretraining(data.store.manifest)
        groups = data.store.manifest["group"].to_numpy()[rows]
        plain, batches = (
            len(training_batches(rows, chosen.batch_size, 0, groups=each))
            for each in (None, groups if alone else None)
        )
        epochs = max(1, round(self.epochs * plain / batches))
        return load_settings("quick", [*self.overrides, *own, f"pretrain.epochs={epochs}"])[0]

    def arm(self, method: str, positives: str, alone: bool) -> tuple[list[Any], list[int]]:
        """Return predictions of the validation images by label fraction and seed, and the steps.

        Raises:
            BrainsslError: the collection does not allow this arm.
        """
        every: dict[tuple[float, int], list[Predictions]] = {}
        steps = []
        for number, data in enumerate(self.data, start=1):
            settings = self.settings(method, positives, alone, data)
            for seed in range(self.seeds):
                out = self.folder / method / arm_name(positives, alone) / f"k{number}-s{seed}"
                taught = method in LABELLED_METHODS
                for fraction in self.fractions:
                    own = out / f"f{fraction:g}" if taught else out
                    file = own / f"probe-f{fraction:g}.parquet"
                    if not file.exists():
                        learnt = fraction if taught else None
                        encoder = pretrained(data, own, method, settings, seed, learnt)
                        predictions = probed(data, encoder, settings.of(method), fraction, seed)
                        predictions.save(file)
                        print(f"{file.relative_to(self.folder)} is done", file=sys.stderr)
                    every.setdefault((fraction, seed), []).append(Predictions.load(file))
                steps.append(steps_of(own))
        pooled = {key: Predictions.joined(parts) for key, parts in every.items()}
        return [[pooled[f, s] for s in range(self.seeds)] for f in self.fractions], steps


def arm_name(positives: str, alone: bool) -> str:
    """Return the name of an arm, and of its folder."""
    return positives + " one-per-group" * alone


def pretrained(
    data: Data, out: Path, method: str, settings: Settings, seed: int, fraction: float | None
) -> Encoder:
    """Return an encoder, pretrained when first asked for, of labels with those of a fraction."""
    made = out / "encoder"
    if not made.exists():
        run: dict[str, Any] = {"method": method, "settings": settings, "seed": seed}
        run["label_fraction"] = fraction
        pretrain(data.store, data.split, made, resume=True, **run)
    return load_encoder(made)


def steps_of(out: Path) -> int:
    """Return the optimiser steps of a pretraining, as its sentinel counted them."""
    seen = read_json(out / "encoder" / "collapse.json", "what the sentinel saw")
    return int(seen["epochs"][-1]["step"])


def probed(
    data: Data, encoder: Encoder, settings: Settings, fraction: float, seed: int
) -> Predictions:
    """Fit a linear probe with a share of the labels; return what it says of validation images."""
    data.refuse_more_labels(encoder.facts, fraction, seed)
    encoder = encoder.eval().to(device_of(settings.run))
    rows, store = data.rows(fraction, seed), data.store
    train, val = (
        Labelled(run_in_batches(encoder, store.images, rows[part]), store.labels[rows[part]])
        for part in ("train", "val")
    )
    classes = len(store.classes)
    probe = fit_probe(train, val, classes=classes, settings=settings.probe, seed=seed)
    model = Classifier(encoder, probe.head, store.classes, {}).eval()
    return predict_parts(model.to(device_of(settings.run)), data, {"val": rows["val"]})


def scores(ours: Sequence[Predictions], base: Sequence[Predictions] | None) -> dict[str, Any]:
    """Return each metric, a number a seed, and how far the mean is from that of the base."""
    told: dict[str, Any] = {}
    measured = [evaluate(one.labels, one.probabilities()) for one in ours]
    drawn, of_base = drawn_means(ours), None if base is None else drawn_means(base)
    for metric in JUDGED:
        told[metric] = [round(one[metric], 4) for one in measured]
        if base is not None and of_base is not None:
            theirs = [evaluate(one.labels, one.probabilities())[metric] for one in base]
            difference = np.mean([one[metric] for one in measured]) - np.mean(theirs)
            place = METRICS.index(metric)
            draws = (drawn[:, place] - of_base[:, place])[:, None]
            interval = [round(float(end), 4) for end in percentile_intervals(draws, 0.95)[0]]
            told[f"{metric} minus base"] = {
                "difference": round(float(difference), 4),
                "interval": interval,
            }
    return told


def drawn_means(models: Sequence[Predictions]) -> Float64[np.ndarray, "draws metrics"]:
    """Return the mean over seeds of every metric, for the same draws of groups."""
    drawn = [resample(one, draws=DRAWS).overall for one in models]
    return np.asarray(np.mean(drawn, axis=0))


def opened(source: Path, folder: Path, labels: Path | None, size: int) -> ImageStore:
    """Open a store, or that of a folder of images, which is prepared when first asked for."""
    if is_store(source):
        return ImageStore.open(source)
    if not is_store(folder / "store"):
        prepare(scan(source, labels=labels), folder / "store", size=size)
    return ImageStore.open(folder / "store")


def main() -> None:
    """Train every arm of every method and write the figures after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("source", type=Path, help="a prepared store, or a folder of images")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--methods", default="simclr,byol", help="names, comma-separated")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=20, help="through all images")
    parser.add_argument("--label-fractions", default="0.1,1.0", help="comma-separated")
    parser.add_argument("--labels", type=Path, help="of a folder of images, as in brainssl")
    parser.add_argument("--size", type=int, default=48, help="of a folder of images, in pixels")
    parser.add_argument("--set", action="append", default=[], help="a setting, as in brainssl")
    arguments = parser.parse_args()
    if not arguments.out.suffix:
        parser.error("--out is a file such as positives.json: its stem names the folder beside it")
    folder = arguments.out.with_suffix("")
    store = opened(arguments.source, folder, arguments.labels, arguments.size)
    overrides = [f"encoder.image_size={store.size}", *arguments.set]
    settings = load_settings("quick", overrides)[0]
    shares = {"folds": arguments.folds, "val_fraction": settings.split.val_fraction}
    folds = make_folds(store.manifest, protocol="grouped", seed=0, **shares)
    fractions = tuple(float(text) for text in arguments.label_fractions.split(","))
    asked = {
        "store": store.checksum,
        "digests": [split.digest for split in folds],
        "settings": overrides,
        "epochs": arguments.epochs,
    }
    if not (folder / "asked.json").exists():
        write_json(folder / "asked.json", asked)
    elif read_json(folder / "asked.json", "what was asked for") != asked:
        raise SystemExit(f"{folder} was begun with other settings or data: name another")
    data = tuple(Data(store, split) for split in folds)
    bench = Bench(data, overrides, arguments.epochs, fractions, arguments.seeds, folder)
    result: dict[str, Any] = {
        "what": "linear probe on the validation images of all folds, by the pairs of pretraining",
        "command": shlex.join(["python", *sys.argv]),
        "environment": environment(settings),
        "digests": asked["digests"],
        "validation_images": sum(len(split.val) for split in folds),
        "seeds": arguments.seeds,
        "settings": overrides,
        "methods": {},
    }
    for method in arguments.methods.split(","):
        own: dict[str, Any] = result["methods"].setdefault(method, {})
        base: list[Any] | None = None
        for positives, alone in ARMS:
            name = arm_name(positives, alone)
            try:
                models, steps = bench.arm(method, positives, alone)
            except BrainsslError as error:
                own[name] = {"refused": str(error)}
            else:
                others = base or [None] * len(models)
                own[name] = {"steps": steps} | {
                    f"{fraction:g}": scores(ours, theirs)
                    for fraction, ours, theirs in zip(fractions, models, others, strict=True)
                }
                base = models if name == BASE else base
            write_json(arguments.out, result)
            print(json.dumps({method: {name: own[name]}}), flush=True)


if __name__ == "__main__":
    main()
