"""Which measure and which linkage find the slices of one patient, and what 100,000 images cost.

    python benchmarks/near_duplicates.py accuracy results/near-duplicates-2cores.json
    python benchmarks/near_duplicates.py scaling results/near-duplicates-2cores.json

`accuracy` simulates patients and compares ways to group their slices by pairwise precision and
recall: a pair is right if both slices are of one patient (and, in the stricter count, of one
sequence). `scaling` times the search and the grouping on generated fingerprints, each size in a
process of its own, so that its peak memory is its own.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float16, Float32, Int64
from PIL import Image
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.fft import dctn
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from brainssl.data import duplicates
from brainssl.data.duplicates import SIDE, Pairs, fingerprint, near_pairs
from brainssl.data.groups import group_slices
from brainssl.data.read import read_slice
from brainssl.simulation import simulate

PATIENTS, SIZE, SEED = 100, 96, 1
SIZES = (12_500, 25_000, 50_000, 100_000)

Similarity = Float32[np.ndarray, "n n"]
Labels = Int64[np.ndarray, " n"]
Linkage = Callable[[Similarity, float], Labels]


def small(pixels: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "s s"]:
    """Shrink a whole slice to 32 × 32."""
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX))


def phash_similarity(slices: list[Float32[np.ndarray, "h w"]]) -> Similarity:
    """Minus the Hamming distance of 64-bit perceptual hashes."""
    spectra = np.stack([dctn(small(one), norm="ortho")[:8, :8].ravel() for one in slices])
    bits = (spectra > np.median(spectra, axis=1, keepdims=True)).astype(np.float32)
    return np.asarray(-(bits @ (1 - bits).T + (1 - bits) @ bits.T), np.float32)


def thumbnail_similarity(slices: list[Float32[np.ndarray, "h w"]]) -> Similarity:
    """Correlation of whole slices at 32 × 32."""
    flat = np.stack([small(one).ravel() for one in slices])
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat @ flat.T, np.float32)


def frame_similarity(prints: Float16[np.ndarray, "n 2 s s"], frames: list[int]) -> Similarity:
    """Correlation of local contrast: the largest over the given frames."""
    flat = prints.reshape(len(prints), 2, -1).astype(np.float32)
    return np.asarray(np.maximum.reduce([flat[:, f] @ flat[:, f].T for f in frames]), np.float32)


def single(similarity: Similarity, threshold: float) -> Labels:
    """Group by single linkage."""
    linked = csr_array(similarity >= threshold)
    return np.asarray(connected_components(linked, directed=False)[1], np.int64)


def average(similarity: Similarity, threshold: float) -> Labels:
    """Group by average linkage."""
    distance = 1 - (similarity + similarity.T) / 2
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    return np.asarray(fcluster(tree, 1 - threshold, "distance"), np.int64) - 1


def mutual(similarity: Similarity, threshold: float, neighbours: int = 2) -> Labels:
    """Group by single linkage over mutual nearest neighbours."""
    others = similarity - 2 * np.eye(len(similarity), dtype=np.float32)
    nearest = np.argsort(-others, axis=1, kind="stable")[:, :neighbours]
    listed: Bool[np.ndarray, "n n"] = np.zeros(similarity.shape, bool)
    np.put_along_axis(listed, nearest, values=True, axis=1)
    return single(np.where(listed & listed.T, similarity, -1), threshold)


def ours(prints: Float16[np.ndarray, "n 2 s s"]) -> Labels:
    """Group as `brainssl.data.duplicates` does."""
    distinct = [str(row) for row in range(len(prints))]
    return group_slices([None] * len(prints), distinct, near_pairs(prints)).group


def pairs_within(*labels: Labels) -> int:
    """Count the pairs of images that agree in all the given labels."""
    counts = np.unique(np.stack(labels), axis=1, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def scores(groups: Labels, patient: Labels, series: Labels) -> dict[str, Any]:
    """Pairwise precision and recall of a grouping."""
    found = max(1, pairs_within(groups))
    return {
        "groups": len(np.unique(groups)),
        "largest": int(np.bincount(groups).max()),
        "precision_patient": round(pairs_within(groups, patient) / found, 4),
        "recall_patient": round(pairs_within(groups, patient) / pairs_within(patient), 4),
        "precision_series": round(pairs_within(groups, series) / found, 4),
        "recall_series": round(pairs_within(groups, series) / pairs_within(series), 4),
    }


def accuracy() -> dict[str, Any]:
    """Compare measures and linkages on simulated patients."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "phantom"
        simulate(source, patients=PATIENTS, size=SIZE, seed=SEED)
        table = pd.read_csv(source / "patients.csv")
        slices = [read_slice(source / "images" / path).pixels for path in table["path"]]
    patient = pd.factorize(table["patient"])[0].astype(np.int64)
    series = pd.factorize(table["patient"] + " " + table["sequence"])[0].astype(np.int64)
    prints = np.stack([fingerprint(one) for one in slices])
    both = frame_similarity(prints, [0, 1])
    hashes, thumbnails = phash_similarity(slices), thumbnail_similarity(slices)
    steps = [round(0.5 + 0.05 * step, 2) for step in range(10)]
    head, whole = frame_similarity(prints, [0]), frame_similarity(prints, [1])
    trials: list[tuple[str, str, Linkage, Similarity, list[float]]] = [
        ("pHash", "single", single, hashes, [-2, -4, -6, -8, -10, -12]),
        ("thumbnail", "single", single, thumbnails, [0.85, 0.9, 0.93, 0.95, 0.97]),
        ("contrast, head", "single", single, head, steps),
        ("contrast, whole", "single", single, whole, steps),
        ("contrast, both", "single", single, both, steps),
        ("contrast, both", "average", average, both, steps),
        ("contrast, both", "mutual 2", mutual, both, steps),
    ]
    rows = [
        {"measure": measure, "linkage": name, "threshold": threshold}
        | scores(link(similarity, threshold), patient, series)
        for measure, name, link, similarity, thresholds in trials
        for threshold in thresholds
    ]
    chosen = {"measure": "contrast, both", "linkage": "single, stricter for larger groups"}
    rows.append(chosen | {"threshold": None} | scores(ours(prints), patient, series))
    unrelated = both[patient[:, None] != patient]
    return {
        "phantom": {"patients": PATIENTS, "size": SIZE, "seed": SEED, "slices": len(slices)},
        "rows": rows,
        "unrelated_neighbours_per_image": {
            str(t): round(float((unrelated >= t).sum() / len(slices)), 4) for t in steps
        },
    }


def generated(count: int) -> Float16[np.ndarray, "n 2 s s"]:
    """Return fingerprints of made-up patients with four adjacent slices each."""
    generator = np.random.default_rng(0)
    u, v = np.mgrid[:SIDE, :SIDE]
    radius = np.hypot(u, v).ravel()
    coarse = np.flatnonzero((radius > 1) & (radius < 9))
    basis = np.eye(SIDE * SIDE, dtype=np.float32)[coarse].reshape(-1, SIDE, SIDE)
    pictures = dctn(basis, type=3, axes=(1, 2), norm="ortho").reshape(len(coarse), -1)
    weight = (1 / radius[coarse]).astype(np.float32)
    prints = np.empty((count, 2, SIDE, SIDE), np.float16)
    for start in range(0, count, 4096):
        rows = min(4096, count - start)
        shape = (rows // 4 + 1, 1, 2, len(coarse))
        anatomy = generator.standard_normal(shape, np.float32)
        position = generator.standard_normal((shape[0], 4, *shape[2:]), np.float32)
        mixed = ((anatomy + 0.5 * position) * weight).reshape(-1, 2, len(coarse))[:rows]
        flat = mixed @ pictures
        flat /= np.linalg.norm(flat, axis=-1, keepdims=True)
        prints[start : start + rows] = flat.reshape(rows, 2, SIDE, SIDE)
    return prints


def found_of_exact(prints: Float16[np.ndarray, "n 2 s s"], pairs: Pairs) -> float:
    """Return the share of linking pairs, among all there are, that the search found."""
    flat = prints.reshape(len(prints), 2, -1).astype(np.float32)
    floor = duplicates.needed_similarity(len(prints))
    there = 0
    for start in range(0, len(prints), 1024):
        part = flat[start : start + 1024]
        both = np.maximum(part[:, 0] @ flat[:, 0].T, part[:, 1] @ flat[:, 1].T)
        there += int((both >= floor).sum()) - len(part)
    return round(len(pairs) / max(1, there / 2), 4)


def one_size(count: int) -> dict[str, Any]:
    """Search and group `count` generated fingerprints in this process."""
    prints = generated(count)
    start = time.perf_counter()
    pairs = near_pairs(prints)
    searched = time.perf_counter()
    groups = group_slices([None] * count, [str(row) for row in range(count)], pairs).group
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    patient = np.arange(count) // 4
    return {
        "images": count,
        "seconds_search": round(searched - start, 2),
        "seconds_group": round(done - searched, 2),
        "seconds": round(done - start, 2),
        "peak_gib": round(peak, 3),
        "pairs": len(pairs),
        "found_of_exact": found_of_exact(prints, pairs) if count <= 12_500 else None,
        "largest": int(np.bincount(groups).max()),
        "recall_patient": round(pairs_within(groups, patient) / pairs_within(patient), 4),
        "precision_patient": round(pairs_within(groups, patient) / max(1, pairs_within(groups)), 4),
    }


def scaling() -> dict[str, Any]:
    """Time each size in its own process and fit seconds = c · images^exponent."""
    rows = []
    for count in SIZES:
        command = [sys.executable, __file__, "one-size", str(count)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(answer.stdout))
        print(rows[-1], flush=True)
    seconds = np.log([row["seconds"] for row in rows])
    exponent = float(np.polyfit(np.log(SIZES), seconds, 1)[0])
    return {"rows": rows, "exponent": round(exponent, 3)}


def machine() -> dict[str, Any]:
    """Say what the figures were measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "processor": models[0] if models else platform.machine(),
        "numpy": np.__version__,
        "faiss": faiss.__version__,
    }


def main() -> None:
    """Run one part and put its result into the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["accuracy", "scaling", "one-size"])
    parser.add_argument("out", help="results file; for one-size the number of images")
    asked = parser.parse_args()
    if asked.part == "one-size":
        print(json.dumps(one_size(int(asked.out))))
        return
    out = Path(asked.out)
    results = json.loads(out.read_text()) if out.is_file() else {}
    results["machine"] = machine()
    results["settings"] = {
        "near": duplicates.NEAR,
        "always": duplicates.ALWAYS,
        "neighbours": duplicates.NEIGHBOURS,
        "needed_similarity_1000": round(duplicates.needed_similarity(1000), 4),
    }
    results[asked.part] = accuracy() if asked.part == "accuracy" else scaling()
    out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
