"""How long should fine-tuning wait for a better validation loss? Chosen without the test set.

A fresh encoder's validation loss jumps while rates are high and settles as they fall. The
supervised baseline is trained with several patiences, and to its end. The test set of the split
is set aside before anything is drawn; the rest is divided anew into images that train, that choose
the epoch, and that judge the patience. Figures are of those that judge: accuracies and NLL, one a
training seed, and the difference in accuracy to the end minus stopped, in the mean over seeds,
with the 95 % interval of the paired cluster bootstrap.

    python benchmarks/patience.py stores/phantom-48 --set encoder.name=resnet10t --out patience.json
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
from brainssl.settings import Settings, load_settings
from brainssl.training.stages import finetune_stage

FRACTIONS = (0.1, 1.0)
PATIENCES = (10,)
ENDED = "to the end"


def main() -> None:
    """Train every baseline and write the figures after each label fraction."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("stores", nargs="+", type=Path, help="prepared stores")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="a setting, as in brainssl")
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "what": "the supervised baseline on images that judge, by its patience; no test image",
        "command": shlex.join(["python", *sys.argv]),
        "seeds": arguments.seeds,
        "stores": {},
    }
    for path in arguments.stores:
        store = ImageStore.open(path)
        overrides = [f"encoder.image_size={store.size}", *arguments.set]
        data = without_test(store, load_settings("quick", overrides)[0])
        own: dict[str, Any] = {"split": data.split.digest, "judging": len(data.split.test)}
        result["stores"][path.name] = own
        for fraction in FRACTIONS:
            own[f"{fraction:g}"] = of_fraction(data, overrides, fraction, arguments.seeds)
            print(json.dumps({path.name: own}), flush=True)
            if arguments.out:
                arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def without_test(store: ImageStore, settings: Settings) -> Data:
    """Set the test set of split seed 0 aside, and divide the rest: its test set is what judges."""
    shares = settings.split.model_dump()
    outer = make_split(store.manifest, protocol="grouped", seed=0, **shares)
    left = store.manifest[~store.manifest["image_id"].isin(outer.test)]
    return Data(store, make_split(left, protocol="grouped", seed=0, **shares))


def of_fraction(data: Data, overrides: list[str], fraction: float, seeds: int) -> dict[str, Any]:
    """Return the figures of one label fraction."""
    waits = {f"patience of {epochs}": [f"finetune.patience={epochs}"] for epochs in PATIENCES}
    waits[ENDED] = ["finetune.patience=1000"]
    models = {
        name: [trained(data, [*overrides, *wait], fraction, seed) for seed in range(seeds)]
        for name, wait in waits.items()
    }
    told: dict[str, Any] = {name: [figures(one) for one in own] for name, own in models.items()}
    for name in list(waits)[:-1]:
        pairs = {ENDED: models[ENDED], name: models[name]}
        (pair,) = compare_all(pairs, metrics=["accuracy"])
        compared = pair.to_dict()
        told[f"{ENDED} minus {name}"] = {key: compared[key] for key in ("difference", "interval")}
    return told


def trained(data: Data, overrides: list[str], fraction: float, seed: int) -> Predictions:
    """Train a baseline; return what it says of the images that judge."""
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


def figures(model: Predictions) -> dict[str, float]:
    """Return accuracy and NLL of a model."""
    found = evaluate(model.labels, model.probabilities())
    return {name: round(found[name], 4) for name in ("accuracy", "nll")}


if __name__ == "__main__":
    main()
