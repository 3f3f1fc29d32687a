"""Was the supervised baseline stopped too early? The same training, stopped early or not.

A fresh encoder's validation loss jumps while rates are high and settles as they fall. The baseline
is trained at each label fraction with a patience of 10 epochs, as the published study had it, and
to the end of its schedule. Figures are accuracies on the test set, one a training seed, and the
difference to the end minus stopped, in the mean over seeds, with the 95 % interval of the paired
cluster bootstrap.

    python benchmarks/patience.py runs/study/store --set finetune.epochs=15 --out patience.json
"""

import argparse
import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from brainssl.data.dataset import Data
from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.evaluation.comparison import compare_all
from brainssl.evaluation.metrics import evaluate
from brainssl.evaluation.predictions import Predictions
from brainssl.models.encoder import build_encoder
from brainssl.settings import load_settings
from brainssl.training.stages import finetune_stage

FRACTIONS = (0.05, 0.1, 0.25, 1.0)
STOPPED, ENDED = "patience of 10", "to the end"


def main() -> None:
    """Train every baseline and write the figures after each label fraction."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("store", type=Path, help="a prepared store")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="a setting, as in brainssl")
    arguments = parser.parse_args()
    store = ImageStore.open(arguments.store)
    overrides = [f"encoder.image_size={store.size}", *arguments.set]
    settings = load_settings("quick", overrides)[0]
    split = make_split(store.manifest, protocol="grouped", seed=0, **settings.split.model_dump())
    data = Data(store, split)
    result: dict[str, Any] = {
        "what": "accuracy of the supervised baseline on the test set, stopped early or not",
        "command": shlex.join(["python", *sys.argv]),
        "split": {"protocol": "grouped", "seed": 0, "digest": split.digest},
        "test_images": len(split.test),
        "seeds": arguments.seeds,
        "fractions": {},
    }
    patience = {STOPPED: 10, ENDED: settings.finetune.epochs}
    for fraction in FRACTIONS:
        models = {
            name: [
                trained(data, [*overrides, f"finetune.patience={epochs}"], fraction, seed)
                for seed in range(arguments.seeds)
            ]
            for name, epochs in patience.items()
        }
        (pair,) = compare_all(
            {name: models[name] for name in (ENDED, STOPPED)}, metrics=["accuracy"]
        )
        told = pair.to_dict()
        result["fractions"][f"{fraction:g}"] = {
            **{name: [accuracy(model) for model in own] for name, own in models.items()},
            "difference": told["difference"],
            "interval": told["interval"],
        }
        print(json.dumps(result["fractions"]), flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def trained(data: Data, overrides: list[str], fraction: float, seed: int) -> Predictions:
    """Train a baseline; return what it says of the test images."""
    settings = load_settings("quick", overrides)[0]
    encoder = build_encoder(**settings.encoder.model_dump(), seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        finetune_stage(
            data,
            encoder,
            out,
            facts={"method": "supervised", "stage": "supervised"},
            settings=settings,
            label_fraction=fraction,
            seed=seed,
        )
        return Predictions.load(out / "predictions.parquet").of("test")


def accuracy(model: Predictions) -> float:
    """Return the share of images that a model named rightly."""
    return round(evaluate(model.labels, model.probabilities())["accuracy"], 4)


if __name__ == "__main__":
    main()
