"""The starts of a study: which they are, and that their files stay what they were."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path

from brainssl.data.dataset import Data
from brainssl.data.listing import is_litter
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.foundation.storage import read_json, write_json
from brainssl.models.encoder import Encoder, build_encoder
from brainssl.models.sources import fetched
from brainssl.settings.starts import HUB, IMAGENET, RANDOM, NamedStart, known_weights, mark_in
from brainssl.studies.plan import Plan
from brainssl.training.starting import refuse_more_labels, refuse_seen_start

HELD = "starts.json"
_CARRIED = "weights"  # folder, on a machine to which they were sent
_TAKES = f"{RANDOM}, {IMAGENET}, {HUB}OWNER/NAME or the path of weights"


def read_starts(asked: Sequence[str], own: str = RANDOM) -> tuple[str, ...]:
    """Check the starts that were asked for, before any work begins, and return them.

    Args:
        asked: what `encoder.weights` takes.
        own: the start of the settings, which steps do not name, but rows of results do.

    Raises:
        BadUseError: one is empty, a file that is not there, called like another one, or stands
            there twice, by whatever path.
    """
    wanted = tuple(one.strip() for one in asked)
    held: dict[Path | str, str] = {}
    called = {NamedStart(own).mark.casefold(): own}
    for start in map(NamedStart, wanted):
        try:
            known_weights(start.weights)
        except ValueError as error:
            raise BadUseError(f"--starts: {start.weights!r} is no start: {error}") from None
        if start.path is not None and not start.path.exists():
            raise BadUseError(f"--starts: there is no file {start.weights}: give {_TAKES}")
        if start.path is not None and start.name.casefold() in (RANDOM, IMAGENET):
            raise BadUseError(
                f"--starts: {start.weights} would be called {start.name}, which are other weights: "
                "rename the file"
            )
        what = start.path.resolve() if start.path else start.weights
        if what in held:
            twice = " and ".join(dict.fromkeys((held[what], start.weights)))
            raise BadUseError(f"--starts: {twice}: the same weights twice, leave out one of them")
        held[what] = start.weights
        other = called.setdefault(start.mark.casefold(), start.weights)
        if other != start.weights:
            raise BadUseError(
                f"--starts: {other} and {start.weights} would both be called {start.name}: rename "
                "one of them, or give its path as encoder.weights has it"
            )
    return wanted


def open_starts(plan: Plan) -> list[str]:
    """Open the starts that are here, and return what the others will fetch, each in words.

    Raises:
        BrainsslError: one cannot be read, is of another architecture, or timm has none.
    """
    every = []
    for one in plan.starts:
        encoder = plan.settings.with_weights(one).encoder
        if what := fetched(one, encoder.name):
            every.append(what)
        else:
            build_encoder(**encoder.model_dump(), seed=plan.seed)
    return every


def digests_of(plan: Plan) -> dict[str, str]:
    """Return the SHA-256 of the files of those starts that are files or folders, by short name.

    Raises:
        BrainsslError: one is missing or cannot be read.
    """
    return {
        one.name: _digest(one.path) for one in map(NamedStart, plan.starts) if one.path is not None
    }


def carried(plan: Plan) -> dict[str, tuple[str, Path]]:
    """Return of each start that is a file or folder where a study's folder takes it along, and it.

    Its name and that of its folder stay: starts are called by them.
    """
    every = dict.fromkeys((plan.settings.encoder.weights, *plan.starts))
    files = {one: path for one in every if (path := NamedStart(one).path) is not None}
    whole = {one: Path(os.path.abspath(path)) for one, path in files.items()}  # noqa: PTH100
    return {
        weights: (f"{_CARRIED}/{number}/{path.parent.name or 'root'}/{path.name}", path)
        for number, (weights, path) in enumerate(whole.items())
    }


def refuse_changed(plan: Plan, out: Path) -> None:
    """Refuse a start whose file is another one than that which steps of a study began with.

    Args:
        plan: of the study.
        out: its folder, in which it has begun.

    Raises:
        BrainsslError: a file is missing or changed, or `starts.json` is damaged.
    """
    if changed := _changed(plan, out, digests_of(plan)):
        raise BrainsslError(
            f"{changed.weights} is not the file that steps of {out} began with: give that one, "
            "rename the new one, or choose another folder"
        )


def keep_digests(plan: Plan, out: Path) -> None:
    """Note the digests of files beside those that a study has noted already."""
    if digests := digests_of(plan):
        write_json(out / HELD, _held(out) | digests)


def keep_downloaded(plan: Plan, out: Path, encoders: Mapping[NamedStart, Encoder]) -> None:
    """Refuse downloaded weights that are others than steps began with; else note their digests.

    A model of the hub may be revised under its name, and timm may choose other weights of its own.

    Args:
        plan: of the study.
        out: its folder, in which it has begun.
        encoders: fresh, of each start.

    Raises:
        BrainsslError: weights have changed, or `starts.json` is damaged.
    """
    now = {
        told.name: encoder.start.content
        for told, encoder in encoders.items()
        if told.path is None and encoder.start and encoder.start.content
    }
    if changed := _changed(plan, out, now):
        mend = "give the revision of before (@REVISION)"
        if not changed.weights.startswith(HUB):
            mend = "name their tag in encoder.name"
        raise BrainsslError(
            f"{changed.weights} gives other weights than those that steps of {out} began with: "
            f"{mend}, or choose another folder"
        )
    if now:
        write_json(out / HELD, _held(out) | now)


def _changed(plan: Plan, out: Path, now: Mapping[str, str]) -> NamedStart | None:
    """Return a start whose digest is not that which steps began with; None where there is none."""
    held, steps = _held(out), _begun_steps(out)
    for start in plan.beginnings:
        told = start or plan.own_start
        changed = told.name in now and held.get(told.name) not in (None, now[told.name])
        mark = "" if start is None else start.mark
        if changed and any(mark_in(step) == mark for step in steps):
            return told
    return None


def refuse_unfit(plan: Plan, encoders: Mapping[NamedStart, Encoder], every: Iterable[Data]) -> None:
    """Refuse starts with which steps of a study would fail, before any of them begins.

    Args:
        plan: of the study.
        encoders: fresh, of each start.
        every: store and split of each protocol and fold.

    Raises:
        BrainsslError: a model of ours may have seen a test set, or has learnt from labels that a
            label fraction leaves out.
    """
    for encoder, data in product(encoders.values(), every):
        refuse_seen_start(encoder, data.store, data.split)
        for fraction, seed in product(plan.label_fractions, range(plan.seeds)):
            refuse_more_labels(encoder, data.store, data.split, fraction, plan.seed + seed)


def warnings_of(encoders: Mapping[NamedStart, Encoder]) -> list[str]:
    """Return what is to be said of starts that are not random, given a fresh encoder of each.

    Marks of models of ours tell the same pictures, and not other ones of the same patients; other
    weights have none.
    """
    foreign = [
        f"Encoders began with {start.name}, weights from elsewhere: whether slices or patients of "
        "the test set were among what they learnt, no split can tell."
        for start, encoder in encoders.items()
        if start.weights != RANDOM and not encoder.trainings
    ]
    return foreign + [
        f"Encoders began with {start.name}, which brainssl trained"
        f"{'' if encoder.learnt is not None else ', without marks of the images it learnt'}: "
        "whether patients of the test set were among those of that training, nothing here can tell."
        for start, encoder in encoders.items()
        if encoder.trainings
    ]


def _held(out: Path) -> dict[str, str]:
    file = out / HELD
    return dict(read_json(file, "digests of weights")) if file.is_file() else {}


def _begun_steps(out: Path) -> list[str]:
    """Return the names of steps that are finished or begun."""
    folder = out / "steps"
    return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []


def _digest(path: Path) -> str:
    """Digest a file, or of a folder the names and digests of its files, litter aside."""
    try:
        if not path.is_dir():
            return _of_file(path)
        within = (file for file in path.rglob("*") if file.is_file())
        files = sorted(f for f in within if not any(map(is_litter, f.relative_to(path).parts)))
        lines = "".join(f"{f.relative_to(path).as_posix()} {_of_file(f)}\n" for f in files)
    except OSError as error:
        raise BrainsslError(
            f"{path} cannot be read ({error.strerror}): encoder.weights and --starts take {_TAKES}"
        ) from None
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _of_file(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
