"""Are labels that were made wrong on purpose found, and their share estimated?

A tenth of the labels of a store is flipped to another class: of whole groups (one label was wrong
for all slices of a patient) or of single images, each drawn anew by the seed. Hand-made features
are classified in folds of the flipped labels, so that no classifier has learnt those of its test
groups; LDA, SVM and nearest neighbours, chosen and calibrated on flipped validation labels, are
asked in the mean, as `brainssl review` asks the models of a study. Figures are of the ranking by
score: precision among the first 20, 50 and 100, precision (which is recall, too) among as many as
were flipped, and the estimated beside the true share.

    python benchmarks/review.py stores/phantom-64 --out results/review-phantom.json
"""

import argparse
import json
import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from brainssl.data.dataset import Data
from brainssl.data.folds import make_folds
from brainssl.data.store import ImageStore
from brainssl.evaluation.ensemble import ensemble
from brainssl.evaluation.label_errors import candidates, confident_joint, scores, wrong_shares
from brainssl.evaluation.predictions import Predictions
from brainssl.settings import load_settings
from brainssl.studies.review import calibrated
from brainssl.training.classical.features import HandMade
from brainssl.training.classical.stage import classical_stage

ASKED = ("lda", "svm", "knn")
FLIPPED = 0.1
FIRST = (20, 50, 100)
DRAWS = 1000


def main() -> None:
    """Flip labels of a store in both ways, look for them, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("store", type=Path, help="prepared store")
    parser.add_argument("--column", default="label", help="what is classified: label, sequence")
    parser.add_argument("--seeds", type=int, default=3, help="of the flips: 0, 1, ...")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    store = ImageStore.open(arguments.store)
    store = replace(store, manifest=store.manifest.assign(label=store.manifest[arguments.column]))
    features = HandMade(store)
    rows: list[dict[str, Any]] = []
    # Without flips, what is found is what the models get wrong.
    cases = [("none", 0)] + [
        (by, seed) for by in ("group", "image") for seed in range(arguments.seeds)
    ]
    for by, seed in cases:
        row = {"by": by, "seed": seed}
        row |= measured(store, features, by, seed, arguments.folds)
        rows.append(row)
        print(json.dumps(row), flush=True)
    result = {
        "what": "labels flipped on purpose, and those found by confident learning out of fold",
        "command": shlex.join(["python", *sys.argv]),
        "store": {
            "classified": arguments.column,
            "images": int((store.labels >= 0).sum()),
            "groups": int(store.manifest["group"].nunique()),
            "classes": len(store.classes),
            "size": store.size,
        },
        "models": list(ASKED),
        "folds": arguments.folds,
        "flipped": FLIPPED,
        "draws": DRAWS,
        "rows": rows,
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def measured(
    store: ImageStore, features: HandMade, by: str, seed: int, folds: int
) -> dict[str, Any]:
    """Return what is found of the labels that were flipped."""
    labels, wrong = flipped(store, by, seed)
    names = np.array([*store.classes, None], object)
    other = replace(store, manifest=store.manifest.assign(label=names[labels]))
    said = asked(other, features, folds)
    place = {name: at for at, name in enumerate(store.manifest["image_id"])}
    rows = [place[name] for name in said.frame["image_id"]]
    hit, true = wrong[rows], store.labels[rows]
    p = said.probabilities()
    order = np.argsort(-scores(p, said.labels), kind="stable")
    found = candidates(confident_joint(p, said.labels, said.groups), p, said.labels)
    by_images = confident_joint(p, said.labels, np.arange(len(p)))
    whole, _ = wrong_shares(p, said.labels, said.groups, draws=DRAWS)
    taken, flips = found >= 0, int(hit.sum())
    return {
        "accuracy_on_true_labels": rounded((said.predicted == true).mean()),
        "flipped": flips,
        "precision": {str(n): rounded(hit[order[:n]].mean()) for n in FIRST},
        "at_flipped": rounded(hit[order[:flips]].mean()) if flips else None,
        "candidates": int(taken.sum()),
        "precision_of_candidates": rounded(hit[taken].mean()) if taken.any() else None,
        "recall_of_candidates": rounded(taken[hit].mean()) if flips else None,
        "suggested_rightly": rounded((found == true)[hit & taken].mean()) if flips else None,
        "true_share": rounded(hit.mean()),
        "estimated_share": None if whole.share is None else rounded(whole.share),
        "interval": None if whole.interval is None else [rounded(one) for one in whole.interval],
        "estimated_by_images": rounded(1 - np.trace(by_images.joint) / len(p)),
    }


def flipped(store: ImageStore, by: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of which a share is another class, and which those are.

    By group, the images of one label within a group all get the same other label.
    """
    rng = np.random.default_rng(seed)
    labels, groups = store.labels.copy(), store.manifest["group"].to_numpy()
    known, classes = np.flatnonzero(labels >= 0), len(store.classes)
    share = {"none": 0.0}.get(by, FLIPPED)
    unit = known if by != "group" else groups[known] * classes + labels[known]
    goal, wrong = round(share * len(known)), np.zeros(len(labels), bool)
    for one in rng.permutation(np.unique(unit)):
        if wrong.sum() >= goal:
            break
        rows = known[unit == one]
        labels[rows] = (labels[rows] + rng.integers(1, classes)) % classes
        wrong[rows] = True
    return labels, wrong


def asked(store: ImageStore, features: HandMade, folds: int) -> Predictions:
    """Return the mean of what the classifiers say of all images, each out of its fold."""
    settings = load_settings("quick", [f"encoder.image_size={store.size}"])[0]
    parts = []
    val = settings.split.val_fraction
    for split in make_folds(store.manifest, folds=folds, val_fraction=val):
        members = []
        for family in ASKED:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder, "out")
                classical_stage(Data(store, split), features, out, family=family, settings=settings)
                members.append(calibrated(Predictions.load(out / "predictions.parquet"))[0])
        parts.append(ensemble(members))
    return Predictions.joined(parts)


def rounded(value: float) -> float:
    """Return a share with three digits."""
    return round(float(value), 3)


if __name__ == "__main__":
    main()
