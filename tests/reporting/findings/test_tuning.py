"""What searches chose, summed up over folds and seeds."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brainssl.reporting.findings.tuning import arm_searches, chosen_changes, trials_of
from brainssl.reporting.study import Study, read_study

RATE = {"finetune.learning_rate": 0.002}


def search(
    method: str, stage: str, seed: int, chosen: int, *losses: float | None, fraction: float = 1.0
) -> dict[str, Any]:
    tried = [
        {"trial": n, "changed": RATE if n > 1 else {}, "val_nll": loss}
        | ({"error": "diverged"} if loss is None else {"temperature": 1.0})
        for n, loss in enumerate(losses, start=1)
    ]
    place = {"protocol": "grouped", "fold": None, "label_fraction": fraction, "seed": seed}
    own = {"method": method, "stage": stage, "step": f"steps/{method}-{stage}-{fraction}-{seed}"}
    return own | place | {"chosen": chosen, "val_images": 50 + seed, "tried": tried}


@pytest.fixture
def searched(make_study: Callable[..., Path]) -> Study:
    folder = make_study(classes=["a", "b"], fractions=[1.0])
    held = json.loads((folder / "results.json").read_text())
    searches = [
        search("simclr", "finetune", 0, 2, 0.9, 0.5),
        search("simclr", "finetune", 1, 1, 0.7, None),
        search("supervised", "supervised", 0, 2, None, 0.8),
        search("supervised", "supervised", 0, 1, 0.6, 0.8, fraction=0.1),
    ]
    held["study"]["tuning"] = {"trials": 2, "searches": searches}
    (folder / "results.json").write_text(json.dumps(held))
    return read_study(folder)


def test_searches_of_an_arm_stand_together(searched: Study) -> None:
    few, simclr, baseline = arm_searches(searched)
    assert few.label_fraction == 0.1
    assert (simclr.title, baseline.title) == ("SimCLR, fine-tuned", "Supervised baseline")
    assert simclr.best == (0.5, 0.7)
    assert simclr.images == (50, 51)
    given, changed = simclr.trials
    assert (given.mean, given.chosen, given.failed) == (pytest.approx(0.8), 1, 0)
    assert (changed.mean, changed.chosen, changed.failed) == (0.5, 1, 1)
    assert (changed.error, changed.changed) == ("diverged", RATE)
    assert simclr.favourite.number == 1  # of equals the first
    assert baseline.favourite.number == 2
    assert baseline.trials[0].mean is None
    assert [(arm.finished, arm.tried) for arm in (few, simclr, baseline)] == [
        (2, 2),
        (3, 4),
        (1, 2),
    ]


def test_what_a_search_gained_is_of_the_same_searches(searched: Study) -> None:
    few, simclr, baseline = arm_searches(searched)
    assert simclr.gain == pytest.approx(((0.9 + 0.7) / 2, (0.5 + 0.7) / 2))
    assert few.gain == (0.6, 0.6)
    assert baseline.gain == (None, None)  # nothing to compare with
    first = replace(simclr.trials[0], losses=(None, 0.7))
    assert replace(simclr, trials=(first, *simclr.trials[1:])).gain == (0.7, 0.7)


def test_a_step_tells_what_it_changed(searched: Study) -> None:
    assert trials_of(searched) == 2
    assert chosen_changes(searched, "steps/simclr-finetune-1.0-0") == (2, RATE)
    assert chosen_changes(searched, "steps/simclr-finetune-1.0-1") == (1, {})
    assert chosen_changes(searched, "steps/other") == (1, {})


def test_without_a_search_there_is_one_trial(study: Path) -> None:
    read = read_study(study)
    assert (trials_of(read), arm_searches(read)) == (1, [])
