"""The whole comparison: a grid of steps, each one complete or absent."""

import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from brainssl.classifier import device_of
from brainssl.data.audit import audit_scan
from brainssl.data.balance import balance
from brainssl.data.dataset import Data
from brainssl.data.scan import scan
from brainssl.data.split import PARTS, Protocol, make_split
from brainssl.data.store import ImageStore, is_store, prepare
from brainssl.encoders import Encoder, build_encoder, load_encoder
from brainssl.errors import BrainsslError
from brainssl.plan import Plan, differing, identity
from brainssl.progress import Report, Terminal
from brainssl.record import describe, environment
from brainssl.reporting import render_report
from brainssl.stages import Features, finetune_stage, probe_stage
from brainssl.storage import read_json, refuse_existing, write_atomically, write_json
from brainssl.training.pretrain import pretrain
from brainssl.views.recipes import augment_table2

UNTRAINED = "untrained"
SUPERVISED = "supervised"


@dataclass(frozen=True)
class Step:
    """One cell of the grid: `run` makes the folder of this name, with results if `measured`."""

    name: str
    run: Callable[[Path, Report], object]
    measured: bool = True


@dataclass
class Study:
    """A study in its folder. `run` does what is not done yet and writes results and report."""

    plan: Plan
    out: Path
    terminal: Terminal
    failed: list[dict[str, str]] = field(default_factory=list)

    def run(self) -> Path:
        """Run the grid and return the path of the report.

        A step that fails is reported and the others go on; finished steps are never run again.

        Raises:
            BrainsslError: the source or the plan is of no use, `out` holds another study, or
                no step succeeded.
        """
        # First what would make every step fail.
        build_encoder(**self.plan.settings.encoder.model_dump(), seed=self.plan.seed)
        device_of(self.plan.settings.run)
        self._claim(identity(self.plan))
        store, audit = self._store()
        shared = {protocol: self._data(store, protocol) for protocol in self.plan.protocols}
        total = sum(1 for _ in self._steps(shared))
        rows: list[dict[str, Any]] = []
        for number, step in enumerate(self._steps(shared), start=1):
            rows += self._finish(step, f"[{number}/{total}] {step.name}")
        if not rows:
            raise BrainsslError(
                f"no step succeeded; the first, {self.failed[0]['step']}: {self.failed[0]['error']}"
            )
        study = describe(self.plan, shared, audit, rows, self._log()) | {"failed": self.failed}
        write_json(self.out / "results.json", {"study": study, "rows": rows})
        with self.terminal.task("report"):
            return render_report(self.out)

    def _claim(self, own: dict[str, Any]) -> None:
        """Refuse a folder that holds finished steps of another study: they would be reused.

        What a study left that finished no step is taken away.
        """
        file, steps = self.out / "study.json", self.out / "steps"
        if not file.is_file():
            refuse_existing(self.out)
        elif other := differing(read_json(file, "the identity of a study"), own):
            if steps.is_dir() and any(not step.name.startswith(".") for step in steps.iterdir()):
                raise BrainsslError(
                    f"{self.out} holds finished steps of a study with another {', '.join(other)}: "
                    "choose another folder, or give what it was begun with"
                )
            for name in ("store", "store-paper", "audit", "splits", "steps"):
                _remove(self.out / name)
        write_json(file, own)

    def _store(self) -> tuple[ImageStore, dict[str, Any] | None]:
        """Open the source's store, or scan, audit and prepare the source into `out/store`."""
        path, size = self.out / "store", self.plan.settings.encoder.image_size
        if is_store(self.plan.source):
            store = ImageStore.open(self.plan.source)
            store.require_size(size)
            path.unlink(missing_ok=True)
            path.symlink_to(self.plan.source.resolve(), target_is_directory=True)
            return store, None
        if is_store(path):
            return ImageStore.open(path), read_json(self.out / "audit" / "audit.json", "an audit")
        with self.terminal.task("scan") as progress:
            found = scan(self.plan.source, labels=self.plan.labels, progress=progress)
        with self.terminal.task("audit"):
            audit = audit_scan(found, out=self.out / "audit")
        with self.terminal.task("prepare") as progress:
            return prepare(found, path, size=size, progress=progress), audit

    def _data(self, store: ImageStore, protocol: Protocol) -> Data:
        if protocol == "paper":
            store = self._balanced(store)
        chosen = self.plan.settings.split.model_dump()
        split = make_split(store.manifest, protocol=protocol, seed=self.plan.seed, **chosen)
        data = Data(store, split)
        split.save(self.out / "splits" / f"{protocol}.json")
        counts = ", ".join(f"{part} {len(split.ids(part))}" for part in PARTS)
        self.terminal.say(f"split {protocol}: {counts}; digest {split.digest[:12]}")
        for warning in split.warnings:
            self.terminal.say(f"warning: {warning}")
        return data

    def _balanced(self, store: ImageStore) -> ImageStore:
        path = self.out / "store-paper"
        if is_store(path):
            return ImageStore.open(path)
        with self.terminal.task("balance by augmentation") as progress:
            seed = self.plan.seed
            return balance(store, path, augment=augment_table2, seed=seed, progress=progress)

    def _steps(self, shared: dict[Protocol, Data]) -> Iterator[Step]:
        """Yield the grid in the order in which it runs."""
        for data in shared.values():
            for seed in range(self.plan.seed, self.plan.seed + self.plan.seeds):
                yield from self._steps_of_seed(data, seed)

    def _steps_of_seed(self, data: Data, seed: int) -> Iterator[Step]:
        settings, protocol = self.plan.settings, data.split.protocol
        device = device_of(settings.run)
        fresh = partial(build_encoder, **settings.encoder.model_dump(), seed=seed)
        yield from self._probes(data, Features(fresh, data.store, device), UNTRAINED, seed)
        for method in self.plan.methods:
            name = f"pretrain-{method}-{protocol}-s{seed}"
            yield Step(name, partial(self._pretrain, data, method, seed), measured=False)
            load = partial(load_encoder, self.out / "steps" / name)
            yield from self._probes(data, Features(load, data.store, device), method, seed)
            yield from self._finetunings(data, load, method, "finetune", seed)
        yield from self._finetunings(data, fresh, SUPERVISED, "supervised", seed)

    def _pretrain(self, data: Data, method: str, seed: int, folder: Path, report: Report) -> None:
        pretrain(
            data.store,
            data.split,
            folder,
            method=method,
            settings=self.plan.settings,
            seed=seed,
            resume=True,
            progress=report,
        )

    def _probes(self, data: Data, features: Features, method: str, seed: int) -> Iterator[Step]:
        for fraction in self.plan.label_fractions:

            def run(folder: Path, report: Report, fraction: float = fraction) -> None:
                probe_stage(
                    data,
                    features,
                    folder,
                    facts={"method": method},
                    settings=self.plan.settings,
                    label_fraction=fraction,
                    seed=seed,
                    progress=report,
                )

            yield Step(f"linear-{method}-{data.split.protocol}-f{fraction:g}-s{seed}", run)

    def _finetunings(
        self, data: Data, load: Callable[[], Encoder], method: str, stage: str, seed: int
    ) -> Iterator[Step]:
        for fraction in self.plan.label_fractions:

            def run(folder: Path, report: Report, fraction: float = fraction) -> None:
                finetune_stage(
                    data,
                    load(),
                    folder,
                    facts={"method": method, "stage": stage},
                    settings=self.plan.settings,
                    label_fraction=fraction,
                    seed=seed,
                    progress=report,
                )

            name = method if stage == SUPERVISED else f"{stage}-{method}"
            yield Step(f"{name}-{data.split.protocol}-f{fraction:g}-s{seed}", run)

    def _finish(self, step: Step, title: str) -> list[dict[str, Any]]:
        """Run a step unless its folder is there, and return its rows of results."""
        folder = self.out / "steps" / step.name
        try:
            if not folder.is_dir():
                started = time.perf_counter()
                with self.terminal.task(title) as progress:
                    step.run(folder, progress)
                self._note(step.name, time.perf_counter() - started)
            if not step.measured:
                return []
            rows: list[dict[str, Any]] = read_json(folder / "rows.json", "the results of a step")
        except Exception as error:  # noqa: BLE001 - one failed step must not cost the others
            message = " ".join(str(error).split()) or type(error).__name__
            trace = self.out / "failed" / f"{step.name}.txt"
            text = traceback.format_exc()
            write_atomically(trace, lambda beside: beside.write_text(text, encoding="utf-8"))
            self.failed.append(
                {"step": step.name, "error": message, "trace": f"failed/{trace.name}"}
            )
            self.terminal.say(f"{title}: FAILED: {message} (see {trace})")
            return []
        return [row | {"step": f"steps/{step.name}"} for row in rows]

    def _log(self) -> dict[str, dict[str, Any]]:
        """Return how long each finished step took and where it ran, over all calls."""
        file = self.out / "steps.json"
        return read_json(file, "the log of steps") if file.is_file() else {}

    def _note(self, name: str, seconds: float) -> None:
        entry = {"seconds": round(seconds, 1), **environment(self.plan.settings)}
        write_json(self.out / "steps.json", self._log() | {name: entry})


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
