"""How long `brainssl serve` takes, against the bare reading and forward pass in the same run.

The service runs as a process of its own and is asked on this machine, by 1, 8 and 32 clients that
each wait for their answer. Bare is a loop in one process, without HTTP, that reads the same file,
letterboxes it and predicts it alone. Rounds of all ways alternate, so that what else the machine
does meets each of them; `load_before` says how much that is. Memory is what the service and its
decoders have for themselves. At last the service is ended while clients ask: `ended` says how each
of their requests went; none that was let in may be lost.

    python benchmarks/serve.py --out results/serve-2cores.json
"""

import argparse
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

# As `brainssl serve` has it, so that the bare loop waits in the same way.
os.environ.setdefault("GOMP_SPINCOUNT", "2000000")
import torch
from PIL import Image
from torch import nn

from brainssl.data.read import read_slice
from brainssl.data.store import letterbox
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder

CLIENTS = (1, 8, 32)
STARTING = 300  # seconds
ENDING = 300  # seconds, on a machine that is busy; of its own it takes 20 at most
PARTS = 10  # of the requests between which memory is read


def written(folder: Path, name: str, size: int, side: int) -> Path:
    """Write a classifier with random weights, and one picture; return the picture."""
    encoder = build_encoder(name, image_size=size, seed=0)
    head = nn.Linear(encoder.dim, 44)
    classes = tuple(f"class {number}" for number in range(44))
    Classifier(encoder, head, classes, {"reader": 2}).save(folder / "classifier.safetensors")
    rows, columns = np.mgrid[:side, :side] / side
    brain = 200 * np.exp(-((rows - 0.5) ** 2 + (columns - 0.5) ** 2) * 8)
    noise = np.random.default_rng(0).normal(0, 8, (side, side))
    held = io.BytesIO()
    Image.fromarray((brain + noise).clip(0, 255).astype(np.uint8)).save(held, "PNG")
    (folder / "slice.png").write_bytes(held.getvalue())
    return folder / "slice.png"


def bare(classifier: Classifier, file: Path, count: int) -> list[float]:
    """Return the seconds that reading and predicting a file take, each time anew."""
    taken = []
    for _ in range(count):
        begun = time.perf_counter()
        pixels = read_slice(file, reader=classifier.reader).pixels
        classifier.logits(letterbox(pixels, classifier.image_size)[None])
        taken.append(time.perf_counter() - begun)
    return taken


class Served:
    """The service as a process."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "brainssl", "serve", str(folder), "--port", "0", "--json"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        begun = time.monotonic()
        while not (found := re.search(r"serving on (\S+)", self._log.read_text())):
            if self.process.poll() is not None or time.monotonic() - begun > STARTING:
                raise SystemExit(self._log.read_text())
            time.sleep(0.05)
        self.url = found[1]

    def memory(self) -> int:
        """Return the bytes that it and its decoders have for themselves."""
        one = psutil.Process(self.process.pid)
        return sum(each.memory_full_info().uss for each in [one, *one.children(recursive=True)])

    def ask(self, data: bytes, count: int, clients: int) -> tuple[list[float], float]:
        """Return the seconds of each request, and of all."""
        each = max(1, count // clients)

        def client() -> list[float]:
            taken = []
            with httpx.Client(base_url=self.url, timeout=120) as link:
                for _ in range(each):
                    begun = time.perf_counter()
                    answer = link.post("/predict", files={"files": ("slice.png", data)})
                    answer.raise_for_status()
                    taken.append(time.perf_counter() - begun)
            return taken

        begun = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            asked = [pool.submit(client) for _ in range(clients)]
            taken = [one for of in asked for one in of.result()]
        return taken, time.perf_counter() - begun

    def end_while_asked(self, data: bytes) -> dict[str, Any]:
        """End it while eight clients ask, and return how their requests went."""
        went: Counter[str] = Counter()
        stopped = threading.Event()

        def client() -> None:
            while not stopped.is_set():
                try:
                    answer = httpx.post(
                        f"{self.url}/predict", files={"files": ("slice.png", data)}, timeout=120
                    )
                except httpx.ConnectError:
                    went["found the port closed"] += 1
                    return
                except httpx.HTTPError as error:
                    went[type(error).__name__] += 1
                    return
                went[str(answer.status_code)] += 1

        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(client) for _ in range(8)]
            until = time.monotonic() + STARTING
            while went["200"] < 16 and time.monotonic() < until:
                time.sleep(0.01)
            begun = time.perf_counter()
            before = went["200"]
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(ENDING)
            seconds = time.perf_counter() - begun
            stopped.set()
            for one in asked:
                one.result()
        assert self.process.stdout is not None
        told = json.loads(self.process.stdout.read())
        return {
            "exit": code,
            "seconds": round(seconds, 2),
            "answered_before": before,
            "requests": dict(went),
            "answered_by_its_own_count": told["answered"],
        }


def watched(served: Served, data: bytes, count: int) -> list[float]:
    """Return the memory in MiB before requests, and after each tenth of them, by 1 to 8 clients."""
    readings = [served.memory()]
    for part in range(PARTS):
        served.ask(data, count // PARTS // 8 * 8, 2 ** (part % 4))
        readings.append(served.memory())
        print(f"{readings[-1] / 2**20:.1f} MiB", file=sys.stderr, flush=True)
    return [round(one / 2**20, 1) for one in readings]


def milliseconds(taken: list[float]) -> dict[str, float]:
    """Return percentiles of times."""
    found = np.percentile(1000 * np.array(taken), [50, 95, 99])
    return dict(zip(("p50_ms", "p95_ms", "p99_ms"), found.round(2).tolist(), strict=True))


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--encoder", default="resnet10t")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--side", type=int, default=512, help="of the picture, in pixels")
    parser.add_argument("--requests", type=int, default=64, help="of each way in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", type=int, default=1000, help="requests while memory is read")
    parser.add_argument("--note", default="", help="what else is to be known of this run")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measured(asked, Path(folder))
    text = json.dumps(results, indent=1)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")


def measured(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run everything."""
    file = written(folder, asked.encoder, asked.image_size, asked.side)
    data = file.read_bytes()
    load = round(os.getloadavg()[0], 1)
    classifier = Classifier.load(folder)
    served = Served(folder)
    bare(classifier, file, 5)
    served.ask(data, 64, 8)
    times: dict[str, list[float]] = {"bare": [], **{f"{count}": [] for count in CLIENTS}}
    walls = dict.fromkeys(times, 0.0)
    for _ in range(asked.rounds):
        taken = bare(classifier, file, asked.requests)
        times["bare"] += taken
        walls["bare"] += sum(taken)
        for clients in CLIENTS:
            taken, wall = served.ask(data, asked.requests, clients)
            times[f"{clients}"] += taken
            walls[f"{clients}"] += wall
    readings = watched(served, data, asked.memory)
    ways = {
        name: {**milliseconds(taken), "a_second": round(len(taken) / walls[name], 1)}
        for name, taken in times.items()
    }
    return {
        "command": shlex.join(["python", *sys.argv]),
        "note": asked.note,
        "machine": {
            "cores": os.cpu_count(),
            "load_before": load,
            "threads_of_pytorch": torch.get_num_threads(),
            "pytorch": torch.__version__,
        },
        "bytes_of_the_picture": len(data),
        "bare": ways.pop("bare"),
        "clients": ways,
        "ratio_of_p50_at_one_client": round(
            float(np.median(times["1"]) / np.median(times["bare"])), 3
        ),
        "memory": {
            "requests": PARTS * (asked.memory // PARTS // 8 * 8),
            "clients": [1, 2, 4, 8],
            "mib": readings,
            "mib_before": readings[0],
            "mib_after": readings[-1],
        },
        "ended": served.end_while_asked(data),
    }


if __name__ == "__main__":
    main()
