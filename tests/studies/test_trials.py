"""Trials: the same relative changes for all, drawn once, never more epochs."""

from dataclasses import asdict
from pathlib import Path

import pytest

from brainssl.foundation import extras
from brainssl.foundation.errors import BrainsslError
from brainssl.methods import METHODS
from brainssl.settings import Settings, load_settings
from brainssl.studies import trials as module
from brainssl.studies.trials import KEPT, STARTUP, Change, Proposals, drawn, kept_changes

BOUNDS = {"rate": (0.25, 4.0), "decay": (0.1, 10.0), "strength": (0.25, 1.75), "epochs": (0.5, 1.0)}
ALONE = ("fixmatch", "supervised")
ALL = (*METHODS, *ALONE)


@pytest.mark.parametrize("method", ALL)
def test_the_first_trial_is_the_settings_as_they_are(method: str) -> None:
    settings = load_settings("paper")[0]
    assert drawn(7, 2)[0] == Change()
    assert Change().applied(settings, method) == settings
    assert Change().changed(settings, method, "finetune") == {}


def test_more_trials_begin_with_the_same_whatever_became_of_them() -> None:
    """So that processes can share them, and a study can grow."""
    ten = drawn(3, STARTUP)
    assert drawn(3, 4) == ten[:4]
    assert drawn(4, 4)[1:] != ten[1:4]
    told = Proposals(3)
    for place, change in enumerate(ten):
        assert told.ask() == change
        told.tell(None if place == 4 else 1 / (place + 1))


def test_a_failed_trial_and_the_scores_decide_what_comes_after_the_first_ten() -> None:
    def after(scores: list[float | None]) -> Change:
        proposals = Proposals(0)
        for score in scores:
            proposals.ask()
            proposals.tell(score)
        return proposals.ask()

    rising = [float(n) for n in range(12)]
    assert after(rising) == after(rising)
    assert after(rising) != after(rising[::-1])


@pytest.mark.parametrize("seed", range(5))
def test_changes_stay_within_their_bounds(seed: int) -> None:
    for change in drawn(seed, STARTUP):
        for name, factor in asdict(change).items():
            low, high = BOUNDS[name.split("_")[1]]
            assert low <= factor <= high
            assert not name.endswith("epochs") or factor in (0.5, 1.0)


@pytest.mark.parametrize("method", ALL)
def test_a_change_multiplies_what_one_method_has_and_nothing_else(method: str) -> None:
    change = Change(2.0, 0.5, 1.5, 0.5, 0.25, 4.0, 0.5, 0.5)
    given = load_settings("quick", ["pretrain.epochs=9", "views.strength=0.8"])[0]
    became = change.applied(given, method)
    before, after = given.of(method), became.of(method)
    assert after.finetune.learning_rate == pytest.approx(before.finetune.learning_rate / 4)
    assert after.finetune.weight_decay == pytest.approx(before.finetune.weight_decay * 4)
    assert after.finetune.epochs == before.finetune.epochs / 2
    assert after.finetune.warmup_epochs == before.finetune.warmup_epochs / 2
    assert after.finetune.augmentation == 0.5
    if method in ALONE:
        assert (after.pretrain, after.views) == (before.pretrain, before.views)
    else:
        assert after.pretrain.learning_rate == pytest.approx(before.pretrain.learning_rate * 2)
        assert after.pretrain.epochs == 4
        assert after.views.strength == pytest.approx(1.2)
    untouched = (name for name in Settings.model_fields if name != method)
    assert all(getattr(became, name) == getattr(given, name) for name in untouched)
    assert Settings.model_validate(became.model_dump()) == became


def test_what_changed_is_told_as_far_as_it_matters_for_a_stage() -> None:
    settings, change = load_settings("quick")[0], drawn(0, 2)[1]
    told = {
        stage: set(change.changed(settings, method, stage))
        for method, stage in (
            ("byol", "linear"),
            ("byol", "finetune"),
            ("supervised", "supervised"),
        )
    }
    assert {key.split(".")[0] for key in told["linear"]} == {"views", "pretrain"}
    assert {key.split(".")[0] for key in told["supervised"]} == {"finetune"}
    assert told["finetune"] == told["linear"] | told["supervised"]


def test_a_strength_stays_within_what_is_allowed_and_epochs_are_one_at_least() -> None:
    given = load_settings("quick", ["views.strength=4.0", "pretrain.epochs=1"])[0]
    became = Change(pretrain_strength=1.75, pretrain_epochs=0.5).applied(given, "simclr")
    assert became.simclr.views.strength == 4.0
    assert became.simclr.pretrain.epochs == 1


def test_what_a_study_drew_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept_changes(tmp_path, 0, 1) == (Change(),)
    assert not (tmp_path / KEPT).exists()
    three = kept_changes(tmp_path, 0, 3)
    assert three == drawn(0, 3)

    def other(_seed: int, number: int) -> tuple[Change, ...]:
        return tuple(Change(pretrain_rate=float(n)) for n in range(1, number + 1))

    monkeypatch.setattr(module, "drawn", other)  # as another version of Optuna would draw
    assert kept_changes(tmp_path, 0, 2) == three[:2]
    assert kept_changes(tmp_path, 0, 4) == (*three, Change(pretrain_rate=4.0))
    assert kept_changes(tmp_path, 0, 4)[:3] == three
    (tmp_path / KEPT).write_text('[{"pretrain_speed": 1.0}]')
    with pytest.raises(BrainsslError, match=r"trials\.json is damaged: delete it and the steps"):
        kept_changes(tmp_path, 0, 2)


@pytest.mark.parametrize("name", ["supervised-grouped-f1-s0-t2", "tuned2-supervised-grouped-f1-s0"])
def test_finished_trials_are_not_taken_for_others(tmp_path: Path, name: str) -> None:
    """Without what was drawn, another version of Optuna would give them other names' settings."""
    (tmp_path / "steps" / "supervised-grouped-f1-s0").mkdir(parents=True)
    (tmp_path / "steps" / name).mkdir()
    with pytest.raises(
        BrainsslError, match=r"missing: delete the steps of its trials \(.*/steps/\*"
    ):
        kept_changes(tmp_path, 0, 2)
    assert not (tmp_path / KEPT).exists()
    assert kept_changes(tmp_path, 0, 1) == (Change(),)
    (tmp_path / "steps" / name).rmdir()
    assert kept_changes(tmp_path, 0, 2) == drawn(0, 2)


def test_without_the_package_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "_installed", lambda package: package != "optuna")
    with pytest.raises(BrainsslError, match=r"optuna: pip install 'brainssl\[tune\]'"):
        drawn(0, 2)
