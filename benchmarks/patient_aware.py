"""Does it help to keep slices of one group from being negatives of each other?

SimCLR is pretrained twice for each seed, on batches drawn from all images and on batches with one
image a group (`pretrain.one_per_group`); both encoders get a linear probe with all labels on the
same grouped split. The figure is the difference of the probes' accuracy on the test set, averaged
over seeds, with a 95 % interval of the paired cluster bootstrap. Patient-aware batches leave out
images of large groups in an epoch, so both arms are given the same number of optimiser steps.

    python benchmarks/patient_aware.py runs/study/store --out results/patient-aware.json
"""

import argparse
import json
import math
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from brainssl.data.dataset import Data
from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.evaluation.intervals import percentile_intervals, resample
from brainssl.evaluation.metrics import METRICS
from brainssl.evaluation.predictions import Predictions
from brainssl.hardware.device import device_of
from brainssl.settings import load_settings
from brainssl.training.batches import training_batches
from brainssl.training.pretrain import pretrain
from brainssl.training.stages import Features, probe_stage

DRAWS = 2000


def main() -> None:
    """Train both arms for each seed and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("store", type=Path, help="a prepared store")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10, help="through all images")
    parser.add_argument("--set", action="append", default=[], help="a setting, as in brainssl")
    arguments = parser.parse_args()
    store = ImageStore.open(arguments.store)
    overrides = [f"encoder.image_size={store.size}", *arguments.set]
    split_settings = load_settings("quick", overrides)[0].split.model_dump()
    data = Data(store, make_split(store.manifest, protocol="grouped", seed=0, **split_settings))
    arms: dict[bool, list[tuple[float, Float64[np.ndarray, " draws"]]]] = {False: [], True: []}
    for seed in range(arguments.seeds):
        for aware, measured in arms.items():
            measured.append(probed(data, aware, seed, arguments.epochs, overrides))
    means = {aware: float(np.mean([value for value, _ in seeds])) for aware, seeds in arms.items()}
    drawn = {aware: np.mean([d for _, d in seeds], axis=0) for aware, seeds in arms.items()}
    low, high = percentile_intervals((drawn[True] - drawn[False])[:, None], 0.95)[0]
    result: dict[str, Any] = {
        "what": "accuracy of SimCLR's linear probe on the test set, patient-aware batches or not",
        "command": shlex.join(["python", *sys.argv]),
        "split": {"protocol": "grouped", "seed": 0, "digest": data.split.digest},
        "test_images": len(data.split.test),
        "seeds": arguments.seeds,
        "accuracy": {
            "any batches": [round(value, 4) for value, _ in arms[False]],
            "one image a group": [round(value, 4) for value, _ in arms[True]],
        },
        "difference": round(means[True] - means[False], 4),
        "interval": [round(low, 4), round(high, 4)],
    }
    print(json.dumps(result, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def probed(
    data: Data, aware: bool, seed: int, epochs: int, overrides: list[str]
) -> tuple[float, Float64[np.ndarray, " draws"]]:
    """Pretrain and probe; return the accuracy on the test set, and that under each draw."""
    rows = data.split.pretraining(data.store.manifest)
    groups = data.store.manifest["group"].to_numpy()[rows] if aware else None
    size = load_settings("quick", overrides)[0].pretrain.batch_size
    steps = epochs * (len(rows) // size)
    passes = math.ceil(steps / len(training_batches(rows, size, seed, groups=groups)))
    chosen = [f"pretrain.epochs={passes}", f"pretrain.one_per_group={str(aware).lower()}"]
    settings = load_settings("quick", [*overrides, *chosen])[0].of("simclr")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        encoder = pretrain(
            data.store, data.split, run / "encoder", method="simclr", settings=settings, seed=seed
        )
        features = Features(lambda: encoder, data.store, device_of(settings.run))
        facts = {"method": "simclr"}
        probe_stage(data, features, run / "probe", facts=facts, settings=settings, seed=seed)
        predictions = Predictions.load(run / "probe" / "predictions.parquet").of("test")
    draws = resample(predictions, draws=DRAWS).overall[:, METRICS.index("accuracy")]
    accuracy = float((predictions.predicted == predictions.labels).mean())
    print(f"seed {seed}, one image a group {aware}: {accuracy:.4f}", file=sys.stderr, flush=True)
    return accuracy, draws


if __name__ == "__main__":
    main()
