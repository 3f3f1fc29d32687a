"""The steps of a study without what follows on them, and what can be compared of them."""

import json
from pathlib import Path

from brainssl.foundation.progress import Terminal
from brainssl.studies.plan import Plan
from brainssl.studies.preparation import prepared
from brainssl.studies.run import Study
from brainssl.studies.scheduling.here import Here
from brainssl.studies.scheduling.scheduler import Scheduler


def work(
    plan: Plan, out: Path, scheduler: Scheduler | None = None, terminal: Terminal | None = None
) -> None:
    """Settle the steps of a study."""
    terminal = terminal or Terminal(quiet=True)
    with prepared(plan, out, Terminal(quiet=True)) as ground:
        Study(plan, out, terminal).work_off(ground, scheduler or Here())


def made(out: Path) -> dict[str, object]:
    """Return weights and predictions of each finished step, which nothing but the plan decides."""
    weights = {_name(file, out): _tensors(file) for file in _files(out, "*.safetensors")}
    predictions = {_name(file, out): file.read_bytes() for file in _files(out, "*.parquet")}
    return weights | predictions


def _files(out: Path, kind: str) -> list[Path]:
    return sorted((out / "steps").glob(f"[!.]*/{kind}"))


def _name(file: Path, out: Path) -> str:
    return file.relative_to(out).as_posix()


def _tensors(file: Path) -> tuple[object, bytes]:
    """Return the head of a safetensors file, whose facts have no order, and the bytes of all."""
    content = file.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]
