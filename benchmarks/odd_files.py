"""What `brainssl predict` and `brainssl serve` make of some hundred bad and odd files and paths.

`tests/oracles/odd_files.py` makes them. The command meets each in a process of its own, which is
forked from one that has imported everything, may take 3 GiB of address space more than it begins
with, and a minute. The service meets each in a request, and after it a good one. A fault is: a
traceback, a death, a minute that is over, an answer that is not finite, a refusal that is not one
line that names the file, a status from 500 up, a good file that is not answered after, or an
answer where a refusal is due, or the other way round.

    python benchmarks/odd_files.py --out results/odd-files.json
"""

import argparse
import contextlib
import json
import math
import os
import platform
import resource
import shlex
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from oracles.odd_files import odd_files, odd_paths, sampled  # noqa: E402
from oracles.odd_pictures import brain, saved  # noqa: E402
from predict import made_up  # noqa: E402
from serve import Served  # noqa: E402

MEMORY, SECONDS = 3 * 2**30, 60


@dataclass
class Met:
    """How a file was met.

    Attributes:
        name: of the file.
        outcome: `answered`, `refused`, or a fault.
        said: exit code or status, and the line that was told.
        seconds: until the end.
        mib: of memory, beyond what the process had before.
    """

    name: str
    outcome: str
    said: str
    seconds: float
    mib: float


def by_command(classifier: Path, path: Path, name: str, must: str) -> Met:
    """Give a file to the command in a process of its own."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun = time.perf_counter()
        child = os.fork()
        if child == 0:
            _be_command(classifier, path, out.fileno(), err.fileno())
        status, used = _waited(child, begun + SECONDS)
        seconds = time.perf_counter() - begun
        out.seek(0)
        err.seek(0)
        printed, told = out.read(), err.read().decode("utf-8", "replace")
    mib = (used.ru_maxrss - resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024
    outcome, said = _judged(status, printed, told, str(path))
    return Met(name, _due(outcome, must), said, round(seconds, 2), round(max(mib, 0.0), 1))


def _be_command(classifier: Path, path: Path, out: int, err: int) -> None:
    """Be the command, and end."""
    code = 70
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        began = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (began + MEMORY, began + MEMORY))
        from brainssl.cli import app

        try:
            app(["predict", str(classifier), "--json", "--", str(path)], prog_name="brainssl")
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:  # noqa: BLE001 - as Python itself would
            import traceback

            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _waited(child: int, until: float) -> tuple[int | None, resource.struct_rusage]:
    while True:
        found, status, used = os.wait4(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), used
        if time.perf_counter() > until:
            os.kill(child, signal.SIGKILL)
            return None, os.wait4(child, 0)[2]
        time.sleep(0.01)


def _judged(status: int | None, printed: bytes, told: str, path: str) -> tuple[str, str]:
    answer = json.loads(printed) if printed else {"notes": [], "lacks": [], "patients_from": None}
    notes = [*answer["notes"], *answer["lacks"], answer["patients_from"]]
    lines = [line for line in told.splitlines() if line.removeprefix("brainssl: ") not in notes]
    said = f"{status}: {' | '.join(lines)[-300:]}"
    if status is None:
        return "hangs", said
    if status not in (0, 1, 2):
        return "dies", said
    if "Traceback" in told:
        return "traceback", said
    if status == 0:
        rows = answer["predictions"]
        good = rows and all(math.isfinite(row["probability"]) for row in rows)
        return ("answered" if good else "answers nothing"), said
    plain = "".join(one if one.isprintable() else "\0" for one in path).split("\0")
    named = any(all(part[-60:] in line for part in plain) for line in lines)
    if len(lines) != 1 or not lines[0].startswith("brainssl: "):
        return "more or less than a line", said
    return ("refused" if named else "does not name the file"), said


def _due(outcome: str, must: str) -> str:
    wrong = {("answered", "broken"), ("refused", "whole")}
    return f"{outcome}, wrongly" if (outcome, must) in wrong else outcome


def by_service(served: Served, name: str, data: bytes, must: str) -> Met:
    """Send a file to the service, and a good one after it."""
    before = memory(served)
    begun = time.perf_counter()
    try:
        answer = httpx.post(f"{served.url}/predict", files={"files": (name, data)}, timeout=SECONDS)
        seconds = time.perf_counter() - begun
        told = answer.json()
        good = httpx.post(
            f"{served.url}/predict", files={"files": ("a.png", GOOD)}, timeout=SECONDS
        )
    except httpx.HTTPError as error:
        return Met(name, "no answer", type(error).__name__, SECONDS, 0.0)
    said = f"{answer.status_code}: {told.get('error', '')}"
    outcome = "refused" if 400 <= answer.status_code < 500 else "server error"
    if answer.status_code == 200:
        rows = told["predictions"]
        outcome = "answered" if all(math.isfinite(row["probability"]) for row in rows) else "odd"
    elif "\n" in answer.text or "cannot be read" in told["error"]:
        outcome = "is not told why"
    if good.status_code != 200:
        outcome = "a good file is not answered after"
    return Met(
        name,
        _due(outcome, must),
        said,
        round(seconds, 2),
        round(max(0, memory(served) - before), 1),
    )


GOOD = saved(brain())


def memory(served: Served) -> float:
    """Return the most MiB that the service and its decoders ever held, each."""
    one = psutil.Process(served.process.pid)
    most = 0.0
    for each in [one, *one.children(recursive=True)]:
        with contextlib.suppress(OSError, psutil.Error):
            text = Path(f"/proc/{each.pid}/status").read_text()
            most += int(text.partition("VmHWM:")[2].split()[0]) / 1024
    return most


def summed(met: Sequence[Met]) -> dict[str, Any]:
    """Return counts, extremes and faults."""
    slowest = max(met, key=lambda one: one.seconds)
    largest = max(met, key=lambda one: one.mib)
    return {
        "outcomes": dict(Counter(one.outcome for one in met)),
        "slowest": {"file": slowest.name, "seconds": slowest.seconds},
        "largest": {"file": largest.name, "mib": largest.mib},
        "faults": [asdict(one) for one in met if one.outcome not in ("answered", "refused")],
    }


def main() -> None:
    """Meet all files and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--all", type=Path, help="JSON file to write of every file")
    parser.add_argument("--count", type=int, help="of files; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="files whose names hold this")
    parser.add_argument("--without", default="", help="command or service")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command, service = measured(asked, Path(folder))
    results = {
        "what": "what became of bad and odd files, each given alone to predict and to serve",
        "command": shlex.join(["python", *sys.argv]),
        "machine": {"cores": os.cpu_count(), "processor": platform.machine()},
        "limits": {"seconds": SECONDS, "mib_of_address_space": MEMORY // 2**20},
        **({"predict": {"files": len(command)} | summed(command)} if command else {}),
        **({"serve": {"files": len(service)} | summed(service)} if service else {}),
    }
    text = json.dumps(results, indent=1)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")
    if asked.all:
        both = {"predict": command, "serve": service}
        every = {name: [asdict(one) for one in met] for name, met in both.items()}
        asked.all.write_text(json.dumps(every, indent=0))


def measured(asked: argparse.Namespace, folder: Path) -> tuple[list[Met], list[Met]]:
    """Meet all files."""
    (folder / "classifier").mkdir()
    made_up("test_resnet", 32, folder / "classifier")
    files = [one for one in odd_files(asked.seed) if asked.only in one.name]
    files = sampled(files, asked.count, asked.seed) if asked.count else files
    command, service = [], []
    if asked.without != "service":
        served = Served(folder / "classifier")
        service = [told(by_service(served, one.name, one.data, one.must)) for one in files]
        served.process.send_signal(signal.SIGTERM)
        served.process.wait(60)
    if asked.without != "command":
        warmed(folder)
        (folder / "files").mkdir()
        for one in files:
            path = folder / "files" / one.name
            path.write_bytes(one.data)
            command.append(told(by_command(folder / "classifier", path, one.name, one.must)))
        (folder / "paths").mkdir()
        with odd_paths(folder / "paths") as paths:
            for path, must in paths:
                if asked.only in path.name:
                    name = ascii(str(path).removeprefix(f"{folder}/paths/")[-60:])
                    command.append(told(by_command(folder / "classifier", path, name, must)))
    return command, service


def told(met: Met) -> Met:
    """Say how a file was met, while others are still to come."""
    print(json.dumps(asdict(met)), file=sys.stderr, flush=True)
    return met


def warmed(folder: Path) -> None:
    """Import what the command needs, so that each process has it."""
    import nibabel  # noqa: F401
    import pydicom  # noqa: F401
    import torch

    import brainssl

    (folder / "good.png").write_bytes(GOOD)
    torch.set_num_threads(1)  # with a team of OpenMP's here, forks would wait for it for ever
    brainssl.predict(folder / "classifier", folder / "good.png")


if __name__ == "__main__":
    main()
