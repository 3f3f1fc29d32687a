"""How near do splits and label fractions come to what is asked of them?

Of each class, the images and the groups of validation and test are set against their shares, with
groups counted by the division and without. Of label fractions of one training set: the share and
the groups that they come to, and how far the class furthest from its proportion is.

    python benchmarks/division.py stores/mri44-48 --out results/division-mri44.json
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from brainssl.data import allotment
from brainssl.data.label_fractions import label_subset
from brainssl.data.split import PARTS, Split, make_split
from brainssl.data.store import ImageStore

SHARES = np.array([0.8, 0.1, 0.1])
FRACTIONS = (0.05, 0.1, 0.25)


def main() -> None:
    """Divide the images of a store and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("store", type=Path, help="a prepared store")
    parser.add_argument("--splits", type=int, default=3, help="splits, of seeds 0, 1, ...")
    parser.add_argument("--seeds", type=int, default=8, help="draws of labels of the first split")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    manifest = ImageStore.open(arguments.store).manifest
    labelled = manifest[manifest["label"].notna()]
    seeds = range(arguments.splits)
    splits = [make_split(manifest, seed=seed) for seed in seeds]
    with mock.patch.object(allotment, "_GROUPS", 1e-9):
        without = [make_split(manifest, seed=seed) for seed in seeds]
    result = {
        "what": "how near splits and label fractions come to what is asked of them",
        "command": shlex.join(["python", *sys.argv]),
        "protocol": "grouped",
        "images": len(labelled),
        "groups": int(labelled["group"].nunique()),
        "splits": {
            "groups counted": missed(labelled, splits),
            "images alone": missed(labelled, without),
        },
        "label_fractions": {
            f"{fraction:g}": share(manifest, splits[0], fraction, arguments.seeds)
            for fraction in FRACTIONS
        },
    }
    print(json.dumps(result, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def missed(labelled: pd.DataFrame, splits: Sequence[Split]) -> dict[str, Any]:
    """Return by how much of its share a class misses validation and test, in the mean."""
    images: list[float] = []
    groups: list[float] = []
    for split in splits:
        part = labelled["image_id"].map({one: name for name in PARTS for one in split.ids(name)})
        own = labelled.assign(part=part)
        whole = own.drop_duplicates(["group", "label"])
        for frame, found in ((own, images), (whole, groups)):
            counts = pd.crosstab(frame["label"], frame["part"])[list(PARTS)].to_numpy(float)
            aim = counts.sum(axis=1, keepdims=True) * SHARES
            found.append(float((np.abs(counts - aim) / aim)[:, 1:].mean()))
    return {
        "digests": [split.digest[:12] for split in splits],
        "images": round(fmean(images), 3),
        "groups": round(fmean(groups), 3),
    }


def share(manifest: pd.DataFrame, split: Split, fraction: float, seeds: int) -> dict[str, float]:
    """Return what a fraction comes to, in the mean over draws."""
    train = manifest.iloc[split.indices(manifest, "train")]
    proportions = train["label"].value_counts(normalize=True)
    shares, groups, furthest = [], [], []
    for seed in range(seeds):
        own = manifest.iloc[label_subset(manifest, split, fraction, seed=seed)]
        shares.append(len(own) / len(train))
        groups.append(own["group"].nunique())
        apart = own["label"].value_counts(normalize=True).reindex(proportions.index, fill_value=0)
        furthest.append(float((apart - proportions).abs().max()))
    return {
        "share": round(fmean(shares), 4),
        "groups": round(fmean(groups), 1),
        "furthest_class": round(fmean(furthest), 4),
    }


if __name__ == "__main__":
    main()
