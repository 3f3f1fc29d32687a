"""What is a start worth as it is? Linear probes of encoders that never saw the collection.

Each start is an architecture, its weights and an image size. Its features are computed once, and a
linear probe is fitted in each grouped fold (the penalty by validation); predictions of all folds
are pooled. A table of scores with intervals, and the paired differences between the starts.

    python benchmarks/imagenet_lite0.py starts
    python benchmarks/frozen_starts.py data/mri44 --labels labels17.csv \
        --start resnet10t,random,48 \
        --start tf_efficientnet_lite0,starts/imagenet-lite0.safetensors,224 \
        --folds 3 --out results/frozen-starts.json
"""

import argparse
import json
import shlex
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from brainssl.data.dataset import Data
from brainssl.data.folds import make_folds
from brainssl.data.scan import scan
from brainssl.data.shots import label_fraction
from brainssl.data.store import ImageStore, prepare
from brainssl.evaluation.comparison import compare_all
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.rows import result_rows
from brainssl.hardware.device import device_of
from brainssl.settings import Settings, load_settings
from brainssl.studies.pooling import pool
from brainssl.studies.record import environment
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
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--label-fractions", default="0.1,1.0")
    parser.add_argument("--out", type=Path, required=True, help="JSON file; a folder beside it")
    arguments = parser.parse_args()
    fractions = [label_fraction(one) for one in arguments.label_fractions.split(",")]
    folder = arguments.out.with_suffix("")
    result: dict[str, Any] = {
        "what": "linear probes of frozen encoders that never saw the collection, pooled over folds",
        "command": shlex.join(["python", *sys.argv]),
        "protocol": "grouped",
        "folds": arguments.folds,
        "environment": environment(load_settings("quick", [])[0]),
        "rows": [],
        "comparisons": [],
    }
    models: dict[str, dict[str, Predictions]] = {}
    for told in arguments.start:
        name, weights, pixels = told.split(",")
        size = f"encoder.image_size={pixels}"
        overrides = [f"encoder.name={name}", f"encoder.weights={weights}", size]
        settings = load_settings("quick", overrides)[0]
        store = stored(arguments.source, arguments.labels, folder / f"store-{pixels}", settings)
        rows, own = probed(store, settings, fractions, arguments.folds, folder / told_name(told))
        for row in rows:
            result["rows"].append({"architecture": name, "weights": Path(weights).name, **row})
            print(told, row["label_fraction"], row["metrics"]["accuracy"], flush=True)
        for fraction, predictions in own.items():
            models.setdefault(fraction, {})[told_name(told)] = predictions
    for fraction, compared in models.items():
        pairs = compare_all({key: [one] for key, one in compared.items()}, metrics=COMPARED)
        result["comparisons"] += [{"label_fraction": fraction, **p.to_dict()} for p in pairs]
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def told_name(told: str) -> str:
    """Return a start's name for folders and comparisons."""
    name, weights, pixels = told.split(",")
    return f"{name}-{Path(weights).stem}-{pixels}"


def stored(source: Path, labels: Path | None, path: Path, settings: Settings) -> ImageStore:
    """Return the collection at one size, prepared once."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        prepare(scan(source, labels=labels), path, size=settings.encoder.image_size)
    return ImageStore.open(path)


def probed(
    store: ImageStore, settings: Settings, fractions: list[Any], folds: int, folder: Path
) -> tuple[list[dict[str, Any]], dict[str, Predictions]]:
    """Return the rows of a start's pooled predictions, and the predictions by label fraction."""
    share = settings.split.val_fraction
    splits = make_folds(store.manifest, folds=folds, seed=0, val_fraction=share)
    started, device = time.perf_counter(), device_of(settings.run)
    parts: dict[str, list[Predictions]] = {}
    # Published weights are as they are; drawn ones have their statistics from each fold's images.
    fixed = settings.encoder.weights != "random"
    features = None
    for number, split in enumerate(splits, start=1):
        data = Data(store, split)
        if features is None or not fixed:
            load = partial(untrained_encoder, data, settings, 0)
            features = Features(load, store, device)
        for fraction in fractions:
            out = folder / f"k{number}-f{fraction:g}"
            if not out.is_dir():
                facts = {"method": "untrained"}
                probe_stage(
                    data, features, out, facts=facts, settings=settings, label_fraction=fraction
                )
            own = Predictions.load(out / "predictions.parquet")
            parts.setdefault(f"{fraction:g}", []).append(own)
    rows, pooled = [], {}
    for fraction, own_parts in parts.items():
        pooled[fraction] = pool(own_parts).of("test")
        about: dict[str, Any] = {
            "label_fraction": fraction,
            "image_size": settings.encoder.image_size,
            "digests": [split.digest[:12] for split in splits],
            "groups": len(set(pooled[fraction].groups.tolist())),
            "seconds": round(time.perf_counter() - started, 1),
        }
        row = result_rows(pooled[fraction], about, settings.evaluation)[0]
        for key in ("metrics", "intervals"):
            row[key] = {name: row[key][name] for name in METRICS}
        del row["per_class"]
        rows.append({key: row[key] for key in (*about, "n", "metrics", "intervals")})
    return rows, pooled


if __name__ == "__main__":
    main()
