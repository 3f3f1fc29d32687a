"""What is a start worth as it is, and after self-supervision on the collection?

Each start is an architecture, its weights and an image size. A linear probe is fitted on its frozen
features in each grouped fold (the penalty by validation); with `--methods`, also after each method
went on from the start on the training images of that fold, labels aside. Predictions of all folds
are pooled. A table of scores with intervals, and the paired differences between all of them. What
is done is kept in a folder beside the JSON file.

    python benchmarks/imagenet_lite0.py starts
    python benchmarks/frozen_starts.py data/mri44 --labels labels17.csv \
        --start resnet10t,random,48 \
        --start tf_efficientnet_lite0,starts/imagenet-lite0.safetensors,224 \
        --folds 3 --out results/frozen-starts.json
    python benchmarks/frozen_starts.py data/mri44 --labels labels17.csv --methods simclr \
        --start tf_efficientnet_lite0,starts/imagenet-lite0.safetensors,64 \
        --set pretrain.epochs=8 --out continued.json
"""

import argparse
import json
import shlex
import sys
import time
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from brainssl.data.dataset import Data
from brainssl.data.folds import make_folds
from brainssl.data.prepare import prepare
from brainssl.data.scan import scan
from brainssl.data.shots import label_fraction
from brainssl.data.store import ImageStore
from brainssl.evaluation.comparison import compare_all
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.rows import result_rows
from brainssl.hardware.device import device_of
from brainssl.models.encoder import Encoder, load_encoder
from brainssl.settings import Settings, load_settings
from brainssl.studies.pooling import pool
from brainssl.studies.record import environment
from brainssl.training.pretrain import pretrain
from brainssl.training.stages import Features, probe_stage
from brainssl.training.untrained import untrained_encoder

METRICS = ("accuracy", "balanced_accuracy", "f1_macro", "auroc_macro", "nll")
COMPARED = ("accuracy", "f1_macro")


def main() -> None:
    """Probe each start and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("source", type=Path, help="folder of images")
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--start", action="append", required=True, help="NAME,WEIGHTS,PIXELS")
    parser.add_argument("--methods", default="", help="that go on from each start, comma-separated")
    parser.add_argument("--set", action="append", default=[], help="a setting, as in brainssl")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--label-fractions", default="0.1,1.0")
    parser.add_argument("--out", type=Path, required=True, help="JSON file; a folder beside it")
    arguments = parser.parse_args()
    fractions = [label_fraction(one) for one in arguments.label_fractions.split(",")]
    folder = arguments.out.with_suffix("")
    result: dict[str, Any] = {
        "what": "linear probes of frozen encoders, pooled over folds",
        "command": shlex.join(["python", *sys.argv]),
        "protocol": "grouped",
        "folds": arguments.folds,
        "environment": environment(load_settings("quick", [])[0]),
        "rows": [],
        "comparisons": [],
    }
    models: dict[str, dict[str, Predictions]] = {}
    methods = ["", *filter(None, arguments.methods.split(","))]
    for told, method in product(arguments.start, methods):
        name, weights, pixels = told.split(",")
        size = f"encoder.image_size={pixels}"
        own = [f"encoder.name={name}", f"encoder.weights={weights}", size, *arguments.set]
        settings = load_settings("quick", own)[0]
        store = stored(arguments.source, arguments.labels, folder / f"store-{pixels}", settings)
        title = told_name(told, method)
        bench = Bench(store, settings, fractions, arguments.folds, method, folder / title)
        rows, pooled = bench.probed()
        for row in rows:
            about = {"architecture": name, "weights": Path(weights).name, "method": method}
            result["rows"].append({**about, **row})
            print(title, row["label_fraction"], row["metrics"]["accuracy"], flush=True)
        for fraction, predictions in pooled.items():
            models.setdefault(fraction, {})[title] = predictions
    for fraction, compared in models.items():
        pairs = compare_all({key: [one] for key, one in compared.items()}, metrics=COMPARED)
        result["comparisons"] += [{"label_fraction": fraction, **p.to_dict()} for p in pairs]
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def told_name(told: str, method: str) -> str:
    """Return a start's name, after a method or as it is, for folders and comparisons."""
    name, weights, pixels = told.split(",")
    return "-".join(filter(None, (method, name, Path(weights).stem, pixels)))


def stored(source: Path, labels: Path | None, path: Path, settings: Settings) -> ImageStore:
    """Return the collection at one size, prepared once."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        prepare(scan(source, labels=labels), path, size=settings.encoder.image_size)
    return ImageStore.open(path)


@dataclass(frozen=True)
class Bench:
    """One start, after a method or as it is (empty)."""

    store: ImageStore
    settings: Settings
    fractions: list[Any]
    folds: int
    method: str
    folder: Path

    def probed(self) -> tuple[list[dict[str, Any]], dict[str, Predictions]]:
        """Return the rows of its pooled predictions, and the predictions by label fraction."""
        store, share = self.store, self.settings.split.val_fraction
        splits = make_folds(store.manifest, folds=self.folds, seed=0, val_fraction=share)
        started, device = time.perf_counter(), device_of(self.settings.run)
        parts: dict[str, list[Predictions]] = {}
        # Published weights are as they are; drawn ones have their statistics from a fold's images.
        fixed = self.settings.encoder.weights != "random" and not self.method
        features = None
        for number, split in enumerate(splits, start=1):
            data = Data(store, split)
            if features is None or not fixed:
                features = Features(partial(self.encoder, data, number), store, device)
            for fraction in self.fractions:
                out = self.folder / f"k{number}-f{fraction:g}"
                if not out.is_dir():
                    facts = {"method": self.method or "untrained"}
                    own = {"settings": self.settings, "label_fraction": fraction}
                    probe_stage(data, features, out, facts=facts, **own)
                predicted = Predictions.load(out / "predictions.parquet")
                parts.setdefault(f"{fraction:g}", []).append(predicted)
        pooled = {fraction: pool(own_parts).of("test") for fraction, own_parts in parts.items()}
        about: dict[str, Any] = {
            "image_size": self.settings.encoder.image_size,
            "digests": [split.digest[:12] for split in splits],
            "seconds": round(time.perf_counter() - started, 1),
        }
        return [self.row(own, {"label_fraction": f, **about}) for f, own in pooled.items()], pooled

    def encoder(self, data: Data, number: int) -> Encoder:
        """Return the start, after the method where there is one."""
        if not self.method:
            return untrained_encoder(data, self.settings, 0)
        out = self.folder / f"encoder-k{number}"
        if not out.is_dir():
            pretrain(data.store, data.split, out, method=self.method, settings=self.settings)
        return load_encoder(out)

    def row(self, pooled: Predictions, about: dict[str, Any]) -> dict[str, Any]:
        """Return the scores of pooled predictions."""
        about["groups"] = len(set(pooled.groups.tolist()))
        row = result_rows(pooled, about, self.settings.evaluation)[0]
        for key in ("metrics", "intervals"):
            row[key] = {name: row[key][name] for name in METRICS}
        return {key: row[key] for key in (*about, "n", "metrics", "intervals")}


if __name__ == "__main__":
    main()
