"""Training from a store that does not fit into memory: how fast, and with how much of it.

Stores of made-up slices, each twenty of a patient and every tenth patient labelled, are written;
SimCLR then learns from each in a process that the kernel allows so many megabytes (a memory cgroup
of version 1: Linux, as root), pages of files among them, and that begins with none of the store in
memory. It is stopped after so many steps. Told are slices a second over the second half of these,
the memory that no file backs, and what was read from the disk in all: the checksum of the store is
looked at before. The same store is read with and without the limit.

    python benchmarks/larger_than_memory.py results/larger-than-memory-2cores.json
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import zoom

SLICES_A_PATIENT, LABELLED, CLASSES = 20, 10, 8
CGROUP = Path("/sys/fs/cgroup/memory")


class Enough(Exception):  # noqa: N818 - ends a training that has taken its steps
    """So many steps were asked for."""


def write(out: Path, count: int, size: int) -> None:
    """Write a store of made-up slices: smooth fields, rolled and mixed, none like another."""
    from brainssl.data.manifest import MANIFEST_COLUMNS, identifiers, optional
    from brainssl.data.prepare import write_store

    patients = np.arange(count) // SLICES_A_PATIENT
    labels = np.where(patients % LABELLED == 0, patients // LABELLED % CLASSES, -1)
    paths = [f"p{patient:06}/{number:07}.png" for number, patient in enumerate(patients)]
    told: dict[str, Any] = dict.fromkeys(MANIFEST_COLUMNS)
    told |= {
        "image_id": identifiers(paths),
        "path": paths,
        "label": optional([None if label < 0 else f"class {label}" for label in labels]),
        "patient": optional([f"p{patient:06}" for patient in patients]),
        "group": patients,
        "width": np.full(count, size),
        "height": np.full(count, size),
        "source_bits": np.full(count, 8),
        "flags": "",
        "pixels": paths,
    }
    write_store(out, pd.DataFrame(told), _pixels(count, size), size=size, facts={"reader": 3})


def _pixels(count: int, size: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(0)
    coarse = generator.uniform(0, 120, (64, 8, 8))
    fields = [zoom(one, size / 8, order=1).clip(0, 120).astype(np.uint8) for one in coarse]
    for _ in range(count):
        one, other, down, across = generator.integers((64, 64, size, size)).tolist()
        yield np.roll(fields[one], (down, across), (0, 1)) + fields[other]


def train(store: Path, out: Path, steps: int, batch: int) -> dict[str, Any]:
    """Train for so many steps in this process."""
    import torch

    from brainssl.data.split import make_split
    from brainssl.data.store import ImageStore
    from brainssl.settings import load_settings
    from brainssl.training.pretrain import pretrain

    torch.set_num_threads(1)
    opened = ImageStore.open(store)
    split = make_split(opened.manifest)
    settings, _ = load_settings(
        "quick",
        [
            "encoder.name=test_resnet",
            f"encoder.image_size={opened.size}",
            f"pretrain.batch_size={batch}",
            "pretrain.epochs=1",
            "run.accelerator=cpu",
        ],
    )
    times: list[float] = []

    def progress(done: int, _total: int) -> None:
        times.append(time.perf_counter())
        if done >= steps:
            raise Enough

    before = _read()
    with suppress(Enough):
        pretrain(opened, split, out, method="simclr", settings=settings, progress=progress)
    half = len(times) // 2
    status = Path("/proc/self/status").read_text("ascii")
    return {
        "slices_a_second": round(batch * (len(times) - 1 - half) / (times[-1] - times[half]), 1),
        "private_mb": int(status.partition("RssAnon:")[2].split()[0]) // 1024,
        "read_mb": (_read() - before) // 2**20,
        "major_faults": int(
            Path("/proc/self/stat").read_text("ascii").rpartition(")")[2].split()[9]
        ),
    }


def _read() -> int:
    told = Path("/proc/self/io").read_text("ascii")
    return int(told.partition("read_bytes:")[2].split()[0])


def limited(command: list[str], megabytes: int | None) -> dict[str, Any]:
    """Run a command that prints JSON, within so much memory, with no page of a file in it."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")
    group = CGROUP / f"brainssl-{os.getpid()}"

    def enter() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    if megabytes is not None:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(megabytes * 2**20))
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            preexec_fn=enter if megabytes is not None else None,
        )
        if done.returncode:
            return {"ended": done.returncode, "said": done.stderr[-300:]}
        peak = {}
        if megabytes is not None:
            most = int((group / "memory.max_usage_in_bytes").read_text())
            peak["most_mb_with_pages_of_files"] = most // 2**20
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told | peak
    finally:
        if megabytes is not None:
            group.rmdir()


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--slices", default="20000,1000000")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--megabytes", type=int, default=2500)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--note", default="")
    parser.add_argument("--one", nargs=2, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        sys.stdout.write(json.dumps(train(args.one[0], args.one[1], args.steps, args.batch)) + "\n")
        return
    rows = []
    with TemporaryDirectory() as folder:
        for count in map(int, args.slices.split(",")):
            store = Path(folder, f"store-{count}")
            write(store, count, args.size)
            held = sum(file.stat().st_size for file in store.iterdir()) // 2**20
            for limit in (None, args.megabytes):
                own = [sys.executable, __file__, str(args.out), "--steps", str(args.steps)]
                own += ["--batch", str(args.batch), "--one", str(store)]
                found = limited([*own, str(Path(folder, f"out-{count}-{limit}"))], limit)
                rows.append({"slices": count, "store_mb": held, "limit_mb": limit} | found)
                sys.stderr.write(json.dumps(rows[-1]) + "\n")
    told = {
        "what": "SimCLR with test_resnet from a store, with less memory than the store takes",
        "command": shlex.join(["python", *sys.argv]),
        "note": args.note,
        "size": args.size,
        "steps": args.steps,
        "batch": args.batch,
        "rows": rows,
    }
    args.out.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
