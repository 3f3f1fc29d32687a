"""What all steps of a study share, made by the one process that runs it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainssl.data.archives.opening import telling_of_key
from brainssl.data.audit import audit_scan
from brainssl.data.balance import balance
from brainssl.data.dataset import Data
from brainssl.data.folds import Fold, leave_out, make_folds, split_name
from brainssl.data.kept import Kept
from brainssl.data.prepare import prepare
from brainssl.data.scan import kept_beside, scan
from brainssl.data.split import Protocol, Split, make_split
from brainssl.data.store import ImageStore, is_store
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.locks import BusyError, locked
from brainssl.foundation.progress import Terminal
from brainssl.foundation.storage import damage, read_json, remove, write_json
from brainssl.studies.grid import grid
from brainssl.studies.identity import IDENTITY, digest_of, finished_steps, identity, is_begun
from brainssl.studies.journal import Journal, noting
from brainssl.studies.plan import Plan
from brainssl.studies.starts import HELD, digests_of, keep_digests, refuse_changed
from brainssl.studies.trials import KEPT, Change, kept_changes
from brainssl.views.recipes import augment_table2

GROUND = ("store", "store-paper", "splits", KEPT)
"""What `opened` reads of a study's folder."""

_RUNNING = ".running.lock"


@dataclass(frozen=True)
class Prepared:
    """The ground of a study.

    Attributes:
        data: store and split of each protocol and fold, None where there is one split.
        audit: of the source; None if that is a store.
        journal: of this run.
        changes: of settings, one a trial.
    """

    data: dict[tuple[Protocol, Fold | None], Data]
    audit: dict[str, Any] | None
    journal: Journal
    changes: tuple[Change, ...] = (Change(),)

    @property
    def honest(self) -> Data:
        """Store and split of the protocol that leaks least; of folds, the first."""
        return next((d for (name, _), d in self.data.items() if name == "grouped"), self.first)

    @property
    def first(self) -> Data:
        """Store and split of the protocol that the report leads with; of folds, the first."""
        return next(iter(self.data.values()))


@contextmanager
def prepared(plan: Plan, out: Path, terminal: Terminal) -> Iterator[Prepared]:
    """Yield what the steps need. One process at a time runs a study: the next waits for it.

    As long as the block runs no other study can take the folder.

    Raises:
        BrainsslError: the source is of no use, or `out` holds another study.
        BusyError: another process runs another study in `out`, which has finished no step yet.
    """
    own = identity(plan)
    digests_of(plan)
    if is_begun(out, own):  # refuse before the folder is touched
        refuse_changed(plan, out)

    def waiting() -> None:
        who = _told_of(out)
        if (out / IDENTITY).is_file() and not is_begun(out, own):
            raise BusyError(f"another process{who} runs another study in {out}: wait for it")
        terminal.say(f"another process{who} runs this study: waiting until it ends")

    with locked(out / _RUNNING, waiting=waiting):
        with _leaving_nothing(out):
            (out / _RUNNING).write_text(f"{os.getpid()} {socket.gethostname()}", "utf-8")
            journal = _claim(out, own)
            keep_digests(plan, out)
            store, audit = _store(plan, out, terminal)
            data = _every(plan, out, store, terminal)
            changes = kept_changes(out, plan.seed, plan.trials)
            _set_damaged_aside(plan, out, terminal)
        yield Prepared(data, audit, journal, changes)


def opened(plan: Plan, out: Path, journal: Journal) -> Prepared:
    """Return what `prepared` made, in a process that does steps for the one that runs the study.

    Args:
        plan: of the study.
        out: its folder.
        journal: of the process that runs it.

    Raises:
        BrainsslError: the folder does not hold it.
    """
    store = ImageStore.open(out / "store")
    data = _every(plan, out, store, Terminal(quiet=True))
    return Prepared(data, None, journal, kept_changes(out, plan.seed, plan.trials))


def _every(
    plan: Plan, out: Path, store: ImageStore, terminal: Terminal
) -> dict[tuple[Protocol, Fold | None], Data]:
    return {
        (name, fold): one
        for name in plan.protocols
        for fold, one in _data(plan, out, store, name, terminal).items()
    }


def _told_of(out: Path) -> str:
    """Tell by its lock which process runs a study, as far as is known."""
    with suppress(OSError, ValueError):
        number, host = (out / _RUNNING).read_text("utf-8").split()
        return f" ({number} on {host})"
    return ""


@contextmanager
def _leaving_nothing(out: Path) -> Iterator[None]:
    """If a study fails before anything is made, leave no folder that looks like one."""
    try:
        yield
    except BaseException:
        claims = {IDENTITY, HELD, _RUNNING}
        if {entry.name for entry in out.iterdir()} <= claims:
            for name in claims:
                (out / name).unlink(missing_ok=True)
            with suppress(OSError):
                out.rmdir()
        raise


def _claim(out: Path, own: dict[str, Any]) -> Journal:
    """Make the folder this study's; what another left that finished no step is taken away."""
    if not is_begun(out, own):
        for name in ("store", "store-paper", "audit", "splits", "steps", KEPT, HELD):
            remove(out / name)
    write_json(out / IDENTITY, own)
    return Journal(out, digest_of(own), (out / IDENTITY).stat().st_mtime)


def _store(plan: Plan, out: Path, terminal: Terminal) -> tuple[ImageStore, dict[str, Any] | None]:
    """Open the source's store, or scan, audit and prepare the source into `out/store`."""
    path, size = out / "store", plan.settings.encoder.image_size
    if is_store(plan.source):
        store = ImageStore.open(plan.source)
        store.require_size(size)
        path.unlink(missing_ok=True)
        path.symlink_to(plan.source.resolve(), target_is_directory=True)
        return store, None
    if is_store(path):
        begun = ImageStore.open(path)
        if lost := [name for name in plan.columns_needed if name not in begun.manifest]:
            raise BrainsslError(
                f"{out} was begun without the column {lost[0]}: choose another folder"
            )
        return begun, read_json(out / "audit" / "audit.json", "an audit")
    with kept_beside(path) as kept:
        return _read(plan, out, terminal, kept)


def _read(
    plan: Plan, out: Path, terminal: Terminal, kept: Kept
) -> tuple[ImageStore, dict[str, Any]]:
    """Scan, audit and prepare the source; what a killed process had read is not read again."""
    path, size = out / "store", plan.settings.encoder.image_size
    with (
        telling_of_key(plan.reading.key, terminal.say),
        terminal.task("scan") as progress,
        noting(out, "reading"),
    ):
        found = scan(
            plan.source,
            labels=plan.labels,
            classes_at=plan.classes_at,
            columns=plan.columns_needed,
            families=plan.families,
            unlabelled=plan.unlabelled,
            reading=plan.reading,
            progress=progress,
            kept=kept,
        )
    if kept.taken:
        terminal.say(kept.told)
    found.refuse_questions()
    for loss in found.losses:
        terminal.say(loss)
    with terminal.task("audit"), noting(out, "audit"):
        audit = audit_scan(found, out=out / "audit")
    with terminal.task("prepare") as progress, noting(out, "images"):
        store = prepare(found, path, size=size, bits=plan.bits, progress=progress, resume=True)
    return store, audit


def _data(
    plan: Plan, out: Path, store: ImageStore, protocol: Protocol, terminal: Terminal
) -> dict[Fold | None, Data]:
    """Return store and split of each fold, as drawn when the study began."""
    if protocol == "paper":
        store = _balanced(store, out / "store-paper", plan.seed, terminal)
    files = {fold: out / "splits" / f"{split_name(protocol, fold)}.json" for fold in plan.divisions}
    if all(file.is_file() for file in files.values()):
        return {fold: Data(store, Split.load(file)) for fold, file in files.items()}
    drawn = _drawn(plan, store, protocol)
    if len(drawn) != len(files):
        raise BrainsslError(
            f"of {len(files)} values of {plan.leave_out} only {len(drawn)} have a labelled image "
            "that can be read: mend the others, or empty their cells"
        )
    splits = dict(zip(files, drawn, strict=True))
    data = {fold: Data(store, split) for fold, split in splits.items()}
    for fold, split in splits.items():
        split.save(files[fold])
    return data


def _drawn(plan: Plan, store: ImageStore, protocol: Protocol) -> tuple[Split, ...]:
    manifest, seed, shares = store.manifest, plan.seed, plan.settings.split
    if plan.leave_out is not None:
        return leave_out(
            manifest,
            plan.leave_out,
            protocol=protocol,
            seed=seed,
            val_fraction=shares.val_fraction,
        )
    if plan.folds is not None:
        return make_folds(
            manifest,
            folds=plan.folds,
            protocol=protocol,
            seed=seed,
            val_fraction=shares.val_fraction,
        )
    return (make_split(manifest, protocol=protocol, seed=seed, **shares.model_dump()),)


def _balanced(store: ImageStore, path: Path, seed: int, terminal: Terminal) -> ImageStore:
    if is_store(path):
        return ImageStore.open(path)
    with terminal.task("balance by augmentation") as progress:
        return balance(store, path, augment=augment_table2, seed=seed, progress=progress)


def _set_damaged_aside(plan: Plan, out: Path, terminal: Terminal) -> None:
    """Move finished steps that are not what was written: they are then done again."""
    finished = finished_steps(out)
    for name in (step.name for step in grid(plan) if step.name in finished):
        folder, aside = out / "steps" / name, out / "damaged" / name
        if file := damage(folder):
            remove(aside)
            aside.parent.mkdir(exist_ok=True)
            folder.rename(aside)
            terminal.say(
                f"warning: {folder / file} is not what was written: the step is done again, and "
                f"what is left of it is in {aside}"
            )
