"""Identity: when two plans are of one study, and whether a folder is that study's."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from brainssl.data.listing import is_litter
from brainssl.data.store import is_store
from brainssl.foundation.depth import DEPTHS
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import read_json, refuse_existing
from brainssl.settings import METHOD_NAMES, SEMI_SUPERVISED, Settings, flat
from brainssl.settings.starts import RANDOM
from brainssl.studies.journal import read_log
from brainssl.studies.plan import Plan

IDENTITY = "study.json"
RULES = 2
"""Raised when the same settings give other steps than before: both must not stand in one study.

2: untrained encoders have BatchNorm statistics of images, the weights kept are those judged, and
label fractions are chosen otherwise.
"""

RULES_OF_WEIGHTS = 1
"""The same, of steps that begin with other than random weights alone.

1: three channels are taken as one with the normalisation of the weights.
"""
_OF_WEIGHTS = "rules_of_weights"

_NAMED = 5  # differences in an error
_OF_A_STORE = {
    "--families": "families",
    "--unlabelled": "extra images",
    "--slices": "slices",
    "--plane": "plane",
    "--field-of-view": "field of view",
    "--bits": "depth",
    "--columns": "columns",
}


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
        "--unlabelled": plan.unlabelled,
        "--columns": plan.columns,
        "--bits": None if plan.bits == DEPTHS[0] else plan.bits,
        **{f"--{name}": value for name, value in plan.reading.written().items()},
    }
    options = [name for name, value in given.items() if value]
    if options and is_store(plan.source):
        what = _OF_A_STORE.get(options[0], "labels")
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
        **({} if plan.own_start.weights == RANDOM else {_OF_WEIGHTS: RULES_OF_WEIGHTS}),
        "settings": {
            name: values for name, values in plan.settings.written().items() if name != "run"
        },
        **({} if plan.classes_at is None else {"classes_at": plan.classes_at}),
        **({} if families is None else {"families": families}),
        **({"unlabelled": _digests_of_extra(plan.unlabelled)} if plan.unlabelled else {}),
        **({"bits": plan.bits} if given["--bits"] else {}),
        **({"volumes": plan.reading.written()} if plan.reading.written() else {}),
    }


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Name what differs between two identities, settings by their keys."""
    told = ["rules", "source", "tables", "labels", "families", "classes_at", "unlabelled"]
    told += ["bits", "seed"]
    names = [name for name in told if one.get(name) != other.get(name)]
    had, has = (own.get("volumes", {}) for own in (one, other))
    names += [name for name in {**had, **has} if had.get(name) != has.get(name)]
    # Keys of both: what a method had of its own and has no more is missing from the other. What
    # an older version did not know yet was as it is by default.
    held, asked = (
        {key: value for key, value in flat(own.get("settings", {})) if not key.startswith("run.")}
        for own in (one, other)
    )
    # Of a method that it had not yet, no finished step is.
    unheard = {*METHOD_NAMES, *SEMI_SUPERVISED} - set(one.get("settings", {}))
    asked = {key: value for key, value in asked.items() if key.split(".")[0] not in unheard}
    defaults = dict(flat(Settings().written()))
    held |= {key: defaults[key] for key in asked.keys() & defaults.keys() if key not in held}
    absent = object()
    # Where the weights are others, too, those are what is to be told.
    weights = "encoder.weights"
    if held.get(weights) == asked.get(weights) and one.get(_OF_WEIGHTS) != other.get(_OF_WEIGHTS):
        names = ["rules", *(name for name in names if name != "rules")]
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
            "encoders, chose epochs or took starting weights in another way: choose another "
            "folder, or go on with that version"
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


def _digests_of_extra(folders: Sequence[Path]) -> dict[str, list[str | None]]:
    """Digest files and tables of each extra folder, by its name, as those of a source."""
    return {
        folder.resolve().name: [_digest_of_source(folder), _digest_of_tables(folder)]
        for folder in folders
    }


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
