"""Rows and arms: the mean and deviation over seeds, and numbers that are none."""

import json
import statistics
from pathlib import Path

import pytest

from brainssl.reporting.rows import finite, interval
from brainssl.reporting.study import read_study


def test_an_arm_has_the_rows_of_its_seeds_and_their_mean_and_sd(study: Path) -> None:
    raw = json.loads((study / "results.json").read_text(encoding="utf-8"))["rows"]
    arms = read_study(study).arms("grouped")
    assert len(arms) == 2 * 4
    for arm in arms:
        expected = [
            row["metrics"]["accuracy"]
            for row in raw
            if (row["method"], row["stage"], row["label_fraction"], row["split"])
            == (arm.method, arm.stage, arm.label_fraction, "test")
        ]
        assert arm.values("accuracy") == expected
        assert arm.mean("accuracy") == pytest.approx(statistics.fmean(expected))
        assert arm.sd("accuracy") == pytest.approx(statistics.stdev(expected))


def test_numbers_that_are_not_finite_are_missing() -> None:
    assert finite(None) is None
    assert finite(float("nan")) is None
    assert finite(0) == 0.0
    assert interval([0.1, 0.2]) == (0.1, 0.2)
    assert interval([0.1, None]) is None
    assert interval([0.1, float("inf")]) is None
    assert interval(None) is None
