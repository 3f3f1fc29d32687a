"""A network that does not beat a decision tree has to say so."""

import json
from pathlib import Path
from typing import Any

import pytest

from brainssl.reporting.findings.cautions import cautions
from brainssl.reporting.findings.classical import challenges
from brainssl.reporting.sections import answer
from brainssl.reporting.study import Study, read_study


def rows(method: str, stage: str, val: float, test: float) -> list[dict[str, Any]]:
    place = {"method": method, "stage": stage, "protocol": "grouped", "label_fraction": 0.1}
    return [
        {
            **place,
            "seed": 0,
            "split": split,
            "n": 100,
            "metrics": {"accuracy": score, "f1_macro": score},
            "intervals": {"accuracy": [score - 0.04, score + 0.04]},
        }
        for split, score in (("val", val), ("test", test))
    ]


def study_of(folder: Path, own: list[dict[str, Any]], *pairs: dict[str, Any]) -> Study:
    facts = {"methods": ["simclr"], "protocols": ["grouped"]}
    text = json.dumps({"study": facts, "rows": own, "analysis": {"comparisons": pairs}})
    (folder / "results.json").write_text(text, encoding="utf-8")
    return read_study(folder)


def pair(first: tuple[str, str], second: tuple[str, str], *numbers: float) -> dict[str, Any]:
    difference, low, high = numbers
    return {
        "protocol": "grouped",
        "label_fraction": 0.1,
        "metric": "accuracy",
        **{
            side: {"method": method, "stage": stage}
            for side, (method, stage) in (("first", first), ("second", second))
        },
        "difference": difference,
        "interval": [low, high],
        "p_value": 0.5,
        "p_holm": 0.5,
    }


TUNED, TREE = ("simclr", "finetune"), ("decision_tree", "supervised")
ROWS = [
    *rows("untrained", "linear", 0.9, 0.9),
    *rows("simclr", "linear", 0.5, 0.7),
    *rows(*TUNED, 0.6, 0.55),
    *rows("supervised", "supervised", 0.4, 0.65),
    *rows(*TREE, 0.58, 0.6),
    *rows("svm", "supervised", 0.3, 0.8),
]


def test_both_are_chosen_on_validation(tmp_path: Path) -> None:
    """Neither the best on test nor a control."""
    (found,) = challenges(study_of(tmp_path, ROWS))
    assert (found.network.method, found.network.stage) == TUNED
    assert (found.classical.method, found.classical.stage) == TREE
    assert found.verdict == "undecided"  # by intervals that overlap
    assert found.difference is None


@pytest.mark.parametrize(
    ("numbers", "verdict", "severity", "said"),
    [
        (
            (-0.05, -0.09, -0.01),
            "below",
            "serious",
            "With 10\u00a0% of the labels the best classical baseline (Decision tree on hand-made "
            "features: 60.0\u00a0%) beats the best network (SimCLR, fine-tuned: 55.0\u00a0%); the "
            "network minus the baseline on the same images: −5.0 points, 95\u00a0% interval −9.0 "
            "to −1.0.",
        ),
        (
            (0.01, -0.03, 0.05),
            "undecided",
            "note",
            "the best network (SimCLR, fine-tuned: 55.0\u00a0%) is not shown to beat the best "
            "classical baseline",
        ),
        ((0.05, 0.01, 0.09), "above", None, "fine-tuned: 55.0\u00a0%) beats the best classical"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_network_that_does_not_beat_a_tree_says_so(
    tmp_path: Path,
    numbers: tuple[float, float, float],
    verdict: str,
    severity: str | None,
    said: str,
    turned: bool,
) -> None:
    gap, low, high = numbers
    one = pair(TREE, TUNED, -gap, -high, -low) if turned else pair(TUNED, TREE, *numbers)
    study = study_of(tmp_path, ROWS, one)
    (found,) = challenges(study)
    assert found.verdict == verdict
    assert said in found.text
    told = [caution for caution in cautions(study) if "classical baseline" in caution.text]
    assert [caution.severity for caution in told] == ([] if severity is None else [severity])
    # It is said once: as a caution, or where the network won with the answer in full.
    shown = " ".join(str(block) for block in answer.content(study))
    places = [shown, *(caution.text for caution in told)]
    assert sum("classical baseline (" in place for place in places) == 1
    assert sum("highest macro F1 on validation" in place for place in places) == 1


def test_without_one_of_the_two_there_is_nothing_to_say(tmp_path: Path) -> None:
    for missing in ("network", "classical"):
        own = [
            row
            for row in ROWS
            if (row["method"] in ("decision_tree", "svm")) == (missing == "network")
        ]
        study = study_of(tmp_path, own)
        assert challenges(study) == []
        shown = " ".join(str(block) for block in answer.content(study))
        assert "classical baseline" not in shown
