"""How long `brainssl predict` takes: until its first answer, and for each image after that.

A cold start is the command in a process of its own, with one image, until it ends; of several the
best counts, as what else the machine does only slows it down. Beside it stand processes that import
PyTorch alone, and PyTorch with timm. Then many images go through `brainssl.predict` in one process,
beside the bare forward pass of the same network on as many images that are in memory.

    python benchmarks/predict.py --out results/predict-2cores.json
"""

import argparse
import json
import os
import platform
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

import brainssl
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder

CLASSES = ("Glioma T1", "Glioma T2", "Normal T1", "Normal T2")
MOST_SECONDS = 5.0


def main() -> None:
    """Time both and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--encoder", default="resnet10t")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        classifier = made_up(arguments.encoder, arguments.image_size, folder)
        pixels = pictures(arguments.images, arguments.image_size, folder / "images")
        first = sorted((folder / "images").iterdir())[0]
        command = ["-m", "brainssl", "predict", str(folder), str(first)]
        ways = {
            "predict": command,
            "imports of PyTorch": ["-c", "import torch"],
            "imports of PyTorch and timm": ["-c", "import torch, timm"],
        }
        cold = {name: started(words, arguments.rounds) for name, words in ways.items()}
        pace = paces(classifier, folder, pixels, arguments.rounds)
    result: dict[str, Any] = {
        "what": "seconds until the first answer of a cold start, best of rounds; images a second",
        "command": shlex.join(["python", *sys.argv]),
        **machine(),
        "encoder": arguments.encoder,
        "image_size": arguments.image_size,
        "images": arguments.images,
        "cold_start": cold,
        "most_seconds": MOST_SECONDS,
        "images_per_second": pace,
    }
    print(json.dumps(result, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def made_up(encoder: str, size: int, folder: Path) -> Classifier:
    """Save a classifier with random weights."""
    network = build_encoder(encoder, image_size=size, seed=0)
    torch.manual_seed(0)
    classifier = Classifier(network, nn.Linear(network.dim, 4), CLASSES, {"reader": 2}).eval()
    classifier.save(folder / "classifier.safetensors")
    return classifier


def pictures(count: int, size: int, folder: Path) -> np.ndarray:
    """Write noise as PNG files of the network's size."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size), dtype=np.uint8)
    for number, one in enumerate(pixels):
        Image.fromarray(one).save(folder / f"{number:05}.png")
    return pixels


def started(words: Sequence[str], rounds: int) -> dict[str, float]:
    """Return seconds of a process, on the clock and of the processor, the best of rounds."""
    walls, computing = [], []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        at = time.perf_counter()
        subprocess.run(
            [sys.executable, *words],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        walls.append(time.perf_counter() - at)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        computing.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"seconds": round(min(walls), 2), "processor_seconds": round(min(computing), 2)}


def paces(
    classifier: Classifier, folder: Path, pixels: np.ndarray, rounds: int
) -> dict[str, float]:
    """Return images a second of the whole prediction and of the forward pass, in turn."""
    whole, bare = [], []
    brainssl.predict(folder, folder / "images")
    for _ in range(rounds):
        at = time.perf_counter()
        brainssl.predict(folder, folder / "images")
        whole.append(time.perf_counter() - at)
        at = time.perf_counter()
        classifier.logits(pixels)
        bare.append(time.perf_counter() - at)
    return {
        "predict": round(len(pixels) / min(whole), 1),
        "forward_pass": round(len(pixels) / min(bare), 1),
    }


def processor() -> str:
    """Return its name, and the widest vectors that it has."""
    file = Path("/proc/cpuinfo")
    told = file.read_text() if file.exists() else ""
    name = told.partition("model name")[2].partition("\n")[0].strip("\t :") or platform.machine()
    wide = next((one for one in ("avx512f", "avx2") if f" {one} " in told), None)
    return f"{name}, {wide}" if wide else name


def machine() -> dict[str, Any]:
    """Say on what it was measured, and what else the machine did."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    main()
