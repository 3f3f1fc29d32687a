import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brainssl.reporting.findings.answer import answer
from brainssl.reporting.findings.differences import compare
from brainssl.reporting.findings.outcomes import outcomes
from brainssl.reporting.study import Study, read_study


def _row(
    method: str,
    stage: str,
    accuracy: float,
    limits: list[float] | None,
    seed: int = 0,
    *,
    split: str = "test",
) -> dict[str, Any]:
    return {
        "method": method,
        "stage": stage,
        "protocol": "grouped",
        "label_fraction": 0.1,
        "seed": seed,
        "split": split,
        "n": 100,
        "metrics": {"accuracy": accuracy, "f1_macro": accuracy},
        "intervals": {"accuracy": limits},
        "per_class": {},
        "seconds": 1.0,
        "step": "",
    }


def _study(folder: Path, rows: list[dict[str, Any]], **facts: Any) -> Study:
    study = {"methods": ["simclr"], "protocols": ["grouped"], **facts}
    text = json.dumps({"study": study, "rows": rows})
    (folder / "results.json").write_text(text, encoding="utf-8")
    return read_study(folder)


@pytest.mark.parametrize(
    ("own", "other", "verdict"),
    [
        ([[0.5, 0.6]], [[0.3, 0.4]], "above"),
        ([[0.3, 0.4]], [[0.5, 0.6]], "below"),
        ([[0.4, 0.6]], [[0.3, 0.45]], "undecided"),
        ([[0.5, 0.6], [0.4, 0.5]], [[0.3, 0.4], [0.35, 0.45]], "undecided"),
        ([[0.5, 0.6], [0.46, 0.5]], [[0.3, 0.4], [0.35, 0.45]], "above"),
        ([[0.5, 0.6], None], [[0.3, 0.4], [0.35, 0.45]], "undecided"),
        ([None], [None], "undecided"),
    ],
)
def test_a_difference_is_claimed_only_where_all_intervals_lie_apart(
    tmp_path: Path, own: list[Any], other: list[Any], verdict: str
) -> None:
    rows = [_row("simclr", "finetune", 0.5, limits, seed) for seed, limits in enumerate(own)]
    rows += [_row("supervised", "supervised", 0.4, lim, seed) for seed, lim in enumerate(other)]
    study = _study(tmp_path, rows)
    tuned, baseline = study.arms("grouped")
    assert compare(tuned, baseline) == verdict
    (found,) = outcomes(study)
    assert found.verdict == verdict
    assert ("told apart" in answer(study)) == (verdict == "undecided")


def test_the_baseline_meets_a_fine_tuned_arm_and_controls_are_no_method(tmp_path: Path) -> None:
    rows = [
        _row("untrained", "linear", 0.9, [0.85, 0.95]),
        _row("simclr", "linear", 0.8, [0.75, 0.85]),
        _row("simclr", "finetune", 0.5, [0.45, 0.55]),
        _row("supervised", "supervised", 0.6, [0.57, 0.63]),
    ]
    (found,) = outcomes(_study(tmp_path, rows))
    assert found.best.method == "untrained"
    assert found.rival is not None
    assert found.rival.stage == "finetune"
    assert found.verdict == "below"
    for number in ("90.0", "85.0–95.0", "50.0", "60.0", "57.0–63.0"):
        assert number in found.text


def test_without_a_baseline_nothing_is_compared(tmp_path: Path) -> None:
    study = _study(tmp_path, [_row("simclr", "finetune", 0.5, [0.4, 0.6])])
    assert outcomes(study)[0].verdict is None
    assert "no pair" in answer(study)


def test_an_empty_study_says_so(tmp_path: Path) -> None:
    study = _study(tmp_path, [])
    assert outcomes(study) == []
    assert "no result" in answer(study)


def test_of_several_methods_the_one_compared_is_chosen_on_validation(tmp_path: Path) -> None:
    rows = [
        _row("simclr", "finetune", 0.9, [0.85, 0.95]),
        _row("byol", "finetune", 0.5, [0.45, 0.55]),
        _row("supervised", "supervised", 0.7, [0.65, 0.75]),
        _row("simclr", "finetune", 0.4, None, split="val"),
        _row("byol", "finetune", 0.6, None, split="val"),
    ]
    study = _study(tmp_path, rows, methods=["simclr", "byol"])
    (found,) = outcomes(study)
    assert found.best.method == "simclr"
    assert found.rival is not None
    assert found.rival.method == "byol"
    assert found.candidates == 2
    assert found.verdict == "below"
    assert "Of 2 self-supervised methods, BYOL, fine-tuned, has the best macro F1 on" in found.text
    assert "BYOL pretraining, chosen on validation, is behind labels alone: 50.0" in answer(study)


def test_without_validation_scores_none_of_several_methods_is_compared(tmp_path: Path) -> None:
    rows = [
        _row("simclr", "finetune", 0.9, [0.85, 0.95]),
        _row("byol", "finetune", 0.5, [0.45, 0.55]),
        _row("supervised", "supervised", 0.7, [0.65, 0.75]),
    ]
    study = _study(tmp_path, rows, methods=["simclr", "byol"])
    (found,) = outcomes(study)
    assert found.rival is None
    assert "no validation scores" in found.text
    assert "no pair" in answer(study)


def test_a_method_that_stands_alone_needs_no_choice(tmp_path: Path) -> None:
    rows = [
        _row("simclr", "finetune", 0.9, [0.85, 0.95]),
        _row("supervised", "supervised", 0.7, [0.65, 0.75]),
    ]
    study = _study(tmp_path, rows)
    assert "validation" not in outcomes(study)[0].text + answer(study)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("limits", "verdict"),
    [([0.01, 0.2], "above"), ([-0.2, -0.01], "below"), ([-0.1, 0.2], "undecided")],
)
def test_a_comparison_on_the_same_images_decides(
    tmp_path: Path, limits: list[float], verdict: str, turned: bool
) -> None:
    """It can tell apart what overlapping intervals cannot, whichever of the two comes first."""
    rows = [
        _row("simclr", "finetune", 0.5, [0.3, 0.7]),
        _row("supervised", "supervised", 0.45, [0.3, 0.7]),
    ]
    sides = [{"method": row["method"], "stage": row["stage"]} for row in rows]
    if turned:
        sides, limits = sides[::-1], [-limits[1], -limits[0]]
    pair = {
        "protocol": "grouped",
        "label_fraction": 0.1,
        "metric": "accuracy",
        "first": sides[0],
        "second": sides[1],
        "difference": -0.05 if turned else 0.05,
        "interval": limits,
    }
    analysed = replace(_study(tmp_path, rows), analysis={"comparisons": [pair]})
    (found,) = outcomes(analysed)
    assert found.verdict == verdict
    assert "minus the supervised baseline: +5.0 points" in found.text
    assert ("do not tell the two apart" in found.text) == (verdict == "undecided")


def test_both_sides_below_guessing_is_said(tmp_path: Path) -> None:
    support = {"a": {"support": 30}, "b": {"support": 10}}
    scores = {"simclr": 0.6, "supervised": 0.7}
    rows = [
        _row(method, stage, scores[method], [0.5, 0.74]) | {"per_class": support}
        for method, stage in (("simclr", "finetune"), ("supervised", "supervised"))
    ]
    study = _study(tmp_path, rows)
    assert "both are below guessing (75.0\u00a0%)" in answer(study)
    assert "so neither is of use" in outcomes(study)[0].text
    rows[1]["metrics"]["accuracy"] = 0.8
    assert "guessing" not in answer(_study(tmp_path, rows))


def test_the_answer_is_one_sentence_with_its_number_and_interval(tmp_path: Path) -> None:
    rows = [
        _row("simclr", "finetune", 0.5, [0.3, 0.7]),
        _row("supervised", "supervised", 0.45, [0.3, 0.7]),
    ]
    pairs = [
        {
            "protocol": "grouped",
            "label_fraction": fraction,
            "metric": "accuracy",
            "first": {"method": "simclr", "stage": "finetune"},
            "second": {"method": "supervised", "stage": "supervised"},
            "difference": 0.05,
            "interval": limits,
        }
        for fraction, limits in ((0.1, [-0.1, 0.2]), (1.0, [0.01, 0.09]))
    ]
    more = [row | {"label_fraction": 1.0} for row in rows]
    study = replace(_study(tmp_path, [*rows, *more]), analysis={"comparisons": pairs})
    assert answer(study).replace("\u00a0", " ") == (
        "With 100 % of the labels, SimCLR pretraining is ahead of labels alone: 50.0 % (30.0–70.0) "
        "against 45.0 % (30.0–70.0) of slices right, +5.0 points (95 % interval 1.0 to 9.0); with "
        "10 % of labels not told apart, +5.0 points (−10.0 to 20.0)."
    )


def _pair(first: tuple[str, str], second: tuple[str, str], gap: float) -> dict[str, Any]:
    sides = [{"method": method, "stage": stage} for method, stage in (first, second)]
    return {
        "protocol": "grouped",
        "label_fraction": 0.1,
        "metric": "accuracy",
        "first": sides[0],
        "second": sides[1],
        "difference": gap,
        "interval": [gap - 0.02, gap + 0.02],
    }


SIMCLR, SUPCON = ("simclr", "finetune"), ("supcon", "finetune")
FIXMATCH, ALONE = ("fixmatch", "supervised"), ("supervised", "supervised")


def test_a_method_that_pretrains_with_labels_is_compared_apart(tmp_path: Path) -> None:
    """Better on validation and on test, it says nothing of what self-supervision adds."""
    rows = [
        _row(*arm, score, [score - 0.1, score + 0.1], split=split)
        for arm, score in ((SIMCLR, 0.5), (SUPCON, 0.6), (ALONE, 0.45))
        for split in ("val", "test")
    ]
    pairs = [_pair(SIMCLR, ALONE, 0.05), _pair(ALONE, SUPCON, -0.15), _pair(SUPCON, SIMCLR, 0.1)]
    study = _study(tmp_path, rows, methods=["simclr", "supcon"])
    study = replace(study, analysis={"comparisons": pairs})
    (found,) = outcomes(study)
    assert found.rival is not None
    assert (found.rival.method, found.candidates) == ("simclr", 1)
    assert found.best.method == "supcon"
    text = found.text.replace("\u00a0", " ")
    taught = "SupCon, fine-tuned (pretrained with the labels)"
    assert f"{taught}, minus the supervised baseline: +15.0 points" in text
    assert f"SimCLR, fine-tuned, minus {taught}: −10.0 points" in text
    assert "self-supervised methods" not in text
    assert "SimCLR pretraining is ahead of labels alone" in answer(study)
    assert "SupCon" not in answer(study)


def test_alone_it_is_set_against_supervised_training_in_its_own_words(tmp_path: Path) -> None:
    rows = [_row(*SUPCON, 0.6, [0.5, 0.7]), _row(*ALONE, 0.45, [0.3, 0.7])]
    study = _study(tmp_path, rows, methods=["supcon"])
    study = replace(study, analysis={"comparisons": [_pair(ALONE, SUPCON, -0.15)]})
    assert (
        answer(study)
        .replace("\u00a0", " ")
        .startswith(
            "With 10 % of the labels, SupCon pretraining with them is ahead of supervised training "
            "alone: 60.0 % (50.0–70.0) against 45.0 %"
        )
    )
    (found,) = outcomes(study)
    assert found.beside == ()
    assert "self-supervised" not in found.text


def test_a_semi_supervised_method_stands_beside_the_self_supervised_one(tmp_path: Path) -> None:
    """It is compared with both, and is no candidate for what self-supervision adds."""
    rows = [
        _row(*SIMCLR, 0.5, [0.3, 0.7]),
        _row(*FIXMATCH, 0.6, [0.4, 0.8]),
        _row(*ALONE, 0.45, [0.3, 0.7]),
    ]
    pairs = [
        _pair(SIMCLR, ALONE, 0.05),
        _pair(ALONE, FIXMATCH, -0.15),
        _pair(FIXMATCH, SIMCLR, 0.1),
    ]
    study = _study(tmp_path, rows, methods=["simclr", "fixmatch"])
    study = replace(study, analysis={"comparisons": pairs})
    (found,) = outcomes(study)
    assert found.rival is not None
    assert (found.rival.method, found.candidates) == ("simclr", 1)
    assert "FixMatch, minus the supervised baseline: +15.0 points" in found.text
    assert "SimCLR, fine-tuned, minus FixMatch: −10.0 points" in found.text
    assert "SimCLR pretraining is ahead of labels alone" in answer(study)


def test_a_semi_supervised_method_alone_is_no_pretraining(tmp_path: Path) -> None:
    rows = [_row(*FIXMATCH, 0.6, [0.5, 0.7]), _row(*ALONE, 0.45, [0.3, 0.6])]
    study = _study(tmp_path, rows, methods=["fixmatch"])
    study = replace(study, analysis={"comparisons": [_pair(FIXMATCH, ALONE, 0.15)]})
    told = answer(study)
    assert "FixMatch is ahead of labels alone: 60.0" in told
    assert "+15.0 points" in told
    assert "pretraining" not in told
    assert "self-supervised" not in told + outcomes(study)[0].text
