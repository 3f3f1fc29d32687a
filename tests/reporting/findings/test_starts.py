"""What self-supervision adds to a start: chosen on validation, told with its sign or not told."""

import json
from pathlib import Path
from typing import Any

import pytest

from brainssl.reporting.findings.outcomes import answer, outcomes
from brainssl.reporting.findings.starts import said, worths
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


def test_a_sentence_a_start_says_what_is_added_and_what_cannot_be_told(study: Study) -> None:
    plain, pretrained, itself = said(worths(study))
    assert plain == (
        "From random weights, self-supervision on these images takes from a linear probe with "
        "100\u00a0% of the labels (SimCLR: −5.0 points, 95\u00a0% interval −7.0 to −4.0); it "
        "cannot be told whether it adds anything to fine-tuning with 100\u00a0% of the labels "
        "(SimCLR: +2.0 points, 95\u00a0% interval 1.0 to 4.0)."
    )
    assert pretrained.startswith(
        "From ImageNet, self-supervision on these images adds to fine-tuning with 100\u00a0% of "
        "the labels (SimCLR: +3.0 points, 95\u00a0% interval 1.0 to 4.0)"
    )
    # p = 0.04 by itself, but not after correction for the others and that of 0.4: 2 × 0.04.
    assert "it cannot be told whether it adds anything to a linear probe" in pretrained
    assert itself == (
        "Starting from ImageNet instead of random weights adds to supervised training with "
        "100\u00a0% of the labels (+8.0 points, 95\u00a0% interval 6.0 to 9.0)."
    )


def test_random_weights_alone_are_not_spoken_of(tmp_path: Path) -> None:
    study = study_of(tmp_path, rows("random"), [pair(TUNED, ALONE, 0.02, 0.4)], ("random",))
    assert worths(study) == []
    assert said(worths(study)) == []


def test_another_start_alone_is(tmp_path: Path) -> None:
    """Rows then tell no start, and there are no random weights to set it against."""
    study = study_of(tmp_path, rows("imagenet"), [pair(TUNED, ALONE, 0.02, 0.4)], ("imagenet",))
    (one,) = worths(study)
    assert one.trained is not None
    assert one.itself is None
    (sentence,) = said([one])
    assert sentence.startswith("From ImageNet, it cannot be told")
    assert {row.title for row in study.rows} >= {"SimCLR, fine-tuned", "Supervised baseline"}


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
