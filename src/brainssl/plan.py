"""Plan: what a study compares, and when two plans are of one study."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainssl.data.split import Protocol
from brainssl.data.store import is_store
from brainssl.errors import BrainsslError
from brainssl.settings import Settings
from brainssl.storage import read_json


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


def identity(plan: Plan) -> dict[str, Any]:
    """Return what must be the same for finished steps to be used again.

    The grid itself (methods, protocols, label fractions, seeds) is no part of it: a study grows.

    Raises:
        BrainsslError: source or labels cannot be read, or both bring labels.
    """
    if plan.labels and is_store(plan.source):
        raise BrainsslError(
            f"{plan.source} is a prepared store and has its labels: leave out --labels, or give "
            "the folder of images"
        )
    return {
        "source": _digest_of_source(plan.source),
        "labels": _digest_of_labels(plan.labels),
        "seed": plan.seed,
        "settings": plan.settings.model_dump(mode="json"),
    }


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Name what differs between two identities, settings by their keys."""
    names = [name for name in ("source", "labels", "seed") if one.get(name) != other[name]]
    for section, values in other["settings"].items():
        held = one.get("settings", {}).get(section, {})
        names += [f"{section}.{key}" for key in values if held.get(key) != values[key]]
    return names


def _digest_of_source(source: Path) -> str:
    """Digest a store's checksum, or the names and sizes of a folder's files."""
    if is_store(source):
        return str(read_json(source / "store.json", "the facts of an ImageStore")["checksum"])
    if not source.is_dir():
        raise BrainsslError(f"{source} is no folder: give one that holds images, or a store")
    files = sorted(file for file in source.rglob("*") if file.is_file())
    lines = [f"{file.relative_to(source).as_posix()} {file.stat().st_size}" for file in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _digest_of_labels(labels: Path | None) -> str | None:
    if labels is None:
        return None
    try:
        return hashlib.sha256(labels.read_bytes()).hexdigest()
    except OSError as error:
        raise BrainsslError(f"{labels} cannot be read ({error.strerror}): see --labels") from None
