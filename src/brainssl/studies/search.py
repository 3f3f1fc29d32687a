"""One search over settings, on one split: each trial learns from those before it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brainssl.data.dataset import Data
from brainssl.data.shots import LabelFraction
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.locks import BusyError, locked
from brainssl.foundation.progress import Report
from brainssl.foundation.storage import read_json, refuse_existing, write_json, write_text
from brainssl.hardware.device import device_of
from brainssl.models.encoder import build_encoder, load_encoder
from brainssl.settings import LABELLED_METHODS, METHOD_NAMES, Settings
from brainssl.settings.loading import CHOSEN_ON
from brainssl.settings.writing import preset_text
from brainssl.studies.identity import differing
from brainssl.studies.trials import Change, Proposals
from brainssl.training.pretrain import pretrain
from brainssl.training.stages import Features, finetune_stage, probe_stage
from brainssl.training.tuned import CHOSEN_BY, TUNING, Tried, chosen

BEST = "best.toml"
_REQUEST, _TRIAL, _LOCK = "request.json", "trial.json", ".tune.lock"
_PARTS = ("train", "val")

Task = Callable[[str], AbstractContextManager[Report]]


@dataclass(frozen=True)
class Search:
    """What is searched for.

    Attributes:
        data: store and split; its test set is not touched.
        method: of self-supervision, semi-supervised, or `supervised`.
        stage: linear, finetune, or supervised for methods without a pretraining.
        label_fraction: share of the training labels, or shots.
        settings: as given; they are the first trial.
        reasons: why each is what it is.
        seed: of the proposals and of every training.
    """

    data: Data
    method: str
    stage: str
    label_fraction: LabelFraction
    settings: Settings
    reasons: Mapping[str, str]
    seed: int

    def request(self) -> dict[str, Any]:
        """Say what must be the same for a search to go on; how many trials there are is not."""
        settings = self.settings.written()
        settings.pop("run")
        own = {"method": self.method, "stage": self.stage, "label_fraction": self.label_fraction}
        return own | {"seed": self.seed, "settings": settings} | self.data.facts()


def search(search: Search, out: Path, trials: int, *, task: Task) -> dict[str, Any]:
    """Try settings one after the other, choose on validation and write `best.toml`.

    What is finished in `out` is told to the proposals as it was told then: a search that was
    interrupted proposes what it would have, had it not been.

    Args:
        search: what is searched for.
        out: folder to make, or of the same search, which goes on.
        trials: how many there shall be.
        task: shows how far each is, such as `Terminal.task`.

    Returns:
        What `tuning.json` holds: `method`, `stage`, `label_fraction`, `seed`, `trials`, `chosen`,
        `chosen_by`, `val_images` and `tried`, see `brainssl.training.tuned.Tried.facts`.

    Raises:
        BrainsslError: `out` holds something else, another process is at it, Optuna is missing, or
            every trial failed.
    """
    proposals = Proposals(search.seed)
    _claim(out, search)
    with locked(out / _LOCK):
        search.data.split.save(out / "split.json")
        changes, tried = [], []
        for number in range(1, trials + 1):
            changes.append(proposals.ask())
            folder = out / "trials" / f"{number:03d}"
            told = _told(folder, changes[-1])
            if told is None:
                with task(f"trial {number} of {trials}") as progress:
                    told = _try(search, folder, number, changes[-1], progress)
            proposals.tell(told["val_nll"])
            tried.append(told)
        best = chosen(tried)
        if best is None:
            raise BrainsslError(
                f"all {trials} trials failed; the first: {tried[0]['error']} (delete "
                f"{out / 'trials'} to try them again)"
            )
        record = {
            **{k: v for k, v in search.request().items() if k not in ("settings", "store")},
            "trials": trials,
            "chosen": best,
            "chosen_by": CHOSEN_BY,
            "val_images": len(search.data.split.val),
            "tried": tried,
        }
        write_json(out / TUNING, record)
        write_text(out / BEST, _preset(search, changes[best - 1], best, trials))
    return record


def _claim(out: Path, search: Search) -> None:
    """Make the folder this search's; refuse one that holds something else."""
    file = out / _REQUEST
    if not file.is_file():
        refuse_existing(out)
        write_json(file, search.request())
        return
    held, asked = read_json(file, "what a search is for"), search.request()
    names = [name for name in asked if name != "settings" and held.get(name) != asked[name]]
    names += differing({"settings": held.get("settings", {})}, {"settings": asked["settings"]})
    if names:
        raise BrainsslError(
            f"{out} holds a search with another {', '.join(names)}: choose another folder, or give "
            "what it was begun with"
        )


def _told(folder: Path, change: Change) -> dict[str, Any] | None:
    """Return how a finished trial did; None of one that is not finished."""
    file = folder / _TRIAL
    if not file.is_file():
        return None
    held = read_json(file, "what became of a trial")
    if held["change"] != asdict(change):
        raise BrainsslError(
            f"{folder} tried other settings than are proposed now, as another version of Optuna "
            "does: go on with that version, or choose another folder"
        )
    told: dict[str, Any] = held["told"]
    return told


def _try(
    search: Search, folder: Path, number: int, change: Change, progress: Report
) -> dict[str, Any]:
    """Train with changed settings and note how that did; a failure costs this trial alone."""
    settings = change.applied(search.settings, search.method)
    changed = change.changed(search.settings, search.method, search.stage)
    trained, error = folder / search.stage, None
    try:
        if not trained.is_dir():
            _train(search, folder, settings, progress)
        told = Tried(number, trained, changed).facts()
    except BusyError:
        raise
    except Exception as failure:  # noqa: BLE001 - one failed trial must not cost the others
        error = " ".join(str(failure).split()) or type(failure).__name__
        told = Tried(number, trained, changed, error).facts()
    write_json(folder / _TRIAL, {"change": asdict(change), "told": told})
    return told


def _train(search: Search, folder: Path, settings: Settings, progress: Report) -> None:
    data, seed, method = search.data, search.seed, search.method
    encoder = build_encoder(**settings.encoder.model_dump(), seed=seed)
    if method in METHOD_NAMES:
        made = folder / "pretrain"
        if not made.is_dir():
            pretrain(
                data.store,
                data.split,
                made,
                method=method,
                settings=settings,
                label_fraction=search.label_fraction if method in LABELLED_METHODS else None,
                seed=seed,
                resume=True,
                progress=progress,
            )
        encoder = load_encoder(made)
    own: dict[str, Any] = {
        "settings": settings.of(method),
        "label_fraction": search.label_fraction,
        "seed": seed,
        "parts": _PARTS,
        "progress": progress,
    }
    if search.stage == "linear":
        features = Features(lambda: encoder, data.store, device_of(settings.run))
        probe_stage(data, features, folder / "linear", facts={"method": method}, **own)
    else:
        facts = {"method": method, "stage": search.stage}
        finetune_stage(data, encoder, folder / search.stage, facts=facts, **own)


def _preset(search: Search, change: Change, best: int, trials: int) -> str:
    """Return the chosen settings as a preset, with the search as the reason of what it changed."""
    settings = change.applied(search.settings, search.method)
    reason = f"trial {best} of {trials}, by {CHOSEN_BY}"
    changed = change.changed(search.settings, search.method, search.stage)
    named = {f"{search.method}.{key}": reason for key in changed}
    return _origin(search) + preset_text(settings, {**search.reasons, **named})


def _origin(search: Search) -> str:
    """Say in TOML on which split was chosen: a study of another one tests images that chose."""
    split = search.data.split
    return f"""\
# Chosen on the validation set of this split, images of which another split may test. So study it
# with --folds 1 --protocols {split.protocol} --seed {split.seed}.
[{CHOSEN_ON}]
protocol = "{split.protocol}"
seed = {split.seed}
digest = "{split.digest}"

"""
