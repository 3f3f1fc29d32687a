import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brainssl.reporting.findings import answer, cautions, compare, findings
from brainssl.reporting.results import Study, read_study


def _row(
    method: str, stage: str, accuracy: float, limits: list[float] | None, seed: int = 0
) -> dict[str, Any]:
    return {
        "method": method,
        "stage": stage,
        "protocol": "grouped",
        "label_fraction": 0.1,
        "seed": seed,
        "split": "test",
        "n": 100,
        "metrics": {"accuracy": accuracy},
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
    (found,) = findings(study)
    assert found.verdict == verdict
    assert ("told apart" in answer(study)) == (verdict == "undecided")


def test_the_baseline_meets_a_fine_tuned_arm_and_controls_are_no_method(tmp_path: Path) -> None:
    rows = [
        _row("untrained", "linear", 0.9, [0.85, 0.95]),
        _row("simclr", "linear", 0.8, [0.75, 0.85]),
        _row("simclr", "finetune", 0.5, [0.45, 0.55]),
        _row("supervised", "supervised", 0.6, [0.57, 0.63]),
    ]
    (found,) = findings(_study(tmp_path, rows))
    assert found.best.method == "untrained"
    assert found.self_supervised is not None
    assert found.self_supervised.stage == "finetune"
    assert found.verdict == "below"
    for number in ("90.0", "85.0–95.0", "50.0", "60.0", "57.0–63.0"):
        assert number in found.text


def test_without_a_baseline_nothing_is_compared(tmp_path: Path) -> None:
    study = _study(tmp_path, [_row("simclr", "finetune", 0.5, [0.4, 0.6])])
    assert findings(study)[0].verdict is None
    assert "no pair" in answer(study)


def test_an_empty_study_says_so(tmp_path: Path) -> None:
    study = _study(tmp_path, [])
    assert findings(study) == []
    assert "no result" in answer(study)


def test_cautions_name_what_the_study_knows(make_study: Callable[..., Path]) -> None:
    folder = make_study(protocols=["grouped", "image"], source="phantom-120")
    path = folder / "results.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["study"]["failed"] = [{"step": "finetune-byol-grouped-f1-s0", "error": "out of memory"}]
    path.write_text(json.dumps(raw), encoding="utf-8")
    found = cautions(read_study(folder))
    text = "\n".join(f"{caution.severity}: {caution.text}" for caution in found)
    for said in (
        "serious: A step failed and its results are missing. finetune-byol-grouped-f1-s0: out of",
        "serious: The images are simulated",
        "serious: Protocol “image”",
        "serious: Audit: 10 images",
        "note: Audit: Two images in three",
        "note: Split “grouped” and “image”: Class “Schwannoma T2”",
        "note: bf16 is slow",
        "note: Validation labels",
        "note: Only 2 seeds",
        "note: Fewer than 10 test images under “grouped” in",
    ):
        assert said in text
    assert text.count("it is not in the validation split") == 1
    severities = [caution.severity for caution in found]
    assert severities == sorted(severities, reverse=True)


def test_lost_predictions_are_told(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, fractions=[1.0], extras=False)
    assert any("Predictions of 4 models" in c.text for c in cautions(read_study(folder)))
