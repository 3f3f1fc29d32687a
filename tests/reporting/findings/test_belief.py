"""The line on whether to believe is made of what was found; nothing is praised unasked."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from brainssl.reporting.findings.belief import belief
from brainssl.reporting.study import Study, read_study

CONTROL = {"protocol": "grouped", "accuracy": 0.4, "guessing": 0.1, "interval": [0.1, 0.3]}


@pytest.fixture
def sound(make_study: Callable[..., Path]) -> Study:
    """A study against which nothing serious speaks."""
    study = read_study(make_study(classes=["a", "b"], seeds=1, fractions=[1.0], patients=True))
    raw = json.loads((study.folder / "results.json").read_text("utf-8"))["study"]["splits"]
    raw["grouped"]["groups"]["test"] = 60
    audit = {"patients": 60, "findings": []}
    return replace(study, audit=audit, facts={**study.facts, "splits": raw, "simulated": False})


def said(study: Study, **facts: Any) -> tuple[str, str]:
    found = belief(replace(study, facts={**study.facts, **facts}))
    assert found is not None
    return found.severity, found.text


def test_without_a_serious_caution_it_says_so_and_what_was_tested(sound: Study) -> None:
    severity, text = said(sound)
    assert severity == "calm"
    assert text.startswith("Nothing serious was found")
    assert "of 60 groups; patients kept apart; leakage not tested; 1 seed; one split." in text


def test_a_leak_is_the_worst_and_comes_first(sound: Study) -> None:
    learnt = replace(sound, analysis={"random_labels": [{**CONTROL, "learnt": True}]})
    severity, text = said(learnt, simulated=True)
    assert severity == "serious"
    assert text.startswith("Not to be believed: labels drawn at random were learnt and the images")
    assert "leakage found" in text
    narrow = {**CONTROL, "learnt": False, "interval": [-0.03, 0.04]}
    clean = replace(sound, analysis={"random_labels": [narrow]})
    assert "no leakage found by random labels" in said(clean)[1]


@pytest.mark.parametrize(
    ("interval", "told"),
    [
        ([-0.05, 0.09], "no leakage found"),
        ([-0.05, 0.1], "random labels cannot tell whether it leaks"),
        ([-0.3, 0.02], "random labels cannot tell whether it leaks"),
        ([0.01, 0.4], "leakage found"),
    ],
)
def test_an_interval_that_is_too_wide_reassures_nobody(
    interval: list[float], told: str, sound: Study
) -> None:
    """From an upper end of 10 points, or a width of more than 20."""
    control = {**CONTROL, "interval": interval, "learnt": interval[0] > 0}
    assert told in said(replace(sound, analysis={"random_labels": [control]}))[1]


def test_unknown_patients_and_few_groups_are_named(sound: Study) -> None:
    severity, text = said(replace(sound, audit={"patients": 0, "findings": []}))
    assert severity == "serious"
    assert text.startswith("To be read with care: patients are not known")
    assert "near-duplicates kept apart" in text
    splits = {"grouped": {"images": {"test": 9}, "groups": {"test": 3}}}
    assert "only 3 groups tested" in said(sound, splits=splits)[1]


def test_patients_of_some_images_alone_are_no_clean_bill(sound: Study) -> None:
    path = sound.folder / "store" / "manifest.parquet"
    held = pd.read_parquet(path)
    known = ["p"] * (len(held) // 4) + [None] * (len(held) - len(held) // 4)
    held.assign(patient=known).to_parquet(path)
    share = 100 * (1 - len(held) // 4 / len(held))
    severity, text = said(sound)
    held.to_parquet(path)
    assert severity == "serious"
    assert f"the patients of {share:.1f}\u00a0% of the images are not known" in text
    assert "; known patients kept apart;" in text


def test_what_speaks_against_another_protocol_alone_is_left_to_the_cautions(sound: Study) -> None:
    assert said(sound, protocols=["grouped", "image"])[0] == "calm"
    severity, text = said(sound, protocols=["image", "grouped"])
    assert severity == "serious"
    assert text.startswith("Not to be believed: images like those of the test stood in training")


def test_without_results_there_is_nothing_to_believe(sound: Study) -> None:
    assert belief(replace(sound, rows=())) is None
