"""How far do classifiers of before deep learning come, and how long do they take?

A decision tree, LDA, SVM and nearest neighbours on hand-made features (grey-level co-occurrence,
local binary patterns, HOG) learn a share of the training labels of one grouped split; validation
chooses everything that they leave open. Figures are accuracy and macro F1 on the test set with the
95 % interval of the cluster bootstrap, and the seconds of each step with its measuring.

    python benchmarks/classical.py stores/mri44-96 --out results/classical-mri44.json
"""

import argparse
import json
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from brainssl.data.dataset import Data
from brainssl.data.split import PARTS, make_split
from brainssl.data.store import ImageStore
from brainssl.settings import Settings, load_settings
from brainssl.training.classical import FAMILIES
from brainssl.training.classical.features import HandMade
from brainssl.training.classical.stage import classical_stage

FRACTIONS = (0.1, 1.0)
SHOWN = ("accuracy", "f1_macro")


def main() -> None:
    """Describe the images, fit every family at each label fraction and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("store", type=Path, help="a prepared store")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of labels")
    parser.add_argument("--set", action="append", default=[], help="a setting, as in brainssl")
    arguments = parser.parse_args()
    store = ImageStore.open(arguments.store)
    settings = load_settings("quick", [f"encoder.image_size={store.size}", *arguments.set])[0]
    split = make_split(store.manifest, protocol="grouped", seed=0, **settings.split.model_dump())
    data = Data(store, split)
    features = HandMade(store)
    started, used = time.perf_counter(), os.times()
    dim = features.vectors.shape[1]
    result: dict[str, Any] = {
        "what": "classical baselines on hand-made features, on the test set of a grouped split",
        "command": shlex.join(["python", *sys.argv]),
        "split": {"protocol": "grouped", "seed": 0, "digest": split.digest},
        "images": {part: len(split.ids(part)) for part in PARTS},
        "image_size": store.size,
        "seed": arguments.seed,
        "draws": settings.evaluation.draws,
        "features": {
            "images": int((store.labels >= 0).sum()),
            "numbers": dim,
            "seconds": round(time.perf_counter() - started, 1),
            "processor_seconds": round(sum(os.times()[:4]) - sum(used[:4]), 1),
        },
        "fractions": {},
    }
    for fraction in FRACTIONS:
        own = result["fractions"][f"{fraction:g}"] = {}
        for family in FAMILIES:
            own[family] = measured(data, features, family, fraction, arguments.seed, settings)
            print(json.dumps({f"{fraction:g}": {family: own[family]}}), flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def measured(
    data: Data, features: HandMade, family: str, fraction: float, seed: int, settings: Settings
) -> dict[str, Any]:
    """Fit one baseline; return its scores on test, what was chosen, and what it took."""
    used = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        rows = classical_stage(
            data,
            features,
            Path(folder) / "step",
            family=family,
            settings=settings,
            label_fraction=fraction,
            seed=seed,
        )
    by_split = {row["split"]: row for row in rows}
    test = by_split["test"]
    return {
        "learnt": by_split["train"]["n"],
        "chosen": test["chosen"],
        "val_f1_macro": round(by_split["val"]["metrics"]["f1_macro"], 4),
        **{name: round(test["metrics"][name], 4) for name in SHOWN},
        "intervals": {name: [round(end, 4) for end in test["intervals"][name]] for name in SHOWN},
        "seconds": test["seconds"],
        "processor_seconds": round(time.process_time() - used, 2),
    }


if __name__ == "__main__":
    main()
