"""The steps of a study without what follows on them, and what can be compared of them."""

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


def made(out: Path) -> dict[str, bytes]:
    """Return weights and predictions of each finished step, which nothing but the plan decides."""
    return {
        str(file.relative_to(out)): file.read_bytes()
        for kind in ("*.safetensors", "predictions.parquet")
        for file in sorted((out / "steps").glob(f"[!.]*/{kind}"))
    }
