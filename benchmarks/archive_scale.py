"""How reading an archive grows with it: seconds of the processor, and memory, by slices.

Volumes of small slices are written as NIfTI, each a mixture of three of forty smooth random fields
in an ellipsoid, with noise: no two are alike. For each size a process of its own scans them and
prepares a store, as `brainssl prepare` does. Of each part seconds by the clock and of the processor
(its own and of its workers) are told; memory is the peak of the process, less that after imports,
and of its largest worker. Private memory is that which no file backs, looked at twenty times a
second: pages of a store and of fingerprints, which the system may take back, are not in it. The
exponent is that of the slope between the smallest and largest size.

    nice -n 10 python benchmarks/archive_scale.py results/archive-scale-2cores.json
"""

import argparse
import json
import math
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from scipy.ndimage import zoom

import brainssl.data.scan as scanning
from brainssl.data.pool import cores
from brainssl.data.prepare import prepare

FIELDS = 40


def write(root: Path, first: int, last: int, slices: int, side: int) -> None:
    """Write volumes by number, the same whenever they are written."""
    generator = np.random.default_rng(0)
    coarse = generator.normal(size=(FIELDS, 13, 9, 9)).astype(np.float32)
    fields = [zoom(one, (slices / 13, side / 9, side / 9), order=1) for one in coarse]
    z, y, x = (np.linspace(-1.2, 1.2, count) for count in (slices, side, side))
    inside = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 < 1
    noise = generator.normal(0, 20, inside.shape).astype(np.float32)
    for number in range(first, last):
        own = np.random.default_rng([1, number])
        mixed = sum(
            fields[at] * own.uniform(100, 300) for at in own.integers(FIELDS, size=3).tolist()
        )
        rolled = np.roll(noise, tuple(own.integers(side, size=3).tolist()), (0, 1, 2))
        volume = np.where(inside, 900 + mixed, 0) + rolled
        stored = volume.clip(0, 4095).astype(np.int16).transpose(2, 1, 0)
        made: Any = nibabel.Nifti1Image
        (root / f"p{number:05}").mkdir(parents=True)
        nibabel.save(made(stored, np.diag([1, 1, 2, 1.0])), root / f"p{number:05}" / "T1.nii")


def _private() -> float:
    """Return the private memory of this process in MB, of Linux alone."""
    told = Path("/proc/self/status").read_text("ascii").partition("RssAnon:")[2]
    return int(told.split()[0]) / 1024


class Watch(threading.Thread):
    """Looks at the private memory of this process."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.least = self.most = _private()

    def run(self) -> None:
        """Look, twenty times a second."""
        while True:
            self.most = max(self.most, _private())
            time.sleep(0.05)


def _peak(who: int = resource.RUSAGE_SELF) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


class Clock:
    """Seconds of parts, by the clock and of the processor."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, float]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a block."""
        begun, used = time.perf_counter(), sum(os.times()[:4])
        yield
        took = {"clock": time.perf_counter() - begun, "processor": sum(os.times()[:4]) - used}
        took["peak_mb"] = _peak()
        self.parts[name] = {what: round(value, 2) for what, value in took.items()}

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Time each call of a function."""

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return timed


def one(root: Path, store: Path, size: int) -> dict[str, Any]:
    """Scan and prepare in this process; called in one of its own."""
    clock, least, watch = Clock(), _peak(), Watch()
    watch.start()
    scanning.open_source = clock.around("headers", scanning.open_source)  # type: ignore[attr-defined]
    scanning.near_pairs = clock.around("near-duplicates", scanning.near_pairs)  # type: ignore[attr-defined]
    with scanning.kept_beside(store) as kept:
        with clock.part("scan, all of it"):
            found = scanning.scan(root, kept=kept)
        with clock.part("prepare"):
            made = prepare(found, store, size=size, resume=True)
    return {
        "slices": len(made.images),
        "parts": clock.parts,
        "imports_mb": round(least, 1),
        "peak_mb": round(_peak() - least, 1),
        "private_mb": round(watch.most - watch.least, 1),
        "largest_worker_mb": round(_peak(resource.RUSAGE_CHILDREN), 1),
    }


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--slices", default="25000,50000,100000,200000")
    parser.add_argument("--each", type=int, default=100, help="slices of a volume")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--note", default="")
    parser.add_argument("--one", nargs=2, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        sys.stdout.write(json.dumps(one(args.one[0], args.one[1], args.side)) + "\n")
        return
    rows, written = [], 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "archive")
        for count in map(int, args.slices.split(",")):
            volumes = count // args.each
            write(root, written, volumes, args.each, args.side)
            written = volumes
            asked = [sys.executable, __file__, str(args.out), "--side", str(args.side)]
            asked += ["--one", str(root), str(Path(folder, f"store-{count}"))]
            done = subprocess.run(asked, capture_output=True, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            sys.stderr.write(json.dumps(rows[-1]) + "\n")
            report = {
                "command": shlex.join(["python", *sys.argv]),
                "note": args.note,
                "machine": {"cores": cores(), "load": [round(load, 1) for load in os.getloadavg()]},
                "slices_a_volume": args.each,
                "side": args.side,
                "sizes": rows,
                "growth": growth(rows) if len(rows) > 1 else None,
            }
            args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def growth(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how time and memory grow from the smallest to the largest size."""
    few, many = rows[0], rows[-1]
    larger = many["slices"] / few["slices"]
    exponents = {}
    for name, took in many["parts"].items():
        before = few["parts"][name]["processor"]
        exponents[name] = round(
            math.log(took["processor"] / max(before, 0.01)) / math.log(larger), 2
        )
    more = (many["private_mb"] - few["private_mb"]) * 2**20 / (many["slices"] - few["slices"])
    return {"exponents_of_processor_seconds": exponents, "private_bytes_a_slice": round(more)}


if __name__ == "__main__":
    main()
