"""How much narrower are intervals of differences where every group is tested?

Classical baselines are fitted under several single splits, and in folds of the same stores. They
reach their optimum in either case, so that time does not tell the two apart. Figures are, over all
pairs of baselines, the mean width of the 95 % interval of their difference, in points, and how many
groups were tested.

    python benchmarks/folds.py stores/mri44-48 stores/phantom-48 --out results/folds-2cores.json
"""

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from brainssl.data.dataset import Data
from brainssl.data.folds import make_folds
from brainssl.data.split import Split, make_split
from brainssl.data.store import ImageStore
from brainssl.evaluation.comparison import compare_all
from brainssl.evaluation.predictions import Predictions
from brainssl.settings import Settings, load_settings
from brainssl.studies.pooling import pool
from brainssl.training.classical import FAMILIES
from brainssl.training.classical.features import HandMade
from brainssl.training.classical.stage import classical_stage

METRICS = ("accuracy", "f1_macro")


def main() -> None:
    """Measure each store and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("stores", nargs="+", type=Path, help="prepared stores")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--splits", type=int, default=5, help="single splits, of seeds 0, 1, ...")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "what": "width of 95 % intervals of differences between classical baselines, in points",
        "command": shlex.join(["python", *sys.argv]),
        "protocol": "grouped",
        "label_fraction": 1.0,
        "folds": arguments.folds,
        "stores": {},
    }
    for path in arguments.stores:
        own = measured(ImageStore.open(path), arguments.folds, arguments.splits)
        result["stores"][path.name] = own
        print(json.dumps({path.name: own}), flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def measured(store: ImageStore, folds: int, splits: int) -> dict[str, Any]:
    """Return widths and groups tested of one store, by single splits and by folds."""
    settings = load_settings("quick", [f"encoder.image_size={store.size}"])[0]
    features = HandMade(store)
    shares = settings.split.model_dump()
    singles = [
        [make_split(store.manifest, protocol="grouped", seed=seed, **shares)]
        for seed in range(splits)
    ]
    divided = [make_folds(store.manifest, folds=folds, val_fraction=shares["val_fraction"])]
    return {
        "images": int((store.labels >= 0).sum()),
        "one_split": told([models(store, features, own, settings) for own in singles], singles),
        "folds": told([models(store, features, own, settings) for own in divided], divided),
    }


def models(
    store: ImageStore, features: HandMade, splits: Sequence[Split], settings: Settings
) -> dict[str, Predictions]:
    """Return what each baseline says of the test sets of all splits."""
    found = {}
    for family in FAMILIES:
        parts = []
        for split in splits:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder, "out")
                classical_stage(Data(store, split), features, out, family=family, settings=settings)
                parts.append(Predictions.load(out / "predictions.parquet"))
        found[family] = pool(parts).of("test")
    return found


def told(
    found: Sequence[dict[str, Predictions]], splits: Sequence[Sequence[Split]]
) -> dict[str, Any]:
    """Return mean widths over pairs and repetitions, and how much was tested."""
    pairs = [
        pair
        for own in found
        for pair in compare_all({name: [one] for name, one in own.items()}, metrics=METRICS)
    ]
    tested = [next(iter(own.values())) for own in found]
    return {
        "digests": [split.digest[:12] for own in splits for split in own],
        "test_images": fmean(len(one) for one in tested),
        "test_groups": fmean(len(set(one.groups.tolist())) for one in tested),
        "width": {
            metric: round(
                100 * fmean(p.interval[1] - p.interval[0] for p in pairs if p.metric == metric), 2
            )
            for metric in METRICS
        },
        "told_apart": {
            metric: round(
                fmean(not p.interval[0] <= 0 <= p.interval[1] for p in pairs if p.metric == metric),
                2,
            )
            for metric in METRICS
        },
        "accuracy": {
            name: round(100 * fmean(accuracy(own[name]) for own in found), 1) for name in found[0]
        },
    }


def accuracy(model: Predictions) -> float:
    """Return the share of images that are named rightly."""
    return float((model.predicted == model.labels).mean())


if __name__ == "__main__":
    main()
