"""Images per second of reading, in one process and on all cores, beside the limit, in one run.

`audit` reads every image once: it decodes it, brings it to grey, and takes its digests and its
fingerprint. `prepare` reads it again and letterboxes it. The limit is a plain loop in which Pillow
decodes the same files into arrays, and nothing else. Rounds of all ways alternate; given is the
fastest of each, as what else the machine does can only slow it, beside the median. On a busy
machine (`load_before`) all cores are not to be had, and only the CPU time of an image tells much.

    python benchmarks/reading.py FOLDER --labels labels.csv --out results/reading-2cores.json
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image

from brainssl.data.layout import read_layout
from brainssl.data.look import look
from brainssl.data.pool import cores, in_order
from brainssl.data.read import read_slice
from brainssl.data.store import letterbox

SIDE = 224
FEATURES = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16")


def pillow(path: Path) -> int:
    """Decode a file, the least that any reader does."""
    with Image.open(path) as image:
        return int(np.asarray(image).size)


def prepared(path: Path) -> int:
    """Read and letterbox a file, as `prepare` does."""
    return int(letterbox(read_slice(path).pixels, SIDE).size)


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """Return the wall and the CPU seconds, of this process and its children, that work takes."""
    start, before = time.perf_counter(), os.times()
    work()
    wall, after = time.perf_counter() - start, os.times()
    return wall, sum(after[:4]) - sum(before[:4])


def drain(function: Callable[[Path], Any], paths: list[Path], workers: int) -> None:
    """Call a function on all files and forget what it returns."""
    for _ in in_order(function, paths, workers=workers):
        pass


def measure(paths: list[Path], rounds: int) -> dict[str, dict[str, float]]:
    """Time every way of reading the files, in alternating rounds."""
    ways: dict[str, Callable[[], None]] = {
        "pillow, one process": partial(drain, pillow, paths, 1),
        "audit, one process": partial(drain, look, paths, 1),
        "audit, all cores": partial(drain, look, paths, cores()),
        "prepare, one process": partial(drain, prepared, paths, 1),
        "prepare, all cores": partial(drain, prepared, paths, cores()),
    }
    drain(pillow, paths, 1)  # the files come into the system's cache
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            taken[name].append(seconds(work))
    return {
        name: {
            "images_per_second": round(len(paths) / min(w for w, _ in times), 1),
            "images_per_second_median": round(
                len(paths) / statistics.median(w for w, _ in times), 1
            ),
            "cpu_ms_per_image": round(1000 * min(c for _, c in times) / len(paths), 3),
        }
        for name, times in taken.items()
    }


def machine() -> dict[str, Any]:
    """Say what the figures were measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cores": cores(),
        "load_before": round(os.getloadavg()[0], 2),
        "processor": models[0] if models else platform.machine(),
        "capabilities": capabilities(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


def capabilities() -> dict[str, bool] | None:
    """Name the processor's features as PyTorch sees them, AVX-512's bfloat16 among them."""
    try:
        import torch
    except ImportError:
        return None
    found = torch.cpu.get_capabilities()
    return {name: bool(found.get(name)) for name in FEATURES}


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path, help="folder of images, as audit takes it")
    parser.add_argument("--labels", type=Path, help="CSV of labels, as audit takes it")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--every", type=int, default=1, help="read only every nth image")
    asked = parser.parse_args()
    layout = read_layout(asked.folder, asked.labels)
    paths = [layout.root / path for path in layout.paths[:: asked.every]]
    about = machine()
    ways = measure(paths, asked.rounds)
    speed = {name: way["images_per_second"] for name, way in ways.items()}
    results = {
        "command": shlex.join(["python", *sys.argv]),
        "machine": about,
        "images": len(paths),
        "rounds": asked.rounds,
        "ways": ways,
        "ratios": {
            f"{name}, all cores over one process": round(
                speed[f"{name}, all cores"] / speed[f"{name}, one process"], 3
            )
            for name in ("audit", "prepare")
        }
        | {
            f"{name} over pillow": round(speed[name] / speed["pillow, one process"], 3)
            for name in speed
            if not name.startswith("pillow")
        },
    }
    text = json.dumps(results, indent=1)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
