"""What a processor trains with: precision, memory that is kept, threads beside a busy neighbour.

    python benchmarks/processor.py --out results/processor-NAME.json
    python benchmarks/processor.py --avx2 --out results/processor-NAME.json

Each question has two ways that alternate, a new process each; given is the ratio of their images a
second, the median over rounds and from where to where. `--avx2` holds PyTorch and oneDNN to what a
processor has without AVX-512 and bfloat16 units. `--preload` adds another allocator's library.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from first_hour import AVX2

_STEPS = """
import json, resource, sys, time
import timm, torch
from brainssl.hardware.memory import keep_freed_memory
how = json.loads(sys.argv[1])
if how["kept"]:
    assert keep_freed_memory()
torch.set_num_threads(how["threads"] or torch.get_num_threads())
size, batch = how["image_size"], how["batch"]
network = timm.create_model(how["encoder"], in_chans=1, num_classes=0)
network.to(memory_format=torch.channels_last)
optimizer = torch.optim.AdamW(network.parameters(), fused=True)
images = torch.rand(batch, 1, size, size)
def step():
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=how["bfloat16"]):
        loss = network(images).float().square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
step()
step()
def usage():
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime, now.ru_stime, now.ru_minflt
before, started, done = usage(), time.perf_counter(), 0
while done < 2 or time.perf_counter() - started < 4:
    step()
    done += 1
wall = time.perf_counter() - started
user, system, faults = (b - a for a, b in zip(before, usage()))
print(json.dumps({
    "images_per_second": done * batch / wall,
    "system_share": system / (user + system),
    "page_faults_per_step": faults / done,
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""
_BUSY = "while True: pass"


@dataclass(frozen=True)
class How:
    """One way to train."""

    encoder: str = "resnet10t"
    image_size: int = 48
    batch: int = 32
    bfloat16: bool = False
    kept: bool = True
    threads: int = 0  # all
    neighbours: int = 0  # other programs that keep a core busy each
    preload: str = ""


DEPTHWISE = tuple(
    How(encoder=name, image_size=96) for name in ("efficientnet_b0", "mobilenetv3_small_100")
)
LARGER = How(encoder="resnet18", image_size=64, batch=64)


def main() -> None:
    """Ask every question, and write the answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--avx2", action="store_true")
    parser.add_argument("--preload", default="", help="path of another allocator's library")
    asked = parser.parse_args()
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"} | (AVX2 if asked.avx2 else {})
    questions = {
        "bfloat16 over float32": [(how, replace(how, bfloat16=True)) for how in (How(), LARGER)],
        "bfloat16 over float32, depthwise": [
            (how, replace(how, bfloat16=True)) for how in DEPTHWISE
        ],
        "memory kept over given back": [(replace(how, kept=False), how) for how in (How(), LARGER)],
        "one thread over all, nobody else at work": [(How(), How(threads=1))],
        "one thread over all, one core taken": [
            (replace(how, neighbours=1), replace(how, threads=1, neighbours=1))
            for how in (How(), How(bfloat16=True))
        ],
    }
    if asked.preload:
        questions["another allocator over memory kept"] = [
            (how, replace(how, kept=False, preload=asked.preload)) for how in (How(), LARGER)
        ]
    told = {
        "command": " ".join(["python", *map(_within_reach, sys.argv)]),
        "held_to": AVX2 if asked.avx2 else {},
        "cores": os.cpu_count(),
        "rounds": asked.rounds,
        "answers": {
            question: [_compared(*pair, asked.rounds, environment) for pair in pairs]
            for question, pairs in questions.items()
        },
    }
    asked.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    for question, answers in told["answers"].items():
        print(question, [answer["ratio"] for answer in answers])


def _within_reach(word: str) -> str:
    """Return a path of this repository as it is written from there."""
    return word.removeprefix(f"{Path.cwd()}/")


def _compared(one: How, other: How, rounds: int, environment: dict[str, str]) -> dict[str, Any]:
    seen = [[_run(how, environment) for how in (one, other)] for _ in range(rounds)]
    ratios = sorted(b["images_per_second"] / a["images_per_second"] for a, b in seen)
    return {
        "ratio": round(statistics.median(ratios), 2),
        "from": round(ratios[0], 2),
        "to": round(ratios[-1], 2),
        **{
            name: {"how": asdict(how), **_medians([pair[place] for pair in seen])}
            for place, (name, how) in enumerate((("under", one), ("over", other)))
        },
    }


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(statistics.median(one[key] for one in rounds), 3) for key in rounds[0]}


def _run(how: How, environment: dict[str, str]) -> dict[str, float]:
    busy = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(how.neighbours)]
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _STEPS, json.dumps(asdict(how))],
            env=environment | ({"LD_PRELOAD": how.preload} if how.preload else {}),
            check=True,
            capture_output=True,
            text=True,
        )
    finally:
        for process in busy:
            process.kill()
            process.wait()
    told: dict[str, float] = json.loads(answer.stdout)
    return told


if __name__ == "__main__":
    main()
