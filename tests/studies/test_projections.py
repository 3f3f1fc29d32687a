"""The maps of a study: of the encoders that it trained, kept until one of them changes."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from oracles.small_plan import FAST, small_plan

from brainssl.data.dataset import Data
from brainssl.evaluation.projection import PROJECTIONS, Projections
from brainssl.foundation.progress import Terminal
from brainssl.studies import projections
from brainssl.studies.plan import Plan
from brainssl.studies.preparation import prepared
from brainssl.studies.projections import make_projections
from brainssl.studies.run import Study

SMALL = [*FAST, "split.val_fraction=0.2", "split.test_fraction=0.4"]


@pytest.fixture(scope="module")
def plan(shared_folder: Path) -> Plan:
    return small_plan(shared_folder, SMALL, label_fractions=(0.5, 1.0))


@pytest.fixture(scope="module")
def finished(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "out"
    Study(plan, out, Terminal(quiet=True)).run()
    return out


@pytest.fixture
def study(plan: Plan, finished: Path, tmp_path: Path) -> tuple[Path, Data]:
    """A copy that may be changed, and its images."""
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    with prepared(plan, out, Terminal(quiet=True)) as ground:
        return out, ground.data["grouped", None]


def test_a_study_maps_its_encoders_before_and_after_training(plan: Plan, finished: Path) -> None:
    maps = Projections.load(finished / PROJECTIONS)
    assert list(dict.fromkeys(zip(maps.frame["method"], maps.frame["moment"], strict=True))) == [
        ("untrained", "before"),
        ("supervised", "supervised"),
        ("simclr", "pretrained"),
        ("simclr", "finetuned"),
    ]
    assert maps.facts["left_out"] == []
    assert maps.facts["made_from"]["label_fraction"] == 1.0
    assert set(maps.facts["made_from"]["steps"]) == {
        "supervised-grouped-f1-s0",
        "pretrain-simclr-grouped-s0",
        "finetune-simclr-grouped-f1-s0",
    }


def test_every_map_is_of_the_test_images(plan: Plan, study: tuple[Path, Data]) -> None:
    out, data = study
    frame = Projections.load(out / PROJECTIONS).frame
    test = set(data.split.indices(data.store.manifest, "test"))
    for _, own in frame.groupby(["method", "moment"]):
        assert set(own["row"]) == test
        manifest = data.store.manifest.iloc[own["row"].to_numpy()]
        assert list(own["label"]) == list(manifest["label"])
        assert list(own["image_id"]) == list(manifest["image_id"])


def test_maps_are_made_again_only_if_a_step_changed(
    plan: Plan, study: tuple[Path, Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, data = study
    ran: list[str] = []
    features = projections._features
    monkeypatch.setattr(
        projections, "_features", lambda *args: ran.append(args[-1].moment) or features(*args)
    )
    before = Projections.load(out / PROJECTIONS).frame
    kept = make_projections(plan, out, data)
    assert ran == []
    assert kept is not None
    pd.testing.assert_frame_equal(kept, before)
    shutil.rmtree(out / "steps" / "finetune-simclr-grouped-f1-s0")
    again = make_projections(plan, out, data)
    assert again is not None
    assert ran == ["before", "supervised", "pretrained"]
    assert "finetuned" not in set(again["moment"])


def test_a_collapsed_encoder_is_left_out_with_its_reason(
    plan: Plan, study: tuple[Path, Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, data = study
    features = projections._features

    def collapsed(plan: Plan, data: Data, rows: np.ndarray, view: object) -> np.ndarray:
        found = features(plan, data, rows, view)
        return np.ones_like(found) if view.moment == "pretrained" else found

    monkeypatch.setattr(projections, "_features", collapsed)
    (out / PROJECTIONS).unlink()
    frame = make_projections(plan, out, data)
    assert frame is not None
    assert "pretrained" not in set(frame["moment"])
    (entry,) = Projections.load(out / PROJECTIONS).facts["left_out"]
    assert (entry["method"], entry["moment"]) == ("simclr", "pretrained")
    assert "collapsed" in entry["reason"]


def test_where_nothing_can_be_mapped_there_is_no_file(
    plan: Plan, study: tuple[Path, Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, data = study
    monkeypatch.setattr(projections, "_features", lambda *args: np.ones((len(args[2]), 4)))
    (out / PROJECTIONS).unlink()
    assert make_projections(plan, out, data) is None
    assert not (out / PROJECTIONS).exists()
