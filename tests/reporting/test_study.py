import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from brainssl.data.extra import EXTRA
from brainssl.foundation.errors import BrainsslError
from brainssl.reporting.findings.cautions import cautions
from brainssl.reporting.study import read_study, starts_of
from brainssl.reporting.titles import (
    CLASSICAL,
)
from brainssl.training.classical import FAMILIES


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


def test_classical_baselines_come_after_the_control(tmp_path: Path) -> None:
    assert tuple(CLASSICAL) == FAMILIES
    order = [("untrained", "linear"), *((name, "supervised") for name in CLASSICAL)]
    order += [("simclr", "finetune"), ("supervised", "supervised")]
    place = {"protocol": "grouped", "label_fraction": 1.0, "seed": 0, "split": "test", "n": 9}
    rows = [
        {"method": method, "stage": stage, **place, "metrics": {"accuracy": 0.5}}
        for method, stage in reversed(order)
    ]
    text = json.dumps({"study": {"methods": ["simclr"]}, "rows": rows})
    (tmp_path / "results.json").write_text(text, encoding="utf-8")
    arms = read_study(tmp_path).arms("grouped")
    assert [(arm.method, arm.stage) for arm in arms] == order
    assert [arm.method for arm in arms if arm.self_supervised] == ["simclr"]
    assert arms[1].title == "Decision tree"


def test_predictions_are_those_of_the_rows_split(study: Path) -> None:
    read = read_study(study)
    for row in read.rows[:3]:
        predictions = read.predictions(row)
        assert predictions is not None
        assert len(predictions) == row.n
        assert set(predictions.frame["split"]) == {row.split}


def test_missing_or_damaged_predictions_are_none(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, fractions=[1.0])
    read = read_study(folder)
    path = folder / read.rows[0].step / "predictions.parquet"
    path.write_bytes(b"PAR1 nothing")
    assert read.predictions(read.rows[0]) is None
    path.unlink()
    assert read.predictions(read.rows[0]) is None


@pytest.mark.parametrize("content", ["", "[]", '{"study": {}}', '{"study": {}, "rows": [{}]}'])
def test_what_is_not_results_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content, encoding="utf-8")
    with pytest.raises(BrainsslError, match=r"results\.json"):
        read_study(tmp_path)


def test_a_folder_without_results_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match=r"results\.json is missing"):
        read_study(tmp_path)


@pytest.mark.parametrize("strangers", [["Anna", "Carl"], [None, None]])
def test_patients_are_those_of_the_collection_and_not_of_extra_images(
    make_study: Callable[..., Path], strangers: list[str | None]
) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, extras=False, patients=True)
    assert read_study(folder).patients == read_study(folder).audit["patients"]
    (folder / "store").mkdir()
    manifest = pd.DataFrame(
        {"patient": ["Anna", "Bert", *strangers], EXTRA: [None, None, "archive", "archive"]}
    )
    manifest.to_parquet(folder / "store" / "manifest.parquet")
    study = read_study(folder)
    assert (study.patients, study.patients_known) == (2, 1.0)
    assert "are not known" not in " ".join(caution.text for caution in cautions(study))
    manifest.loc[1, "patient"] = None
    manifest.to_parquet(folder / "store" / "manifest.parquet")
    assert (study.patients, study.patients_known) == (1, 0.5)
    assert "The patients of 50.0\u00a0% of the images are not known" in " ".join(
        caution.text for caution in cautions(study)
    )


def test_the_start_of_an_earlier_study_is_that_of_its_settings() -> None:
    assert starts_of({}) == ["random"]
    assert starts_of({"settings": {"encoder": {"weights": "imagenet"}}}) == ["imagenet"]
    assert starts_of({"settings": {"encoder": {"weights": "a/radnet.pth"}}}) == ["radnet"]
    told = {"starts": [{"name": "random"}, {"name": "radnet"}]}
    assert starts_of(told) == ["random", "radnet"]


def test_starts_are_told_though_all_steps_of_another_one_failed(
    make_study: Callable[..., Path],
) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, fractions=[1.0])
    path = folder / "results.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["rows"] = [row | {"start": "random"} for row in raw["rows"]]
    for starts, told in ((["random", "lost"], "random"), (["random"], "")):
        raw["study"]["starts"] = [{"name": name} for name in starts]
        path.write_text(json.dumps(raw), encoding="utf-8")
        assert {row.start for row in read_study(folder).rows} == {told}


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
