"""Which changed copies of a slice are put into its group, and whom that joins wrongly.

    python benchmarks/turned_copies.py results/turned-copies-2cores.json FOLDER ...

Each folder is a source; a phantom of `brainssl phantom` has patients, so that wrong pairs can be
counted. Of other folders every second image is taken, the odd ones: constants were chosen on the
even ones and on a phantom of another seed. Of 300 images a copy of each kind is added, kind by
kind, and counted with the search for turned copies and without. Without a folder the processor's
seconds are measured among generated fingerprints.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from jaxtyping import Float16, Float32, Int64
from near_duplicates import generated, machine, pairs_within
from scipy.ndimage import rotate

from brainssl.data import duplicates, turned
from brainssl.data.duplicates import Pairs, fingerprint, near_pairs
from brainssl.data.groups import group_slices
from brainssl.data.layout import read_layout
from brainssl.data.read import read_slice
from brainssl.data.store import letterbox
from brainssl.views.recipes import augment_table2

COPIES = 300
SIZES = (3_125, 6_250, 12_500)

Picture = Float32[np.ndarray, "h w"]
Prints = Float16[np.ndarray, "n 2 s s"]


def turned_by(pixels: Picture, degrees: float) -> Picture:
    """Turn a slice and fill its corners with air."""
    air = float(np.percentile(pixels, 5))
    result: Picture = np.asarray(
        rotate(pixels, degrees, reshape=False, order=1, cval=air), np.float32
    )
    return result


def table2(pixels: Picture, generator: np.random.Generator) -> Picture:
    """Draw a version as in the study's Table 2, of 128 px."""
    stored = letterbox(pixels, 128)[None]
    drawn: Picture = augment_table2(stored, generator)[0].astype(np.float32) / 255
    return drawn


KINDS: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "mirrored": lambda p, _: p[:, ::-1],
    "upside down": lambda p, _: p[::-1],
    "turned by 90 degrees": lambda p, g: np.rot90(p, g.choice([1, 3])),
    "turned by 180 degrees": lambda p, _: np.rot90(p, 2),
    "turned by 5 degrees": lambda p, g: turned_by(p, g.choice([-5, 5])),
    "turned by 10 degrees": lambda p, g: turned_by(p, g.choice([-10, 10])),
    "turned by 15 degrees": lambda p, g: turned_by(p, g.choice([-15, 15])),
    "turned by 45 degrees": lambda p, g: turned_by(p, g.choice([-45, 45])),
    "augmented by Table 2": table2,
}


@contextmanager
def without_aligning() -> Iterator[None]:
    """Search for near-duplicates as they lie only."""
    nothing = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    with mock.patch.object(duplicates, "aligned_pairs", return_value=nothing):
        yield


def grouped(prints: Prints) -> tuple[Pairs, Int64[np.ndarray, " n"], float]:
    """Return near-duplicates, groups and the processor's seconds for the pairs."""
    start = time.process_time()
    pairs = near_pairs(prints)
    seconds = time.process_time() - start
    names = [str(row) for row in range(len(prints))]
    return pairs, group_slices([None] * len(prints), names, pairs).group, seconds


def plain(prints: Prints, patient: Int64[np.ndarray, " n"] | None) -> dict[str, Any]:
    """Describe the groups of a source to which nothing was added."""
    pairs, group, seconds = grouped(prints)
    near = pairs.near()
    told: dict[str, Any] = {
        "groups": len(np.unique(group)),
        "largest": int(np.bincount(group).max()),
        "near_duplicates": len(near),
        "processor_seconds": round(seconds, 2),
    }
    if patient is not None:
        found, right = pairs_within(group), pairs_within(group, patient)
        told["near_duplicates_of_two_patients"] = int(
            (patient[near.left] != patient[near.right]).sum()
        )
        told["precision_patient"] = round(right / found, 4)
        told["recall_patient"] = round(right / pairs_within(patient), 4)
    return told


def joined(
    prints: Prints,
    copies: Prints,
    own: Int64[np.ndarray, " c"],
    patient: Int64[np.ndarray, " n"] | None,
) -> dict[str, Any]:
    """Say how many copies are in the group of their original, and what else that does."""
    count = len(prints)
    pairs, group, _ = grouped(np.concatenate([prints, copies]))
    near = pairs.near()
    linked = set(zip(near.left.tolist(), near.right.tolist(), strict=True))
    told: dict[str, Any] = {
        "in_its_group": round(float((group[count:] == group[own]).mean()), 4),
        "near_duplicate": round(
            float(np.mean([(row, count + at) in linked for at, row in enumerate(own)])), 4
        ),
        "largest": int(np.bincount(group).max()),
    }
    if patient is not None:
        everyone = np.concatenate([patient, patient[own]])
        strangers = everyone[near.left] != everyone[near.right]
        told["near_duplicates_of_two_patients"] = int(strangers.sum())
        found = pairs_within(group)
        told["precision_patient"] = round(pairs_within(group, everyone) / found, 4)
    return told


def measured(source: Path) -> dict[str, Any]:
    """Measure one source."""
    if (source / "phantom.json").is_file():
        table = pd.read_csv(source / "patients.csv")
        files = [source / "images" / path for path in table["path"]]
        patient = pd.factorize(table["patient"])[0].astype(np.int64)
        name = f"phantom, seed {json.loads((source / 'phantom.json').read_text())['seed']}"
    else:
        layout = read_layout(source)
        files = [layout.root / path for path in layout.paths][1::2]
        patient, name = None, "a real collection, every second image"
    generator = np.random.default_rng(0)
    chosen = set(generator.choice(len(files), min(COPIES, len(files)), replace=False).tolist())
    prints = []
    changed: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for row, file in enumerate(files):
        pixels = read_slice(file).pixels
        prints.append(fingerprint(pixels))
        for kind, change in KINDS.items() if row in chosen else ():
            copy = np.ascontiguousarray(change(pixels, generator), np.float32)
            changed[kind].append(fingerprint(copy))
    own, whole = np.array(sorted(chosen), np.int64), np.stack(prints)
    told: dict[str, Any] = {"source": name, "images": len(files), "copies": len(own)}
    with without_aligning():
        told["without"] = plain(whole, patient)
        before = {k: joined(whole, np.stack(c), own, patient) for k, c in changed.items()}
    told["with"] = plain(whole, patient)
    told["kinds"] = [
        {"kind": kind, "without": before[kind], "with": joined(whole, np.stack(c), own, patient)}
        for kind, c in changed.items()
    ]
    return told


def cost(count: int) -> dict[str, Any]:
    """Measure what aligning adds to the search among generated fingerprints."""
    prints = generated(count)
    with without_aligning():
        before = grouped(prints)[2]
    seconds = grouped(prints)[2]
    return {"images": count, "without": round(before, 1), "with": round(seconds, 1)}


def main() -> None:
    """Measure the folders and the cost, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("sources", type=Path, nargs="*")
    asked = parser.parse_args()
    results = json.loads(asked.out.read_text()) if asked.out.is_file() else {}
    info = Path("/proc/cpuinfo")
    units = set(info.read_text().split()) & {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}
    results["machine"] = machine() | {"units": sorted(units)}
    results["settings"] = {
        "turns": list(turned.TURNS),
        "candidates": turned.CANDIDATES,
        "gained": duplicates.GAINED,
        "near": duplicates.NEAR,
    }
    for source in asked.sources:
        found = measured(source)
        results.setdefault("sources", {})[found["source"]] = found
        asked.out.write_text(json.dumps(results, indent=1) + "\n")
    if not asked.sources:
        results["processor_seconds"] = []
        for count in SIZES:
            results["processor_seconds"].append(cost(count))
            asked.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
