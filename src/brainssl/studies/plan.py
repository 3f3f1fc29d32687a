"""Plan: what a study compares, and when two plans are of one study."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainssl.data.folds import Fold, values_of
from brainssl.data.layout import read_layout
from brainssl.data.listing import is_litter
from brainssl.data.scan import MANIFEST_COLUMNS
from brainssl.data.shots import LabelFraction
from brainssl.data.split import Protocol
from brainssl.data.store import is_store
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import read_frame
from brainssl.foundation.storage import read_json, refuse_existing
from brainssl.settings import Settings, flat
from brainssl.studies.journal import read_log

IDENTITY = "study.json"
_OWN = frozenset(MANIFEST_COLUMNS) - {"patient", "plane", "sequence"}
_TESTED = ("val", "test")
RULES = 2
"""Raised when the same settings give other steps than before: both must not stand in one study.

2: untrained encoders have BatchNorm statistics of images, the weights kept are those judged, and
label fractions are chosen otherwise.
"""

_NAMED = 5  # differences in an error


@dataclass(frozen=True)
class Plan:
    """What to compare.

    Attributes:
        source: folder of images, or a prepared store.
        labels: CSV that maps folders or files to labels.
        methods: of self-supervision; the supervised baseline is always there.
        protocols: how the data are split; the first is the one that the report leads with.
        label_fractions: shares of the training labels, or shots.
        seeds: how many trainings of everything.
        seed: of the split; trainings have the seeds seed, seed + 1, ...
        preset: name, for the record.
        settings: resolved.
        reasons: why each setting is what it is.
        command: as typed, for the record.
        loggers: of each training, beside history.csv.
        explained: how many test slices at most show where each classifier looks; 0: none.
        lesions: where they are; `masks/` beside `images/` where that is a source's layout.
        budget: what a budget of time chose, see `brainssl.studies.budget.Choice`.
        classes_at: level of the classes among the folders, from 1; None: it is found.
        folds: how many splits there are, whose test sets are pooled; None: one split.
        leave_out: column each of whose values is tested in turn, in so many folds as it has values.
        classical: whether there are classical baselines beside the networks.
        families: CSV of tumour family and sequence of each class; `families.csv` in the source.
        trials: settings that each method and the supervised baseline try; 1: those given alone.
        chosen_on: split on which a preset was chosen, see `brainssl.settings.loading.chosen_on`.
    """

    source: Path
    labels: Path | None
    methods: tuple[str, ...]
    protocols: tuple[Protocol, ...]
    label_fractions: tuple[LabelFraction, ...]
    seeds: int
    seed: int
    preset: str
    settings: Settings
    reasons: dict[str, str]
    command: str
    loggers: tuple[str, ...] = ()
    explained: int = 0
    lesions: Path | None = None
    budget: dict[str, Any] | None = None
    classes_at: int | None = None
    folds: int | None = None
    leave_out: str | None = None
    classical: bool = True
    families: Path | None = None
    trials: int = 1
    chosen_on: dict[str, Any] | None = None

    @property
    def divisions(self) -> tuple[Fold | None, ...]:
        """The folds; None alone where there is one split."""
        if self.folds is None:
            return (None,)
        return tuple(Fold(n, self.folds, self.leave_out) for n in range(1, self.folds + 1))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the tables that a study needs beside those that it always reads."""
        return () if self.leave_out is None else (self.leave_out,)


def count_values(
    source: Path, column: str, *, labels: Path | None = None, classes_at: int | None = None
) -> int:
    """Return how many values a column has among labelled images: so many folds leave one out.

    Raises:
        BrainsslError: the source is of no use, or has no such column, or only one value in it.
    """
    if column in _OWN:
        raise BrainsslError(f"the column {column} is one of ours: name one such as site or scanner")
    if is_store(source):
        values = values_of(read_frame(source / "manifest.parquet"), column)
    else:
        layout = read_layout(source, labels, classes_at, [column])
        own = {"patient": layout.patients, "plane": layout.planes}
        known = own.get(column, layout.further[column])
        values = sorted({v for path, v in known.items() if v and layout.labels[path]})
    if len(values) < 2:
        raise BrainsslError(
            f"{source}: the column {column} has {len(values)} values: patients.csv or the label "
            "table must have it, with two or more"
        )
    return len(values)


def gives_test_set(
    source: Path, *, labels: Path | None = None, classes_at: int | None = None
) -> bool:
    """Tell whether a source brings a test set of labelled images, which stays one.

    Raises:
        BrainsslError: the source is of no use.
    """
    if is_store(source):
        manifest = read_frame(source / "manifest.parquet", columns=["label", "given"])
        given = manifest["given"][manifest["label"].notna()]
        return bool(given.isin(_TESTED).any())
    layout = read_layout(source, labels, classes_at)
    return any(part in _TESTED and layout.labels[path] for path, part in layout.given.items())


def identity(plan: Plan) -> dict[str, Any]:
    """Return what must be the same for finished steps to be used again.

    The grid itself (methods, protocols, label fractions, seeds, trials) is no part of it: a study
    grows. Nor is where and how exactly a machine computes: several machines may share a study.

    Raises:
        BrainsslError: source or labels cannot be read, or both bring labels.
    """
    given = {
        "--labels": plan.labels,
        "--classes-at": plan.classes_at,
        "--families": plan.families,
    }
    options = [name for name, value in given.items() if value]
    if options and is_store(plan.source):
        what = "families" if options == ["--families"] else "labels"
        raise BrainsslError(
            f"{plan.source} is a prepared store and has its {what}: leave out {options[0]}, or "
            "give the folder of images"
        )
    families = _digest_of_families(plan)
    return {
        "source": _digest_of_source(plan.source),
        "tables": _digest_of_tables(plan.source),
        "labels": _digest_of_table(plan.labels, "--labels"),
        "seed": plan.seed,
        "rules": RULES,
        "settings": {
            name: values for name, values in plan.settings.written().items() if name != "run"
        },
        **({} if plan.classes_at is None else {"classes_at": plan.classes_at}),
        **({} if families is None else {"families": families}),
    }


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Name what differs between two identities, settings by their keys."""
    told = ("rules", "source", "tables", "labels", "families", "classes_at", "seed")
    names = [name for name in told if one.get(name) != other.get(name)]
    # Keys of both: what a method had of its own and has no more is missing from the other. What
    # an older version did not know yet was as it is by default.
    held, asked = (
        {key: value for key, value in flat(own.get("settings", {})) if not key.startswith("run.")}
        for own in (one, other)
    )
    defaults = dict(flat(Settings().written()))
    held |= {key: defaults[key] for key in asked.keys() & defaults.keys() if key not in held}
    absent = object()
    differ = [key for key in held | asked if held.get(key, absent) != asked.get(key, absent)]
    return names + differ


def digest_of(own: dict[str, Any]) -> str:
    """Return the SHA-256 of an identity."""
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()


def finished_steps(out: Path) -> set[str]:
    """Return the names of the finished steps in a study's folder."""
    if not (out / "steps").is_dir():
        return set()
    return {folder.name for folder in (out / "steps").glob("[!.]*") if folder.is_dir()}


def is_begun(out: Path, own: dict[str, Any]) -> bool:
    """Tell whether a folder belongs to the study of this identity.

    False for a folder that is absent or empty, or of a study that finished no step: nothing in it
    need be kept.

    Raises:
        BrainsslError: it holds finished steps of another study, which would be taken for steps of
            this one, or something else.
    """
    # One look at the folder: another process may be beginning the study this very moment.
    held = {entry.name for entry in out.iterdir()} if out.is_dir() else set()
    file, finished = out / IDENTITY, finished_steps(out)
    if IDENTITY not in held:
        return _is_begun_by_log(out, own, held, finished)
    try:
        names = differing(read_json(file, "the identity of a study"), own)
    except (BrainsslError, AttributeError, TypeError):
        if not finished:
            return False
        raise BrainsslError(
            f"{file} is damaged: delete it, and the study goes on if its finished steps are of "
            "this one; or give a new folder"
        ) from None
    if "rules" in names and finished:
        raise BrainsslError(
            f"{out} holds finished steps of another version of brainssl, which measured untrained "
            "encoders or chose epochs in another way: choose another folder, or go on with that "
            "version"
        )
    if names and finished:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        raise BrainsslError(
            f"{out} holds finished steps of a study with another "
            f"{', '.join(names[:_NAMED])}{more}: "
            "choose another folder, or give what it was begun with"
        )
    return not names


def _is_begun_by_log(out: Path, own: dict[str, Any], held: set[str], finished: set[str]) -> bool:
    """Tell by the notes on finished steps, where the identity was deleted."""
    log = read_log(out)
    known = {name for name in finished if name in log and log[name]["study"] == digest_of(own)}
    if finished and known == finished:
        return True
    beginnings = {name for name in held if name.endswith(".lock") or name.startswith(".study.")}
    if held - beginnings or not out.is_dir():
        refuse_existing(out)
    return False


def _digest_of_source(source: Path) -> str:
    """Digest a store's checksum, or the names and sizes of a folder's files, litter aside."""
    if is_store(source):
        return str(read_json(source / "store.json", "the facts of an ImageStore")["checksum"])
    if not source.is_dir():
        raise BrainsslError(f"{source} is no folder: give one that holds images, or a store")
    return _digest_of_lines(
        f"{file.relative_to(source).as_posix()} {file.stat().st_size}" for file in _files(source)
    )


def _digest_of_tables(source: Path) -> str | None:
    """Digest the content of a folder's tables: labels and patients may be rewritten in one size."""
    if is_store(source):
        return None
    return _digest_of_lines(
        f"{file.relative_to(source).as_posix()} {_digest_of_table(file, '--labels')}"
        for file in _files(source)
        if file.suffix.lower() == ".csv"
    )


def _files(source: Path) -> list[Path]:
    return sorted(
        file
        for file in source.rglob("*")
        if not any(map(is_litter, file.relative_to(source).parts)) and file.is_file()
    )


def _digest_of_lines(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _digest_of_families(plan: Plan) -> str | None:
    """Digest the table of families that is given, or what a store's said.

    One in a folder of images is among its tables.
    """
    if not is_store(plan.source):
        return _digest_of_table(plan.families, "--families")
    held = read_json(plan.source / "store.json", "the facts of an ImageStore").get("families")
    return None if held is None else digest_of(held)


def _digest_of_table(table: Path | None, option: str) -> str | None:
    if table is None:
        return None
    try:
        return hashlib.sha256(table.read_bytes()).hexdigest()
    except OSError as error:
        raise BrainsslError(f"{table} cannot be read ({error.strerror}): see {option}") from None
