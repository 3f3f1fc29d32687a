import json
import statistics
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from brainssl.errors import BrainsslError
from brainssl.reporting.results import arm_title, finite, interval, read_study


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


def test_arms_come_by_label_fraction_controls_first_and_baseline_last(study: Path) -> None:
    arms = read_study(study).arms("grouped")
    assert [arm.label_fraction for arm in arms] == [0.1] * 4 + [1.0] * 4
    assert [arm.title for arm in arms[:4]] == [
        "Untrained encoder, linear probe",
        "SimCLR, linear probe",
        "SimCLR, fine-tuned",
        "Supervised baseline",
    ]
    assert [arm.self_supervised for arm in arms[:4]] == [False, True, True, False]


def test_predictions_are_those_of_the_rows_split(study: Path) -> None:
    read = read_study(study)
    for row in read.rows[:3]:
        predictions = read.predictions(row)
        assert predictions is not None
        assert len(predictions) == row.n
        assert set(predictions.frame["split"]) == {row.split}


def test_the_baselines_step_names_no_method(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"study": {}, "rows": []}', encoding="utf-8")
    step = tmp_path / "steps" / "supervised-grouped-f0.1-s0"
    step.mkdir(parents=True)
    (step / "history.csv").write_text("epoch,train_loss,val_loss\n1,0.5,\n", encoding="utf-8")
    (history,) = read_study(tmp_path).histories()
    assert (history.stage, history.arm) == ("supervised", "Supervised baseline, grouped, 10\u00a0%")
    assert (history.train_loss, history.val_loss) == ([0.5], [None])


def test_missing_or_damaged_predictions_are_none(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, fractions=[1.0])
    read = read_study(folder)
    path = folder / read.rows[0].step / "predictions.parquet"
    path.write_bytes(b"PAR1 nothing")
    assert read.predictions(read.rows[0]) is None
    path.unlink()
    assert read.predictions(read.rows[0]) is None


def test_histories_read_every_loss_and_leave_empty_ones_none(study: Path) -> None:
    histories = list(read_study(study).histories())
    stages = {history.stage for history in histories}
    assert stages == {"pretrain", "finetune", "supervised"}
    pretraining = next(history for history in histories if history.stage == "pretrain")
    assert pretraining.val_loss == [None] * 20
    assert pretraining.arm == "SimCLR, grouped"
    tuned = next(h for h in histories if h.name == "finetune-simclr-grouped-f0.1-s1")
    assert tuned.label == "SimCLR, grouped, 10\u00a0%, seed 1"
    assert None not in tuned.train_loss + tuned.val_loss


@pytest.mark.parametrize("content", ["", "[]", '{"study": {}}', '{"study": {}, "rows": [{}]}'])
def test_what_is_not_results_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content, encoding="utf-8")
    with pytest.raises(BrainsslError, match=r"results\.json"):
        read_study(tmp_path)


def test_a_folder_without_results_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match=r"results\.json is missing"):
        read_study(tmp_path)


def test_numbers_that_are_not_finite_are_missing() -> None:
    assert finite(None) is None
    assert finite(float("nan")) is None
    assert finite(0) == 0.0
    assert interval([0.1, 0.2]) == (0.1, 0.2)
    assert interval([0.1, None]) is None
    assert interval([0.1, float("inf")]) is None
    assert interval(None) is None


def test_unknown_methods_keep_their_name() -> None:
    assert arm_title("vicreg", "finetune") == "vicreg, fine-tuned"
    assert arm_title("mocov3", "linear") == "MoCo v3, linear probe"


def test_patients_are_those_of_the_audit_or_else_of_the_manifest(
    make_study: Callable[..., Path],
) -> None:
    small = {"classes": ["a", "b"], "seeds": 1, "fractions": [1.0]}
    assert read_study(make_study(**small, patients=True)).patients == 4
    folder = make_study(**small)
    assert read_study(folder).patients == 0
    path = folder / "results.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["study"]["audit"] = None
    path.write_text(json.dumps(raw), encoding="utf-8")
    assert read_study(folder).patients == 0
    manifest = folder / "store" / "manifest.parquet"
    frame = pd.read_parquet(manifest)
    frame["patient"] = ["x", "y", None] * (len(frame) // 3)
    frame.to_parquet(manifest)
    assert read_study(folder).patients == 2
