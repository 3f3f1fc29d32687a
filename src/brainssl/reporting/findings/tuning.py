"""What the searches of a study tried and chose, arm by arm."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from brainssl.data.shots import LabelFraction, label_fraction
from brainssl.reporting.study import Study
from brainssl.reporting.titles import arm_title


@dataclass(frozen=True)
class Trial:
    """One trial of an arm, over its searches.

    Attributes:
        number: of the trial, from 1; 1 is the settings as they were given.
        changed: settings that were others, by key.
        losses: validation NLL at the best temperature in each search; None where it failed.
        chosen: in how many searches it was chosen.
        error: why it failed, of the first search in which it did; empty if in none.
    """

    number: int
    changed: Mapping[str, Any]
    losses: tuple[float | None, ...]
    chosen: int
    error: str

    @property
    def mean(self) -> float | None:
        """Return the mean loss where it did not fail."""
        known = [loss for loss in self.losses if loss is not None]
        return fmean(known) if known else None

    @property
    def failed(self) -> int:
        """In how many searches it failed."""
        return sum(loss is None for loss in self.losses)


@dataclass(frozen=True)
class ArmSearch:
    """The searches of one arm: one for each fold and seed.

    Attributes:
        method: its name.
        stage: its name.
        protocol: of the split.
        label_fraction: of the training labels.
        trials: what was tried.
        best: the loss of the chosen trial of each search.
        images: on which each chose.
        start: of the encoder, unless all began with random weights; else empty.
    """

    method: str
    stage: str
    protocol: str
    label_fraction: LabelFraction
    trials: tuple[Trial, ...]
    best: tuple[float, ...]
    images: tuple[int, ...]
    start: str = ""

    @property
    def title(self) -> str:
        """The arm in words, without its label fraction."""
        return arm_title(self.method, self.stage, self.start)

    @property
    def favourite(self) -> Trial:
        """The trial that was chosen most often, the earliest of equals."""
        return max(self.trials, key=lambda trial: (trial.chosen, -trial.number))

    @property
    def gain(self) -> tuple[float | None, float | None]:
        """Return the mean loss with the settings as given and with those chosen.

        Both are of the searches in which the first did not fail; None if it did in all.
        """
        given = self.trials[0].losses
        both = [(one, best) for one, best in zip(given, self.best, strict=True) if one is not None]
        if not both:
            return None, None
        return fmean(one for one, _ in both), fmean(best for _, best in both)

    @property
    def finished(self) -> int:
        """How many trials did not fail, over all searches."""
        return sum(len(trial.losses) - trial.failed for trial in self.trials)

    @property
    def tried(self) -> int:
        """How many trials there were, over all searches."""
        return sum(len(trial.losses) for trial in self.trials)


def trials_of(study: Study) -> int:
    """Return how many settings each arm tried; 1 without a search."""
    return int((study.facts.get("tuning") or {}).get("trials") or 1)


def chosen_changes(study: Study, step: str) -> tuple[int, dict[str, Any]]:
    """Return the trial that a step chose, and the settings that it changed; (1, {}) without."""
    for search in _searches(study):
        if search["step"] == step:
            found = next(one for one in search["tried"] if one["trial"] == search["chosen"])
            return int(search["chosen"]), dict(found["changed"])
    return 1, {}


def arm_searches(study: Study) -> list[ArmSearch]:
    """Return the searches by protocol and label fraction, in the order in which they were made."""
    grouped: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for search in _searches(study):
        fraction = label_fraction(search["label_fraction"])
        start = str(search.get("start") or "") if study.tells_starts else ""
        key = (search["protocol"], fraction, search["method"], search["stage"], start)
        grouped.setdefault(key, []).append(search)
    places = {name: place for place, name in enumerate(study.protocols)}
    order = sorted(grouped, key=lambda key: (places.get(key[0], len(places)), key[1]))
    return [_arm(key, grouped[key]) for key in order]


def _arm(key: tuple[Any, ...], own: Sequence[Mapping[str, Any]]) -> ArmSearch:
    protocol, fraction, method, stage, start = key
    trials, best = [], []
    for place, first in enumerate(own[0]["tried"]):
        tried = [search["tried"][place] for search in own]
        chosen = sum(search["chosen"] == first["trial"] for search in own)
        losses = tuple(one["val_nll"] for one in tried)
        error = next((str(one["error"]) for one in tried if one["val_nll"] is None), "")
        trials.append(Trial(first["trial"], first["changed"], losses, chosen, error))
    for search in own:
        found = [one["val_nll"] for one in search["tried"] if one["trial"] == search["chosen"]]
        best += found
    images = tuple(search["val_images"] for search in own)
    return ArmSearch(method, stage, protocol, fraction, tuple(trials), tuple(best), images, start)


def _searches(study: Study) -> Iterator[Mapping[str, Any]]:
    yield from (study.facts.get("tuning") or {}).get("searches") or ()
