"""What it saves to keep freed memory: training steps with and without, in turn.

    python benchmarks/memory.py --rounds 5 > results/memory-NAME.json

Each round starts one process without and one with `brainssl.memory.keep_freed_memory`, and, where
`--preload` names a library such as tcmalloc's, one with that: for comparison.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from typing import Any

_STEPS = """
import json, resource, sys, time
import timm, torch
from brainssl.memory import keep_freed_memory
how, name, size, batch, half = sys.argv[1:]
size, batch = int(size), int(batch)
if how == "kept":
    assert keep_freed_memory()
torch.manual_seed(0)
network = timm.create_model(name, in_chans=1, num_classes=0).to(memory_format=torch.channels_last)
optimizer = torch.optim.AdamW(network.parameters(), fused=True)
images = torch.rand(batch, 1, size, size)
def step():
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half == "bf16-mixed"):
        loss = network(images).float().square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
for _ in range(4):
    step()
def usage():
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime, now.ru_stime, now.ru_minflt
before, started, done = usage(), time.perf_counter(), 0
while time.perf_counter() - started < 6:
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
CASES = (("resnet10t", 48, 64), ("resnet18", 64, 64))


def main() -> None:
    """Run the rounds and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--preload", help="path of another allocator's library")
    asked = parser.parse_args()
    from brainssl.hardware import precision_of
    from brainssl.sections import RunSettings

    precision = precision_of(RunSettings(accelerator="cpu"))
    ways = ["plain", "kept", *(["preloaded"] if asked.preload else [])]
    cases = []
    for name, size, batch in CASES:
        rounds: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for _ in range(asked.rounds):
            for way in ways:
                words = [way, name, str(size), str(batch), precision.name]
                rounds[way].append(_run(words, asked.preload if way == "preloaded" else None))
        cases.append({"encoder": name, "image_size": size, "batch": batch, **_medians(rounds)})
    command = "python " + " ".join(sys.argv)
    told = {"command": command, "precision": precision.name, "reason": precision.reason}
    print(json.dumps(told | {"rounds": asked.rounds, "cases": cases}, indent=1))


def _run(words: list[str], preload: str | None) -> dict[str, float]:
    environment = os.environ | ({"LD_PRELOAD": preload} if preload else {})
    answer = subprocess.run(
        [sys.executable, "-c", _STEPS, *words],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    told: dict[str, float] = json.loads(answer.stdout)
    return told


def _medians(rounds: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    told: dict[str, Any] = {
        way: {key: round(statistics.median(one[key] for one in own), 3) for key in own[0]}
        for way, own in rounds.items()
    }
    plain = [one["images_per_second"] for one in rounds["plain"]]
    for way in list(rounds)[1:]:
        other = [one["images_per_second"] for one in rounds[way]]
        ratios = sorted(b / a for a, b in zip(plain, other, strict=True))
        told[f"{way}_over_plain"] = {
            "median": round(statistics.median(ratios), 3),
            "from": round(ratios[0], 3),
            "to": round(ratios[-1], 3),
        }
    return told


if __name__ == "__main__":
    main()
