"""Trials: relative changes of settings, the same for every method and for the baseline."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.extras import require
from brainssl.foundation.storage import read_json, write_json
from brainssl.settings import METHOD_NAMES, Settings, flat
from brainssl.settings.sections import STRONGEST, Section
from brainssl.studies.identity import finished_steps

KEPT = "trials.json"
_OF_A_SEARCH = re.compile(r"^tuned\d+-|-t\d+$")  # names of steps
STARTUP = 10
"""Trials that do not depend on what became of others: so many can be shared by processes."""

_STAGES = {
    "linear": ("views", "pretrain"),
    "finetune": ("views", "pretrain", "finetune"),
    "supervised": ("finetune",),
}
_RATE, _DECAY, _STRENGTH, _EPOCHS = (0.25, 4.0), (0.1, 10.0), (0.25, 1.75), (0.5, 1.0)
_SPACE = {"rate": _RATE, "decay": _DECAY, "strength": _STRENGTH, "epochs": _EPOCHS}


@dataclass(frozen=True)
class Change:
    """One trial: what the settings are multiplied by; the default leaves them as they are.

    Epochs are never more than was allowed, so that budgets are equal.

    Attributes:
        pretrain_rate: of `pretrain.learning_rate`.
        pretrain_decay: of `pretrain.weight_decay`.
        pretrain_strength: of `views.strength`.
        pretrain_epochs: of `pretrain.epochs` and their warm-up.
        finetune_rate: of `finetune.learning_rate`.
        finetune_decay: of `finetune.weight_decay`.
        finetune_strength: of `finetune.augmentation`.
        finetune_epochs: of `finetune.epochs` and their warm-up.
    """

    pretrain_rate: float = 1.0
    pretrain_decay: float = 1.0
    pretrain_strength: float = 1.0
    pretrain_epochs: float = 1.0
    finetune_rate: float = 1.0
    finetune_decay: float = 1.0
    finetune_strength: float = 1.0
    finetune_epochs: float = 1.0

    def applied(self, settings: Settings, method: str) -> Settings:
        """Return settings in which one method, or `supervised`, has its own values changed.

        What has no pretraining is changed in its training alone.
        """
        own = getattr(settings, method)
        changed: dict[str, Section] = {"finetune": self._trained(own.finetune, "finetune")}
        changed["finetune"] = _scaled(changed["finetune"], "augmentation", self.finetune_strength)
        if method in METHOD_NAMES:
            changed["pretrain"] = self._trained(own.pretrain, "pretrain")
            changed["views"] = _scaled(own.views, "strength", self.pretrain_strength)
        section = own.model_copy(update=changed)
        whole: Settings = settings.model_copy(update={method: section})
        return whole

    def changed(self, settings: Settings, method: str, stage: str) -> dict[str, Any]:
        """Return the settings that it changes for a method and matter for a stage, as they become.

        Args:
            settings: that it is applied to.
            method: of self-supervision, semi-supervised, or `supervised`.
            stage: linear, finetune or supervised.
        """
        before, after = (
            dict(flat({name: s[name] for name in _STAGES[stage]}))
            for s in (
                one.of(method).model_dump() for one in (settings, self.applied(settings, method))
            )
        )
        return {key: value for key, value in after.items() if value != before[key]}

    def _trained(self, section: Section, name: str) -> Section:
        factors = asdict(self)
        for key, factor in (("learning_rate", "rate"), ("weight_decay", "decay")):
            section = _scaled(section, key, factors[f"{name}_{factor}"])
        share = factors[f"{name}_epochs"]
        if share == 1:
            return section
        values = section.model_dump()
        epochs = max(1, round(share * values["epochs"]))
        warmup = round(share * values["warmup_epochs"], 4)
        return section.model_copy(update={"epochs": epochs, "warmup_epochs": warmup})


def _scaled(section: Section, key: str, factor: float) -> Section:
    if factor == 1:
        return section
    value = _short(getattr(section, key) * factor)
    limit = STRONGEST if key in ("strength", "augmentation") else value
    return section.model_copy(update={key: min(value, limit)})


def _short(value: float) -> float:
    return float(f"{value:.4g}")


class Proposals:
    """Changes to try, one after the other; the first leaves all as it is.

    They come from Optuna's tree-structured Parzen estimator (Bergstra et al. 2011): the first ten
    at random, those after them where what was told of earlier ones was best. The same seed and the
    same answers give the same proposals.

    Raises:
        BrainsslError: Optuna is not installed.
    """

    def __init__(self, seed: int) -> None:
        require("tune")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space: dict[str, Any] = {}
        for name in Change.__dataclass_fields__:
            low, high = _SPACE[name.rpartition("_")[2]]
            self._space[name] = (
                optuna.distributions.CategoricalDistribution([low, high])
                if name.endswith("epochs")
                else optuna.distributions.FloatDistribution(
                    low, high, log=not name.endswith("strength")
                )
            )
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
        self._study = optuna.create_study(direction="minimize", sampler=sampler)
        self._study.enqueue_trial(asdict(Change()))
        self._failed = optuna.trial.TrialState.FAIL
        self._asked: list[Any] = []

    def ask(self) -> Change:
        """Return the next change to try."""
        trial = self._study.ask(self._space)
        self._asked.append(trial)
        return Change(**{name: _short(float(value)) for name, value in trial.params.items()})

    def tell(self, score: float | None) -> None:
        """Say how the change that was asked for last did, the lower the better; None: it failed."""
        if score is None:
            self._study.tell(self._asked[-1], state=self._failed)
        else:
            self._study.tell(self._asked[-1], score)


def drawn(seed: int, number: int) -> tuple[Change, ...]:
    """Return the first changes of a seed, none of which depends on what became of others.

    Args:
        seed: of the draws.
        number: of changes, at most `STARTUP`. More begin with the same.
    """
    if number > STARTUP:
        raise ValueError(f"{number} trials: beyond {STARTUP} they depend on each other")
    proposals = Proposals(seed)
    return tuple(proposals.ask() for _ in range(number))


def kept_changes(out: Path, seed: int, number: int) -> tuple[Change, ...]:
    """Return the changes of a study, as they were drawn when it first searched.

    Another version of Optuna may draw others: those that were tried stay.

    Args:
        out: folder of the study, which keeps them in `trials.json`.
        seed: of the study.
        number: of trials; with 1 nothing is read or written.

    Raises:
        BrainsslError: `trials.json` is damaged, or missing beside finished trials, or Optuna is
            needed and not installed.
    """
    if number == 1:
        return (Change(),)
    file = out / KEPT
    held = _read(file, out)
    if len(held) < number:
        held = (*held, *drawn(seed, number)[len(held) :])
        write_json(file, [asdict(change) for change in held])
    return held[:number]


def _read(file: Path, out: Path) -> tuple[Change, ...]:
    """Read what was drawn; without it nobody knows what the finished trials had tried."""
    tried = sorted(name for name in finished_steps(out) if _OF_A_SEARCH.search(name))
    if not file.is_file() and not tried:
        return ()
    try:
        return tuple(change_of(entry) for entry in read_json(file, "the trials of a study"))
    except (BrainsslError, TypeError, ValueError):
        state = "is damaged: delete it and" if file.is_file() else "is missing: delete"
        raise BrainsslError(
            f"{file} {state} the steps of its trials ({out / 'steps'}/*-t[0-9]* and tuned*), and "
            "they are drawn and made anew"
        ) from None


def change_of(entry: Mapping[str, float]) -> Change:
    """Read a change from JSON."""
    return Change(**{name: float(value) for name, value in entry.items()})
