"""What limits accuracy on a collection: its labels, how many groups it has, its pixels?

Labels: images that are the same to the last pixel, filed twice, were labelled twice. If each label
is wrong with probability e, independently, and then any other of K classes, two of them differ with
probability q = 2e − e² K / (K − 1), and what predicts every truth scores 1 − e against such labels.
The 95 % interval is the bootstrap's over sets of copies. It is of copies alone, of which somebody
may have noticed some.

Groups: scores of frozen encoders (`frozen_starts.py`, several label fractions) against the base-2
logarithm of the fraction, by least squares over the fractions: points for each doubling of the
labels, which are drawn by whole groups. The same draw of groups resamples all fractions. How many
doublings a goal lies above the score with all labels is an extrapolation, and is called one.

    python benchmarks/ceiling.py data/mri44 --labels data/labels17.csv \
        --curves scratch/frozen-sizes.json --goal 0.6 --out results/ceiling-mri44.json
"""

import argparse
import json
import math
import shlex
import sys
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from brainssl.data.families import Families, pairs_of
from brainssl.data.scan import Scan, scan
from brainssl.evaluation.intervals import percentile_intervals, resample
from brainssl.evaluation.metrics import METRICS
from brainssl.evaluation.predictions import Predictions
from brainssl.studies.pooling import pool

DRAWS = 2000
SCORE = METRICS.index("accuracy")


def main() -> None:
    """Estimate each limit and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("source", type=Path, help="folder of images")
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--curves", type=Path, help="JSON of frozen_starts.py, its folder beside")
    parser.add_argument("--goal", type=float, default=0.6, help="accuracy that is hoped for")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    found = scan(arguments.source, labels=arguments.labels)
    result: dict[str, Any] = {
        "what": "what limits accuracy: labels that differ between copies, and the number of groups",
        "command": shlex.join(["python", *sys.argv]),
        "images": len(found.manifest),
        "groups": int(found.manifest["group"].nunique()),
        "copies": copies(found.manifest, found.families),
        "near_duplicates": near_duplicates(found),
        "goal": arguments.goal,
        "curves": curves(arguments.curves, arguments.goal) if arguments.curves else {},
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


def copies(manifest: pd.DataFrame, families: Families | None) -> dict[str, Any]:
    """Return how often identical images bear different labels, and what that says of labels."""
    labelled = manifest[manifest["label"].notna()]
    sets = [own["label"].tolist() for _, own in labelled.groupby("pixels") if len(own) > 1]
    told: dict[str, Any] = {"sets": len(sets)}
    for name in ("label", "family"):
        shown = [[_shown(label, name, families) for label in own] for own in sets]
        kinds = {_shown(label, name, families) for label in labelled["label"].unique()}
        told[name] = _disagreement(shown, len(kinds))
    return told


def _shown(label: str, name: str, families: Families | None) -> str:
    return label if name == "label" else pairs_of([label], families)[0][0]


def _disagreement(sets: list[list[str]], classes: int) -> dict[str, Any]:
    """Return the share of pairs that differ, and the accuracy that such labels allow."""
    pairs = np.array([math.comb(len(own), 2) for own in sets], np.float64)
    differ = np.array([sum(a != b for a, b in combinations(own, 2)) for own in sets], np.float64)
    drawn = np.random.default_rng(0).integers(len(sets), size=(DRAWS, len(sets)))
    shares = differ[drawn].sum(axis=1) / pairs[drawn].sum(axis=1)
    low, high = percentile_intervals(shares[:, None], 0.95)[0]
    share = float(differ.sum() / pairs.sum())
    return {
        "pairs": int(pairs.sum()),
        "differ": share,
        "interval": [low, high],
        "allowed": allowed(share, classes),
        "allowed_interval": [allowed(high, classes), allowed(low, classes)],
    }


def allowed(differ: float, classes: int) -> float:
    """Return 1 − e, where two labels that are wrong with probability e differ so often."""
    ratio = classes / (classes - 1)
    return 1 - (1 - math.sqrt(max(0.0, 1 - ratio * differ))) / ratio


def near_duplicates(found: Scan) -> dict[str, Any]:
    """Return how often near-duplicates, which may be neighbours, are of different families."""
    labels, near = found.manifest["label"].to_numpy(object), found.pairs.near()
    counts: dict[str, list[bool]] = defaultdict(list)
    for left, right in zip(near.left, near.right, strict=True):
        pair = labels[left], labels[right]
        if all(isinstance(one, str) for one in pair):
            counts["label"].append(pair[0] != pair[1])
            one, other = pairs_of(pair, found.families)
            counts["family"].append(one[0] != other[0])
    return {"pairs": len(counts["label"])} | {
        f"{name}_differs": float(np.mean(values)) for name, values in counts.items()
    }


def curves(file: Path, goal: float) -> dict[str, Any]:
    """Return for each frozen encoder its scores by label fraction, and points a doubling."""
    told = {}
    for folder in sorted(path for path in file.with_suffix("").iterdir() if path.is_dir()):
        folds: dict[float, list[Predictions]] = defaultdict(list)
        for step in sorted(folder.glob("k*-f*")):
            fraction = float(step.name.partition("-f")[2])
            folds[fraction].append(Predictions.load(step / "predictions.parquet"))
        if len(folds) > 2:
            told[folder.name] = curve({f: pool(own).of("test") for f, own in folds.items()}, goal)
    return told


def curve(models: dict[float, Predictions], goal: float) -> dict[str, Any]:
    """Return scores of one encoder by label fraction, and what a doubling brings."""
    fractions = sorted(models)
    drawn = [resample(models[one], draws=DRAWS).overall[:, SCORE] for one in fractions]
    scores = [float((models[f].logits.argmax(1) == models[f].labels).mean()) for f in fractions]
    doublings = np.log2(fractions)
    slope, slopes = steepness(doublings, np.array(scores)), steepness(doublings, np.stack(drawn, 1))
    needed = (goal - np.stack(drawn, 1)[:, -1]) / slopes
    return {
        "label_fractions": fractions,
        "accuracy": scores,
        "a_doubling": float(slope),
        "a_doubling_interval": percentile_intervals(slopes[:, None], 0.95)[0],
        "doublings_to_the_goal": float((goal - scores[-1]) / slope),
        "doublings_interval": percentile_intervals(needed[:, None], 0.95)[0],
    }


def steepness(
    doublings: Float64[np.ndarray, " f"], scores: Float64[np.ndarray, "*draws f"]
) -> Float64[np.ndarray, "*draws"]:
    """Return the slope of the line of least squares, of each draw."""
    centred = doublings - doublings.mean()
    return np.asarray(scores @ centred / (centred @ centred))


if __name__ == "__main__":
    main()
