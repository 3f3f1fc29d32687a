"""Time the first hour of a newcomer: `make demo` and `make test` in a fresh clone.

    python benchmarks/first_hour.py --out results/first-hour-NAME.json
    python benchmarks/first_hour.py --avx2 --out results/first-hour-NAME.json

Installing is timed apart. `--avx2` holds PyTorch, oneDNN and the choice of precision to what a
processor has without AVX-512 and bfloat16 units. The estimate is the one by which the budget chose.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

AVX2 = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}


def main() -> None:
    """Clone, install, run, and write what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--avx2", action="store_true")
    parser.add_argument("--clone", type=Path, default=Path("scratch/first-hour"))
    parser.add_argument("--budget", default="3m")
    parser.add_argument("--only", choices=("demo", "tests"), help="tests: add to what OUT holds")
    asked = parser.parse_args()
    clone = asked.clone.resolve()
    environment = os.environ | (AVX2 if asked.avx2 else {})
    if not clone.exists():
        subprocess.run(["git", "clone", "--quiet", ".", str(clone)], check=True)

    def timed(*command: str) -> float:
        started = time.perf_counter()
        subprocess.run(command, cwd=clone, env=environment, check=True)
        return round(time.perf_counter() - started, 1)

    told: dict[str, Any] = {"commands": [], "machine": {}, "seconds": {}}
    if asked.only == "tests":
        told = json.loads(asked.out.read_text("utf-8"))
    words = [word for word in sys.argv if word not in ("--clone", str(asked.clone))]
    told["commands"].append(" ".join(["python", *words]))  # where the clone lies changes nothing
    if asked.only != "tests":
        _time_demo(told, clone, environment, asked.budget, timed)
        # Lest a test that fails cost the rest.
        asked.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if asked.only != "demo":
        told["seconds"]["install what the tests need"] = timed("make", ".venv/.developing")
        told["seconds"]["make test"] = timed("make", "test")
        asked.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(told["seconds"] | {"ratio": told["estimate_over_truth"]}, indent=1))


def _time_demo(
    told: dict[str, Any],
    clone: Path,
    environment: dict[str, str],
    budget: str,
    timed: Callable[..., float],
) -> None:
    shutil.rmtree(clone / "demo", ignore_errors=True)
    seconds = {"install what the demo needs": timed("make", ".venv/.installed")}
    phantom = ["phantom", "demo/phantom", "--patients", "200", "--size", "64"]
    seconds["phantom"] = timed(".venv/bin/brainssl", *phantom)
    seconds["the rest of make demo"] = timed("make", "demo", f"BUDGET={budget}")
    seconds["make demo"] = round(seconds["phantom"] + seconds["the rest of make demo"], 1)
    demo = _demo(clone)
    told |= {
        "machine": _machine(clone, environment),
        "seconds": seconds,
        "demo": demo,
        "estimate_over_truth": round(
            demo["budget"]["seconds"] / seconds["the rest of make demo"], 2
        ),
    }


def _machine(clone: Path, environment: dict[str, str]) -> dict[str, Any]:
    script = (
        "import json, torch; from brainssl.hardware.device import precision_of; "
        "from brainssl.settings.sections import RunSettings; c = torch.cpu.get_capabilities(); "
        "p = precision_of(RunSettings()); print(json.dumps({'processor': c.get('cpu_name'), "
        "'units': [u for u in ('avx2', 'avx512_f', 'avx512_bf16', 'amx_bf16') if c.get(u)], "
        "'torch': torch.__version__, 'threads': torch.get_num_threads(), "
        "'precision': p.name, 'reason': p.reason}))"
    )
    answer = subprocess.run(
        [".venv/bin/python", "-c", script],
        cwd=clone,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    told: dict[str, Any] = json.loads(answer.stdout)
    told["held_to"] = {name: environment[name] for name in AVX2 if name in environment}
    return told


def _demo(clone: Path) -> dict[str, Any]:
    results = json.loads((clone / "demo/study/results.json").read_text("utf-8"))
    study = results["study"]
    split = study["splits"]["grouped"]
    counts = split["counts"]["test"]
    rows = [
        {
            "method": row["method"],
            "stage": row["stage"],
            "label_fraction": row["label_fraction"],
            "seed": row["seed"],
            "accuracy": row["metrics"]["accuracy"],
            "interval": row["intervals"]["accuracy"],
        }
        for row in results["rows"]
        if row["split"] == "test"
    ]
    return {
        "command": study["command"],
        "budget": study["budget"],
        "time": study["time"],
        "split_digest": split["digest"],
        "images": split["images"],
        "groups": split["groups"],
        "chance": 1 / len(counts),
        "most_frequent_class": max(counts.values()) / sum(counts.values()),
        "rows": rows,
    }


if __name__ == "__main__":
    main()
