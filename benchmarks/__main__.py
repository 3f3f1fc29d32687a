"""All benchmarks of speed with one command, each several times, and how far their ratios scatter.

Each runs in processes of its own and compares within one run, so that its ratios hold on whatever
machine it is; what they are over runs is told here. A file that is there already is not made again.

    python -m benchmarks scratch/speed
    python -m benchmarks scratch/speed serve explain --times 3
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SPEED = {
    "throughput": "throughput.py --out {}",
    "processor": "processor.py --rounds 2 --out {}",
    "archives": "archives.py {} --rounds 2",
    "explain": "explain.py --rounds 3 --out {}",
    "serve": "serve.py --encoder resnet10t --requests 32 --rounds 3 --memory 200 --out {}",
    "serve-resnet50": "serve.py --encoder resnet50 --requests 16 --rounds 2 --memory 80 --out {}",
}
"""How each is called; `{}` is the file that it writes."""

_RATIO = re.compile("ratio|share_of|times_|_over_")
_RATIOS = re.compile("ratios|times_")


def ratios_of(told: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, float]]:
    """Yield the ratios in what a benchmark has written, by the path of keys that leads to each.

    A number is one if its own key says so, or that of the table which it is in.
    """
    if isinstance(told, Mapping):
        for key, value in told.items():
            yield from ratios_of(value, (*path, str(key)))
    elif isinstance(told, list):
        for place, value in enumerate(told):
            yield from ratios_of(value, (*path, str(place)))
    elif isinstance(told, int | float) and not isinstance(told, bool) and _is_ratio(path):
        yield " / ".join(path), float(told)


def _is_ratio(path: Sequence[str]) -> bool:
    table, key = ("", "", *path)[-2:]
    return bool(_RATIO.search(key) or _RATIOS.match(table))


def spread(files: Sequence[Path]) -> dict[str, list[float]]:
    """Return each ratio's values over files, those that all of them have."""
    every = [dict(ratios_of(json.loads(file.read_text("utf-8")))) for file in files]
    return {
        name: [one[name] for one in every] for name in every[0] if all(name in one for one in every)
    }


def main() -> None:
    """Run them, and tell the ratios."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("out", type=Path, help="folder for what they write")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(SPEED)}; all without any")
    parser.add_argument("--times", type=int, default=2)
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in SPEED]:
        parser.error(f"no benchmark {unknown[0]}: there are {', '.join(SPEED)}")
    args.out.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in args.names or SPEED:
        files = [args.out / f"{name}-{number}.json" for number in range(1, args.times + 1)]
        for file in (one for one in files if not one.exists()):
            script, *options = SPEED[name].format(file).split()
            sys.stderr.write(f"{name}: {file.name}\n")
            subprocess.run([sys.executable, HERE / script, *options], check=True)
        found[name] = spread(files)
        for ratio, values in found[name].items():
            sys.stdout.write(f"{name}: {ratio}: {min(values):g} to {max(values):g}\n")
    (args.out / "spread.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
