import json
from pathlib import Path

import numpy as np
import pytest

from brainssl.reporting.figures import (
    label_efficiency,
    loss_curves,
    specification,
)
from brainssl.reporting.results import read_study


def test_label_efficiency_shows_each_models_score_and_interval(study: Path) -> None:
    read = read_study(study)
    specified = json.loads(label_efficiency(read, "grouped").specification)
    lines = {t["name"]: t for t in specified["data"] if t["mode"] == "lines"}
    markers = {t["legendgroup"]: t for t in specified["data"] if t["mode"] == "markers"}
    assert set(lines) == set(markers) == {arm.title for arm in read.arms("grouped")}
    tuned = [arm for arm in read.arms("grouped") if arm.title == "SimCLR, fine-tuned"]
    means = [100 * (arm.mean("accuracy") or 0) for arm in tuned]
    assert lines["SimCLR, fine-tuned"]["y"] == pytest.approx(means, abs=0.01)
    rows = [row for arm in tuned for row in arm.rows]
    marker = markers["SimCLR, fine-tuned"]
    assert marker["y"] == pytest.approx(
        [100 * (row.metrics["accuracy"] or 0) for row in rows], abs=0.01
    )
    upper = np.array(marker["y"]) + marker["error_y"]["array"]
    expected = [100 * (row.intervals["accuracy"] or (0, 0))[1] for row in rows]
    assert upper == pytest.approx(expected, abs=0.03)


def test_loss_curves_name_an_arm_once_whatever_its_seeds(study: Path) -> None:
    histories = [h for h in read_study(study).histories() if h.stage == "finetune"]
    specified = json.loads(loss_curves("finetune", "Fine-tuning", histories).specification)
    named = [t["name"] for t in specified["data"] if t["showlegend"]]
    assert named == ["SimCLR, grouped, 10\u00a0%", "SimCLR, grouped, 100\u00a0%"]
    assert len(specified["data"]) == 2 * len(histories) == 8


def test_a_specification_cannot_end_its_script_element() -> None:
    text = specification([{"type": "scatter", "name": "</script><script>alert(1)"}], {})
    assert "<" not in text
    assert json.loads(text)["data"][0]["name"] == "</script><script>alert(1)"
