"""How well slices tell their sequence and plane, and how many wrong headers that finds.

    brainssl phantom phantom --patients 130 --size 64
    python benchmarks/sequence_check.py results/sequence-check-phantom.json phantom
    python benchmarks/sequence_check.py results/sequence-check-mri44.json SOURCE LABELS.csv

Of the phantom patients and planes are known. Of another source the labels end in the sequence,
near-duplicates make the groups, and a series is what a group has of one sequence; every second
group is left out, as the constants were chosen on those and on a phantom of seed 7. Sequences
are taken from each series in turn by five folds of patients; then 13 % of the series are told
wrongly on purpose, five times. Nothing of a slice but figures is written.
"""

import argparse
import csv
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from brainssl.data.appearance import check
from brainssl.data.appearance.check import Check, plane_check, sequence_check
from brainssl.data.appearance.features import describe
from brainssl.data.appearance.simulated import SEQUENCE_OF, sequence_model
from brainssl.data.read import read_slice
from brainssl.data.scan import scan
from brainssl.data.store import letterbox

SIZE = 64
WRONG = 0.13  # of headers: what was found in a hospital's archive
DRAWS = 5


@dataclass
class Slices:
    """Slices of a source, and whose they are."""

    images: UInt8[np.ndarray, "n s s"]
    sequences: list[str]
    planes: list[str]
    groups: list[str]
    series: list[str]
    facts: dict[str, Any] = field(default_factory=dict)

    def features(self) -> Float32[np.ndarray, "n width"]:
        """Return the features of every slice."""
        return np.stack([describe(image) for image in self.images])


def phantom_slices(folder: Path) -> Slices:
    """Read a phantom of `brainssl phantom`."""
    with (folder / "patients.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    images = [letterbox(read_slice(folder / "images" / row["path"]).pixels, SIZE) for row in rows]
    return Slices(
        np.stack(images),
        [row["sequence"] for row in rows],
        [row["plane"] for row in rows],
        [row["patient"] for row in rows],
        [f"{row['patient']} {row['sequence']}" for row in rows],
        json.loads((folder / "phantom.json").read_text("utf-8")),
    )


def labelled_slices(folder: Path, labels: Path) -> Slices:
    """Read the odd groups of a source whose classes end in the sequence."""
    scanned = scan(folder, labels=labels)
    manifest = scanned.own.manifest
    odd = set(np.unique(manifest["group"])[1::2].tolist())
    manifest = manifest[manifest["group"].isin(odd) & manifest["sequence"].notna()]
    images = [letterbox(read_slice(scanned.root / path).pixels, SIZE) for path in manifest["path"]]
    groups = [str(group) for group in manifest["group"]]
    sequences = manifest["sequence"].tolist()
    series = [f"{group} {name}" for group, name in zip(groups, sequences, strict=True)]
    return Slices(np.stack(images), sequences, [], groups, series)


def share(values: Sequence[bool] | np.ndarray) -> float | None:
    """Return the share that is true; None of nothing."""
    return round(float(np.mean(values)), 4) if len(values) else None


def accuracy(found: Check) -> dict[str, Any]:
    """Say how many series look like what they are."""
    truth = np.array([one.told for one in found.series])
    seen = np.array([one.seen for one in found.series])
    names = sorted(set(truth.tolist()))
    return {
        "series": len(truth),
        "accuracy": share(truth == seen),
        "recall": {name: share(seen[truth == name] == name) for name in names},
        "flagged": len(found.flagged),
    }


def told_wrongly(
    names: Sequence[str], series: Sequence[str], draw: int
) -> tuple[list[str], set[str]]:
    """Return names of which 13 % of the series have another one, and which series these are."""
    generator = np.random.default_rng(draw)
    of = dict(zip(series, names, strict=True))
    keys, kinds = list(of), sorted(set(names))
    chosen = generator.choice(len(keys), round(WRONG * len(keys)), replace=False)
    wrong = {keys[at] for at in chosen}
    for key in sorted(wrong):
        of[key] = str(generator.choice([kind for kind in kinds if kind != of[key]]))
    return [of[key] for key in series], wrong


def one_draw(
    slices: Slices, names: Sequence[str], series: Sequence[str], draw: int, planes: bool
) -> dict[str, Any]:
    """Tell 13 % of the series wrongly, and say which of them were found."""
    told, wrong = told_wrongly(names, series, draw)
    judge = plane_check if planes else sequence_check
    found = judge(slices.images, told, slices.groups, series=series)
    flagged = {str(one.series) for one in found.flagged}
    truth, as_told = (dict(zip(series, one, strict=True)) for one in (names, told))
    right = {str(one.series) for one in found.flagged if one.seen == truth[str(one.series)]}
    # T1 and T1C+ differ by what takes up an agent: little of a slice, or nothing.
    near = {key for key in wrong if {truth[key], as_told[key]} == {"T1", "T1C+"}}
    return {
        "wrong": len(wrong),
        "flagged": len(flagged),
        "precision": share([key in wrong for key in flagged]),
        "recall": share([key in flagged for key in wrong]),
        "recall_between_t1_and_t1c": share([key in flagged for key in near]),
        "recall_of_others": share([key in flagged for key in wrong - near]),
        "named_rightly": share([key in right for key in flagged & wrong]),
    }


def measured(slices: Slices, names: Sequence[str], series: Sequence[str], planes: bool) -> Any:
    """Measure sequences or planes."""
    judge = plane_check if planes else sequence_check
    started = time.process_time()
    found = judge(slices.images, names, slices.groups, series=series)
    seconds = time.process_time() - started
    draws = [one_draw(slices, names, series, draw, planes) for draw in range(DRAWS)]
    means: dict[str, float | None] = {}
    for key in draws[0]:
        held = [draw[key] for draw in draws if draw[key] is not None]
        means[key] = round(float(np.mean(held)), 4) if held else None
    return {
        "by_series": accuracy(found),
        "processor_ms_a_slice": round(1000 * seconds / len(slices.images), 2),
        "told_wrongly": {"share": WRONG, "draws": draws, "mean": means},
    }


def by_simulation(slices: Slices) -> dict[str, Any]:
    """Measure what simulated slices teach, on all series: as if there were few patients."""
    names, _ = sequence_model()
    most = check.FEWEST_GROUPS
    check.FEWEST_GROUPS = len(slices.images) + 1
    try:
        found = sequence_check(slices.images, slices.sequences, slices.groups, series=slices.series)
        swapped = [{"T1": "T2", "T1C+": "T2", "T2": "T1"}[name] for name in slices.sequences]
        crossed = sequence_check(slices.images, swapped, slices.groups, series=slices.series)
    finally:
        check.FEWEST_GROUPS = most
    truth = np.array([SEQUENCE_OF[one.told] for one in found.series])
    seen = np.array([SEQUENCE_OF[one.seen] for one in found.series])
    return {
        "names": list(names),
        "recall": {name: share(seen[truth == name] == name) for name in names},
        "rightly_told_and_flagged": share([one.flagged for one in found.series]),
        "wrongly_told_and_flagged": share([one.flagged for one in crossed.series]),
    }


def main() -> None:
    """Measure a source and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("labels", type=Path, nargs="?")
    asked = parser.parse_args()
    if asked.labels:
        slices, name = labelled_slices(asked.source, asked.labels), "a real collection, odd groups"
    else:
        slices = phantom_slices(asked.source)
        name = f"phantom, seed {slices.facts['seed']}"
    results: dict[str, Any] = {
        "command": f"python benchmarks/sequence_check.py {asked.out} "
        + ("SOURCE LABELS.csv" if asked.labels else "phantom"),
        "source": name,
        "image_size": SIZE,
        "slices": len(slices.images),
        "series": len(set(slices.series)),
        "groups": len(set(slices.groups)),
        "constants": {
            "doubt": check.DOUBT,
            "simulated_doubt": check.SIMULATED_DOUBT,
            "fewest_groups": check.FEWEST_GROUPS,
        },
        "sequence": measured(slices, slices.sequences, slices.series, planes=False),
        "sequence_by_simulation": by_simulation(slices),
    }
    if slices.planes:
        results["plane"] = measured(slices, slices.planes, slices.series, planes=True)
    asked.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
