"""The whole comparison: a grid of steps, each one complete or absent."""

import hashlib
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from brainssl import __version__
from brainssl.classifier import device_of
from brainssl.data.audit import audit_scan
from brainssl.data.balance import balance
from brainssl.data.scan import scan
from brainssl.data.split import PARTS, Protocol, make_split
from brainssl.data.store import ImageStore, is_store, prepare
from brainssl.encoders import Encoder, build_encoder, load_encoder
from brainssl.errors import BrainsslError
from brainssl.progress import Report, Terminal
from brainssl.reporting import render_report
from brainssl.settings import Settings
from brainssl.stages import Data, Features, finetune_stage, probe_stage
from brainssl.storage import read_json, write_json
from brainssl.training.pretrain import pretrain
from brainssl.views.recipes import augment_table2

UNTRAINED = "untrained"
SUPERVISED = "supervised"


@dataclass(frozen=True)
class Plan:
    """What to compare.

    Attributes:
        source: folder of images, or a prepared store.
        labels: CSV that maps folders or files to labels.
        methods: of self-supervision; the supervised baseline is always there.
        protocols: how the data are split; the first is the one that the report leads with.
        label_fractions: shares of the training labels.
        seeds: how many trainings of everything.
        seed: of the split; trainings have the seeds seed, seed + 1, ...
        preset: name, for the record.
        settings: resolved.
        reasons: why each setting is what it is.
        command: as typed, for the record.
    """

    source: Path
    labels: Path | None
    methods: tuple[str, ...]
    protocols: tuple[Protocol, ...]
    label_fractions: tuple[float, ...]
    seeds: int
    seed: int
    preset: str
    settings: Settings
    reasons: dict[str, str]
    command: str


@dataclass(frozen=True)
class Step:
    """One cell of the grid: `run` makes the folder of this name."""

    name: str
    run: Callable[[Path, Report], object]


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
        self.out.mkdir(parents=True, exist_ok=True)
        store, audit = self._store()
        self._claim(store)
        shared = {protocol: self._data(store, protocol) for protocol in self.plan.protocols}
        total = sum(1 for _ in self._steps(shared))
        rows: list[dict[str, Any]] = []
        for number, step in enumerate(self._steps(shared), start=1):
            rows += self._finish(step, f"[{number}/{total}] {step.name}")
        if not rows:
            raise BrainsslError(f"no step of the study succeeded; the first failed: {self.failed}")
        study = self._describe(shared, audit, rows)
        write_json(self.out / "results.json", {"study": study, "rows": rows})
        with self.terminal.task("report"):
            return render_report(self.out)

    def _store(self) -> tuple[ImageStore, dict[str, Any] | None]:
        """Open the source's store, or scan, audit and prepare the source into `out/store`."""
        path, size = self.out / "store", self.plan.settings.encoder.image_size
        if is_store(self.plan.source):
            if self.plan.labels:
                raise BrainsslError(
                    f"{self.plan.source} is a prepared store and has its labels: leave out "
                    "--labels, or give the folder of images"
                )
            store = ImageStore.open(self.plan.source)
            store.require_size(size)
            if not path.exists():
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

    def _claim(self, store: ImageStore) -> None:
        """Refuse a folder that holds a study of other data or settings: its steps are reused."""
        file = self.out / "study.json"
        labels = self.plan.labels
        own = {
            "source": self.plan.source.name,
            "labels": hashlib.sha256(labels.read_bytes()).hexdigest() if labels else None,
            "store": store.checksum,
            "seed": self.plan.seed,
            "settings": self.plan.settings.model_dump(mode="json"),
        }
        if file.is_file() and read_json(file, "the identity of a study") != own:
            raise BrainsslError(
                f"{self.out} holds a study of other data, seed or settings: choose another folder"
            )
        write_json(file, own)

    def _data(self, store: ImageStore, protocol: Protocol) -> Data:
        if protocol == "paper":
            store = self._balanced(store)
        chosen = self.plan.settings.split.model_dump()
        split = make_split(store.manifest, protocol=protocol, seed=self.plan.seed, **chosen)
        split.save(self.out / "splits" / f"{protocol}.json")
        counts = ", ".join(f"{part} {len(split.ids(part))}" for part in PARTS)
        self.terminal.say(f"split {protocol}: {counts}; digest {split.digest[:12]}")
        for warning in split.warnings:
            self.terminal.say(f"warning: {warning}")
        return Data(store, split)

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
            yield Step(name, partial(self._pretrain, data, method, seed))
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
                self._note_seconds(step.name, time.perf_counter() - started)
            rows: list[dict[str, Any]] = []
            if (folder / "rows.json").is_file():
                rows = read_json(folder / "rows.json", "the results of a step")
        except Exception as error:  # noqa: BLE001 - one failed step must not cost the others
            message = " ".join(str(error).split()) or type(error).__name__
            self.failed.append({"step": step.name, "error": message})
            self.terminal.say(f"{title}: FAILED: {message}")
            return []
        return [row | {"step": f"steps/{step.name}"} for row in rows]

    def _seconds(self) -> dict[str, float]:
        """Return how long each finished step took, over all calls."""
        file = self.out / "seconds.json"
        return read_json(file, "the durations of steps") if file.is_file() else {}

    def _note_seconds(self, name: str, seconds: float) -> None:
        write_json(self.out / "seconds.json", self._seconds() | {name: round(seconds, 1)})

    def _describe(
        self,
        shared: dict[Protocol, Data],
        audit: dict[str, Any] | None,
        rows: list[dict[str, Any]],
    ) -> dict[str, Any]:
        plan = self.plan
        warnings = [warning for data in shared.values() for warning in data.split.warnings]
        return {
            "brainssl": __version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": plan.command,
            "source": plan.source.name,
            "simulated": next(iter(shared.values())).store.facts.get("simulated", False),
            "preset": plan.preset,
            "seed": plan.seed,
            "seeds": plan.seeds,
            "methods": list(plan.methods),
            "protocols": list(plan.protocols),
            "label_fractions": list(plan.label_fractions),
            "classes": list(next(iter(shared.values())).store.classes),
            "settings": plan.settings.model_dump(mode="json"),
            "reasons": plan.reasons | _passes(rows),
            "splits": {protocol: _split_facts(data) for protocol, data in shared.items()},
            "audit": audit,
            "best": _best(rows, plan.protocols[0]),
            "environment": _environment(plan.settings),
            "warnings": warnings,
            "failed": self.failed,
            "seconds": round(sum(self._seconds().values()), 1),
        }


def _split_facts(data: Data) -> dict[str, Any]:
    manifest, split = data.store.manifest, data.split
    parts = {part: manifest.iloc[split.indices(manifest, part)] for part in PARTS}
    return {
        "file": f"splits/{split.protocol}.json",
        "digest": split.digest,
        "seed": split.seed,
        "images": {part: len(own) for part, own in parts.items()},
        "groups": {part: int(own["group"].nunique()) for part, own in parts.items()},
        "unlabelled": len(split.unlabelled),
        "left_out": len(split.left_out),
        "counts": {
            part: {label: int(n) for label, n in own["label"].value_counts().sort_index().items()}
            for part, own in parts.items()
        },
        "warnings": list(split.warnings),
    }


def _passes(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Say how finetune.min_epoch_steps worked out at each label fraction."""
    return {
        f"passes through the labels an epoch, at {row['label_fraction']:g} of them": (
            f"{row['passes']}, by finetune.min_epoch_steps"
        )
        for row in rows
        if "passes" in row
    }


def _best(rows: list[dict[str, Any]], protocol: Protocol) -> dict[str, Any]:
    """Name the classifier with the best validation macro F1: the test set must not choose."""
    candidates = [row for row in rows if row["split"] == "val" and row["protocol"] == protocol]
    if not candidates:
        return {}
    best = max(candidates, key=lambda row: row["metrics"]["f1_macro"] or 0.0)
    file = f"{best['step']}/classifier.safetensors"
    return {"classifier": file, "chosen_by": "macro F1 on the validation set", "step": best["step"]}


def _environment(settings: Settings) -> dict[str, Any]:
    gpu = device_of(settings.run).type == "cuda"
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(0) if gpu else "CPU",
        "cpus": os.cpu_count(),
        "precision": settings.run.precision,
    }
