"""Does a study that was hurt end as one that was left alone?

A small study of simulated patients is made once untouched. Then others are killed (SIGKILL) at
random moments, again and again on the same folder, with one process, with two that share the
steps, and with two commands on one folder; ended by SIGTERM and Ctrl-C; given a disk that is full,
a folder that becomes read-only, a clock that jumped while it stood still, a source that vanishes.
Whatever stops by itself must say why in one line, without a traceback, and leave no process. Each
is then run again, mended, to its end: `results.json`, but for times and the command, and every
weight and prediction must equal the untouched ones.

Moments are drawn from a seed, over the time that the untouched study took. What had ended before
it could be hurt does not count. Who fills a disk or makes a folder read-only mounts it, and must be
root under Linux; else both are left out, and that is told.

    scripts/torture --kills 50 --out results/torture-2cores.json
    scripts/torture --only disk-full,source-gone
"""

import argparse
import hashlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from brainssl.foundation.storage import write_json
from brainssl.settings import load_settings
from brainssl.studies.record import environment

BRAINSSL = [sys.executable, "-m", "brainssl"]
SETTINGS = (
    "encoder.name=test_resnet",
    "encoder.image_size=32",
    "pretrain.epochs=4",
    "pretrain.batch_size=16",
    "finetune.epochs=3",
    "finetune.min_epoch_steps=0",
    "evaluation.draws=50",
    "split.val_fraction=0.25",
    "split.test_fraction=0.25",
    "run.accelerator=cpu",
)
ASKED = ["--methods", "simclr", "--folds", "1", "--seeds", "1", "--label-fractions", "1.0"]
ASKED += ["--explain", "2", "--no-classical"]
CHANGING = {"seconds", "time", "created", "command"}  # of results.json, from run to run
WAIT = 600.0  # seconds until something counts as hanging
CLOCK = 86_400.0  # seconds by which it jumps
SMALL, LARGE = ("100k", "300k", "1m", "3m"), "512m"  # of disks that are not, and are, large enough
MOST = 10  # studies of which one must be met at work


class BrokenError(Exception):
    """What must not be was seen."""


@dataclass
class Torture:
    """One study of one source, and how it is when it was left alone.

    Attributes:
        folder: for everything.
        draw: of moments.
        seconds: from the first file of the untouched study to its end.
        untouched: what is the same in every run.
        runs: how many commands were begun.
    """

    folder: Path
    draw: random.Random
    seconds: float = 0.0
    untouched: dict[str, Any] = field(default_factory=dict)
    runs: int = 0

    @property
    def source(self) -> Path:
        """The simulated patients."""
        return self.folder / "phantom"

    def begin(self) -> None:
        """Simulate the patients and make the study that nobody touches."""
        command = [*BRAINSSL, "phantom", str(self.source), "--patients", "30"]
        subprocess.run([*command, "--size", "64"], check=True, capture_output=True)
        out = self.folder / "untouched"
        with self.started(out) as process:
            began = self.first_file(process, out)
            self.well_ended(process)
            self.seconds = time.monotonic() - began
        self.untouched = lasting(out)

    @contextmanager
    def started(self, out: Path, jobs: int = 1) -> Iterator["subprocess.Popen[str]"]:
        """Start a study in a session of its own; what is left of it at the end is killed."""
        words = ["study", str(self.source), str(out), "--jobs", str(jobs), *ASKED]
        for setting in SETTINGS:
            words += ["--set", setting]
        self.runs += 1
        with tempfile.TemporaryFile("w+") as told:
            process = subprocess.Popen(
                [*BRAINSSL, *words],
                stdout=subprocess.DEVNULL,
                stderr=told,
                text=True,
                start_new_session=True,
            )
            process.stderr = told
            try:
                yield process
            finally:
                kill_all(process)

    def first_file(self, process: "subprocess.Popen[str]", out: Path) -> float:
        """Wait until a study writes, or has ended; return that moment."""
        deadline = time.monotonic() + WAIT
        while process.poll() is None and not (out / "study.json").exists():
            if time.monotonic() > deadline:
                raise BrokenError("nothing was written")
            time.sleep(0.01)
        return time.monotonic()

    def moment(self, process: "subprocess.Popen[str]", out: Path) -> bool:
        """Wait until a random moment of a study; tell whether it still runs then."""
        self.first_file(process, out)
        with suppress(subprocess.TimeoutExpired):
            process.wait(self.draw.uniform(0, self.seconds))
        return process.poll() is None

    def well_ended(self, process: "subprocess.Popen[str]") -> None:
        """Wait for an end that is none by a fault."""
        if code := waited(process):
            raise BrokenError(f"exit {code}: {said(process)}")

    def stopped(self, process: "subprocess.Popen[str]", *codes: int) -> str:
        """Wait for an end by a fault, and return the line that tells it."""
        code, text = waited(process), said(process)
        if code not in codes:
            raise BrokenError(f"exit {code} where {codes} were expected: {text}")
        if "Traceback" in text:
            raise BrokenError(f"a traceback: {text}")
        if left := [one for one in psutil.process_iter() if owned(one, process)]:
            raise BrokenError(f"processes are left: {left}")
        return text.strip().splitlines()[-1] if text.strip() else ""

    def shown(self, line: str) -> str:
        """Return a line without the folder that is of this run alone."""
        return line.replace(str(self.folder), "…")

    def healed(self, out: Path, jobs: int = 1) -> None:
        """Run a study to its end, and compare it with the untouched one."""
        with self.started(out, jobs) as process:
            self.well_ended(process)
        self.compare(out)

    def compare(self, out: Path) -> None:
        """Refuse a study that is not as the untouched one."""
        found = lasting(out)
        for name in sorted(self.untouched.keys() | found.keys()):
            if self.untouched.get(name) != found.get(name):
                raise BrokenError(f"{name} is another one in {out}")
        if not (out / "report.html").is_file():
            raise BrokenError(f"{out} has no report")


def lasting(out: Path) -> dict[str, Any]:
    """Return what must be the same in every run: scores, weights, predictions, by their names."""
    results = json.loads((out / "results.json").read_text("utf-8"))
    kept: dict[str, Any] = {"results.json": _without_times(results)}
    for file in sorted((out / "steps").glob("[!.]*/*.*")):
        if file.suffix == ".safetensors":
            content = file.read_bytes()
            content = content[8 + int.from_bytes(content[:8], "little") :]
        elif file.suffix == ".parquet":
            content = file.read_bytes()
        else:
            continue
        kept[file.relative_to(out).as_posix()] = hashlib.sha256(content).hexdigest()
    hidden = [file.name for file in (out / "steps").glob(".*")]
    if hidden:
        raise BrokenError(f"{out / 'steps'} still has {hidden}")
    return kept


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if k not in CHANGING}
    return [_without_times(one) for one in value] if isinstance(value, list) else value


def waited(process: "subprocess.Popen[str]") -> int:
    """Wait for an end, and return the exit code."""
    try:
        return process.wait(WAIT)
    except subprocess.TimeoutExpired:
        raise BrokenError(f"it hangs: {said(process)}") from None


def said(process: "subprocess.Popen[str]") -> str:
    """Return what a process wrote to its standard error."""
    assert process.stderr is not None
    process.stderr.seek(0)
    return process.stderr.read()


def owned(one: psutil.Process, process: "subprocess.Popen[str]") -> bool:
    """Tell whether a process is of the session of another."""
    with suppress(OSError, psutil.Error):
        return one.status() != psutil.STATUS_ZOMBIE and os.getsid(one.pid) == process.pid
    return False


def kill_all(process: "subprocess.Popen[str]") -> None:
    """Kill a process and its workers at once, as a machine does that loses power."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def killed(torture: Torture, kills: int) -> str:
    """Kill studies at random moments; each is begun again until it ends."""
    done = studies = 0
    while done < kills:
        out, jobs = torture.folder / f"killed-{studies}", 1 + studies % 2
        ended = False
        while not ended and done < kills:
            with torture.started(out, jobs) as process:
                ended = not torture.moment(process, out)
                if ended:
                    torture.well_ended(process)
                elif torture.draw.random() < 0.5:
                    kill_all(process)  # workers, too
                else:
                    process.kill()
                    _orphans_end(process)
            done += not ended
        torture.healed(out, jobs)
        shutil.rmtree(out)
        studies += 1
    return f"{done} kills, {studies} studies"


def _orphans_end(process: "subprocess.Popen[str]") -> None:
    """Wait until workers whose parent was killed have ended by themselves."""
    deadline = time.monotonic() + WAIT
    while any(owned(one, process) for one in psutil.process_iter()):
        if time.monotonic() > deadline:
            raise BrokenError("workers outlive the process that was killed")
        time.sleep(0.05)


def repeated(hurt: Callable[[Torture, Path, int], str | None]) -> Callable[[Torture, int], str]:
    """Return what hurts a tenth as many studies as are killed, and lets each end well after it.

    Args:
        hurt: is given where a study goes and how many processes it has; returns what it said, and
            None if it had ended before it could be hurt.
    """

    def act(torture: Torture, kills: int) -> str:
        times, told = max(1, kills // 10), list[str]()
        for attempt in range(MOST * times):
            out, jobs = torture.folder / f"study-{torture.runs}", 1 + attempt % 2
            line = hurt(torture, out, jobs)
            torture.healed(out, jobs)
            if line is not None:
                told.append(torture.shown(line))
            if len(told) == times:
                return "; ".join([f"{times} times", *sorted(filter(None, set(told)))])
        raise BrokenError(f"of {MOST * times} studies only {len(told)} were met at work")

    return act


def two_at_it(torture: Torture, out: Path, jobs: int) -> str | None:
    """Start two commands on one folder, and kill one of them."""
    with torture.started(out, jobs) as one, torture.started(out, jobs) as other:
        met = torture.moment(one, out)
        victim, survivor = torture.draw.choice([(one, other), (other, one)])
        kill_all(victim)
        torture.well_ended(survivor)
    torture.compare(out)
    return "" if met else None


def signalled(number: signal.Signals, code: int) -> Callable[[Torture, Path, int], str | None]:
    """Return what ends a study by a signal."""

    def hurt(torture: Torture, out: Path, jobs: int) -> str | None:
        with torture.started(out, jobs) as process:
            if torture.moment(process, out):
                process.send_signal(number)
            # It may have ended meanwhile, or be so near it that nobody listens to signals any more.
            line = torture.stopped(process, code, 0, -number)
            return line if process.returncode == code else None

    return hurt


def read_only(torture: Torture, out: Path, jobs: int) -> str | None:
    """Let the folder become read-only in the middle, but for files that are open."""
    with torture.started(out, jobs) as process:
        if torture.moment(process, out):
            _mount("--bind", str(out), str(out))
            try:
                _mount("-o", "remount,bind,ro", str(out))
                line = torture.stopped(process, 1, 0)
            finally:
                subprocess.run(["umount", "--lazy", str(out)], check=False)
        else:
            line = torture.stopped(process, 0)
        return line if process.returncode else None


def clock_jumped(torture: Torture, out: Path, jobs: int) -> str | None:
    """Kill a study and let the clock jump: its files are of tomorrow, or of yesterday."""
    with torture.started(out, jobs) as process:
        met = torture.moment(process, out)
    jump = torture.draw.choice((CLOCK, -CLOCK))
    for file in [out, *out.rglob("*")]:
        with suppress(FileNotFoundError):
            moment = file.stat().st_mtime + jump
            os.utime(file, (moment, moment))
    return "" if met else None


def source_gone(torture: Torture, out: Path, jobs: int) -> str | None:
    """Take the images away as a study begins or later, and bring them back."""
    away = torture.source.with_name("away")
    with torture.started(out, jobs) as process:
        torture.draw.choice((torture.first_file, torture.moment))(process, out)
        torture.source.rename(away)
        try:
            line = torture.stopped(process, 1, 0)  # 0: it had read them all
        finally:
            away.rename(torture.source)
        return line if process.returncode else None


def disk_full(torture: Torture, _: int) -> str:
    """Fill the disk, here and there; then there is room."""
    told = set()
    for number, size in enumerate(SMALL):
        folder = torture.folder / f"full-{number}"
        folder.mkdir()
        _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
        try:
            with torture.started(folder / "out") as process:
                told.add(torture.shown(torture.stopped(process, 1)))
            _mount("-o", f"remount,size={LARGE}", str(folder))
            torture.healed(folder / "out")
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)
    return "; ".join([f"{len(SMALL)} sizes", *sorted(told)])


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


TORTURES: dict[str, Callable[[Torture, int], str]] = {
    "killed": killed,
    "two-at-it": repeated(two_at_it),
    "sigterm": repeated(signalled(signal.SIGTERM, 143)),
    "interrupted": repeated(signalled(signal.SIGINT, 130)),
    "disk-full": disk_full,
    "read-only": repeated(read_only),
    "clock": repeated(clock_jumped),
    "source-gone": repeated(source_gone),
}
OF_ROOT = ("disk-full", "read-only")


def main() -> None:
    """Run all, and tell what became of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="of SIGKILL; of the others a tenth")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", default=",".join(TORTURES), help="comma-separated")
    parser.add_argument("--out", type=Path, help="JSON file of what was seen")
    asked = parser.parse_args()
    chosen = asked.only.split(",")
    if unknown := set(chosen) - set(TORTURES):
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(TORTURES)}")
    # Whoever runs in the background is begun with Ctrl-C ignored, and would hand that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    told, broken = {}, 0
    with tempfile.TemporaryDirectory() as folder:
        torture = Torture(Path(folder), random.Random(asked.seed))
        torture.begin()
        print(f"untouched: {torture.seconds:.1f} s", flush=True)
        for name in chosen:
            try:
                if name in OF_ROOT and (os.name != "posix" or os.geteuid() != 0):
                    told[name] = "left out: only root mounts a file system"
                else:
                    told[name] = TORTURES[name](torture, asked.kills)
            except Exception as error:  # noqa: BLE001 - what else goes wrong is told, too
                told[name], broken = f"BROKEN: {error!r}", broken + 1
            print(f"{name}: {told[name]}", flush=True)
    if asked.out:
        facts = {
            "what": "studies that were hurt, each run again to the results of an untouched one",
            "command": shlex.join(["scripts/torture", *sys.argv[1:]]),
            "environment": environment(load_settings("quick", list(SETTINGS))[0]),
            "commands": torture.runs,
            "seen": told,
        }
        write_json(asked.out, facts)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
