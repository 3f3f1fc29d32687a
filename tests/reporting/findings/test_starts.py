"""What self-supervision adds to a start: chosen on validation, told with its sign or not told."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brainssl.reporting.findings.answer import answer
from brainssl.reporting.findings.outcomes import outcomes
from brainssl.reporting.findings.starts import level, said, worths
from brainssl.reporting.study import Study, read_study

STARTS = ("random", "imagenet")
# Validation and test accuracy; BYOL is better on test, SimCLR on validation.
SCORES = {
    ("untrained", "linear"): (0.3, 0.30),
    ("simclr", "linear"): (0.6, 0.50),
    ("byol", "linear"): (0.5, 0.70),
    ("simclr", "finetune"): (0.8, 0.62),
    ("byol", "finetune"): (0.7, 0.80),
    ("supervised", "supervised"): (0.6, 0.60),
}


def rows(start: str | None, gain: float = 0.0) -> list[dict[str, Any]]:
    return [
        {
            "method": method,
            "stage": stage,
            "start": start,
            "protocol": "grouped",
            "label_fraction": 1.0,
            "seed": 0,
            "split": split,
            "n": 100,
            "metrics": {"accuracy": score + gain, "f1_macro": score + gain},
            "intervals": {"accuracy": [score - 0.04, score + 0.04]},
        }
        for (method, stage), scores in SCORES.items()
        for split, score in zip(("val", "test"), scores, strict=True)
    ]


def pair(
    first: tuple[str, ...], second: tuple[str, ...], difference: float, p: float
) -> dict[str, Any]:
    names = ("method", "stage", "start")
    return {
        "protocol": "grouped",
        "label_fraction": 1.0,
        "metric": "accuracy",
        "first": dict(zip(names, first, strict=False)),
        "second": dict(zip(names, second, strict=False)),
        "difference": difference,
        "interval": [difference - 0.01, difference + 0.02],
        "p_value": p,
        "p_holm": 1.0,
    }


TUNED, ALONE = ("simclr", "finetune"), ("supervised", "supervised")
PROBE, PLAIN = ("simclr", "linear"), ("untrained", "linear")
PAIRS = [
    pair((*TUNED, "random"), (*ALONE, "random"), 0.02, 0.4),
    # The study compares in its own order; what is told is the method minus the start.
    pair((*ALONE, "imagenet"), (*TUNED, "imagenet"), -0.03, 0.001),
    pair((*PLAIN, "random"), (*PROBE, "random"), 0.05, 0.002),
    pair((*PROBE, "imagenet"), (*PLAIN, "imagenet"), 0.1, 0.04),
    pair((*ALONE, "random"), (*ALONE, "imagenet"), -0.08, 0.003),
]


def study_of(
    folder: Path, own: list[dict[str, Any]], pairs: list[dict[str, Any]], starts: tuple[str, ...]
) -> Study:
    facts = {
        "methods": ["simclr", "byol"],
        "protocols": ["grouped"],
        "starts": [{"name": name, "weights": name, "digest": None} for name in starts],
    }
    text = json.dumps({"study": facts, "rows": own, "analysis": {"comparisons": pairs}})
    (folder / "results.json").write_text(text, encoding="utf-8")
    return read_study(folder)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return study_of(tmp_path, [*rows("random"), *rows("imagenet", 0.08)], PAIRS, STARTS)


def test_the_method_is_chosen_on_validation(study: Study) -> None:
    for one in worths(study):
        assert one.probed is not None
        assert one.finetuned is not None
        assert {one.probed.method, one.finetuned.method} == {"simclr"}
        assert {arm.start for arm in (one.probed, one.finetuned, one.as_it_is, one.supervised)} == {
            one.start
        }


def test_a_method_that_pretrains_with_labels_adds_nothing_to_self_supervision(
    tmp_path: Path,
) -> None:
    own = [
        row | ({"method": "supcon"} if row["method"] == "simclr" else {})
        for start in STARTS
        for row in rows(start)
    ]
    for one in worths(study_of(tmp_path, own, PAIRS, STARTS)):
        assert one.probed is not None
        assert one.finetuned is not None
        assert {one.probed.method, one.finetuned.method} == {"byol"}


def test_differences_are_method_minus_start_and_corrected_together(study: Study) -> None:
    plain, pretrained = worths(study)
    contrasts = [plain.frozen, plain.trained, pretrained.frozen, pretrained.trained]
    contrasts.append(pretrained.itself)
    assert [round(one.difference, 2) for one in contrasts] == [-0.05, 0.02, 0.1, 0.03, 0.08]
    assert pretrained.trained.limits == pytest.approx((0.01, 0.04))
    assert plain.itself is None
    # The smallest of five times 5, the next times 4, and so on.
    expected = [4 * 0.002, 0.4, 2 * 0.04, 5 * 0.001, 3 * 0.003]
    assert [one.p_holm for one in contrasts] == pytest.approx(expected)
    assert {one.family for one in contrasts} == {5}


def test_a_sentence_a_start_says_what_is_added_and_what_cannot_be_told(study: Study) -> None:
    plain, pretrained, itself = said(worths(study))
    assert plain == (
        "From random weights, self-supervision on these images takes from a linear probe with "
        "100\u00a0% of the labels (SimCLR: −5.0 points, 95\u00a0% interval −7.0 to −4.0); after "
        "correction for 5 differences it cannot be told whether it adds to fine-tuning with "
        "100\u00a0% of the labels (SimCLR: +2.0 points, 95\u00a0% interval 1.0 to 4.0)."
    )
    assert pretrained.startswith(
        "From ImageNet, self-supervision on these images adds to fine-tuning with 100\u00a0% of "
        "the labels (SimCLR: +3.0 points, 95\u00a0% interval 1.0 to 4.0)"
    )
    # p = 0.04 by itself, but not after correction for the others and that of 0.4: 2 × 0.04.
    assert "it cannot be told whether it adds to a linear probe" in pretrained
    assert itself == (
        "Starting from ImageNet instead of random weights adds to supervised training with "
        "100\u00a0% of the labels (+8.0 points, 95\u00a0% interval 6.0 to 9.0)."
    )


@pytest.mark.parametrize("equal", [None, False, True])
@pytest.mark.parametrize("trials", [None, 12])
def test_steps_and_trials_of_both_sides_are_told(
    study: Study, equal: bool | None, trials: int | None
) -> None:
    own = {} if equal is None else {"supervised": {"equal_steps": equal}}
    facts = {**study.facts, "settings": own, "tuning": {"trials": trials} if trials else None}
    steps, tried = level(replace(study, facts=facts), worths(study))
    assert ("not level" in steps) == ("longer training" in steps) == (not equal)
    assert ("not level" in tried) == ("best of 12 on validation" in tried) == bool(trials)
    assert ("one of each model" in tried) == (not trials)


def test_of_a_side_that_nothing_is_set_against_neither_steps_nor_trials_are_told(
    tmp_path: Path,
) -> None:
    facts = {"tuning": {"trials": 12}}
    probes = [pair((*PROBE, "imagenet"), (*PLAIN, "imagenet"), 0.1, 0.04)]
    study = study_of(tmp_path, rows("imagenet"), probes, ("imagenet",))
    (tried,) = level(replace(study, facts=study.facts | facts), worths(study))
    assert "supervised training" not in tried
    tuned = [pair((*TUNED, "imagenet"), (*ALONE, "imagenet"), 0.1, 0.04)]
    study = study_of(tmp_path, rows("imagenet"), tuned, ("imagenet",))
    _, tried = level(replace(study, facts=study.facts | facts), worths(study))
    assert "so is supervised training" in tried
    assert "not level" not in tried
    study = study_of(tmp_path, rows("imagenet"), [], ("imagenet",))
    assert level(study, worths(study)) == []


def test_random_weights_alone_are_not_spoken_of(tmp_path: Path) -> None:
    study = study_of(tmp_path, rows("random"), [pair(TUNED, ALONE, 0.02, 0.4)], ("random",))
    assert worths(study) == []
    assert said(worths(study)) == []


def test_another_start_alone_is(tmp_path: Path) -> None:
    """Nothing is called untrained then, and there are no random weights to set it against."""
    own = pair((*TUNED, "imagenet"), (*ALONE, "imagenet"), 0.02, 0.4)
    study = study_of(tmp_path, rows("imagenet"), [own], ("imagenet",))
    (one,) = worths(study)
    assert one.trained is not None
    assert one.itself is None
    (sentence,) = said([one])
    assert sentence.startswith("From ImageNet, it cannot be told")
    assert {row.title for row in study.rows} == {
        "SimCLR from ImageNet, linear probe",
        "SimCLR from ImageNet, fine-tuned",
        "BYOL from ImageNet, linear probe",
        "BYOL from ImageNet, fine-tuned",
        "Supervised from ImageNet",
        "ImageNet weights as they are",
    }


def test_without_groups_nothing_is_sure(tmp_path: Path) -> None:
    bare = pair((*TUNED, "imagenet"), (*ALONE, "imagenet"), 0.5, 0.0)
    bare |= {"interval": None, "p_value": None}
    study = study_of(tmp_path, [*rows("random"), *rows("imagenet")], [bare], STARTS)
    (sentence,) = said(worths(study))
    assert "cannot be told" in sentence
    assert "no interval" in sentence


def test_the_answer_sets_the_best_against_the_best(tmp_path: Path) -> None:
    """Both chosen on validation; what is free and better than the rival's start is its baseline."""
    own = [*rows("random"), *rows("imagenet", -0.05)]
    for row in own:
        if row["method"] == "supervised" and row["start"] == "imagenet":
            row["metrics"] = {"accuracy": 0.75, "f1_macro": 0.75}
    pairs = [pair((*TUNED, "random"), (*ALONE, "imagenet"), -0.13, 0.001)]
    study = study_of(tmp_path, own, pairs, STARTS)
    (one,) = outcomes(study)
    assert one.rival is not None
    assert one.baseline is not None
    assert one.rival.title == "SimCLR from random weights, fine-tuned"
    assert one.baseline.title == "Supervised from ImageNet"
    assert one.verdict == "below"
    assert answer(study).startswith(
        "With 100\u00a0% of the labels, SimCLR pretraining from random weights, chosen on "
        "validation, is behind labels alone from ImageNet: 62.0"
    )
