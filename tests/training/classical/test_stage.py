"""A classical baseline as a folder: the rows of a network, and no look at the test labels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainssl.data.dataset import Data
from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.evaluation.metrics import METRICS
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.storage import read_json
from brainssl.settings import Settings, load_settings
from brainssl.training.classical import FAMILIES, stage
from brainssl.training.classical.features import HandMade
from brainssl.training.classical.stage import classical_stage


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings("quick", ["encoder.image_size=32", "evaluation.draws=2"])[0]


@pytest.fixture(scope="module")
def data(shared_store: ImageStore) -> Data:
    split = make_split(
        shared_store.manifest, protocol="grouped", seed=0, val_fraction=0.2, test_fraction=0.2
    )
    return Data(shared_store, split)


@pytest.fixture(scope="module")
def features(shared_store: ImageStore) -> HandMade:
    return HandMade(shared_store)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_rows_are_those_of_any_model(
    family: str, data: Data, features: HandMade, settings: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    rows = classical_stage(
        data, features, out, family=family, settings=settings, label_fraction=0.5, seed=3
    )
    assert [row["split"] for row in rows] == ["train", "val", "test"]
    predictions = Predictions.load(out / "predictions.parquet")
    own = data.rows(0.5, 3)
    for row in rows:
        assert (row["method"], row["stage"]) == (family, "supervised")
        assert (row["protocol"], row["label_fraction"], row["seed"]) == ("grouped", 0.5, 3)
        assert tuple(row["metrics"]) == METRICS
        assert "validation macro F1" in row["chosen"]
        part = predictions.of(row["split"])
        assert row["n"] == len(part) == len(own[row["split"]])
        assert row["metrics"]["accuracy"] == pytest.approx(np.mean(part.predicted == part.labels))
        ids = data.store.manifest["image_id"].to_numpy()[own[row["split"]]]
        assert part.frame["image_id"].tolist() == ids.tolist()
    assert read_json(out / "rows.json", "rows") == rows
    names = {"predictions.parquet", "rows.json", "settings.json", "split.json"}
    assert names <= {file.name for file in out.iterdir()}
    # The bright square of each class is found by its edges.
    assert rows[0]["metrics"]["accuracy"] > 0.8


@pytest.mark.parametrize("family", FAMILIES)
def test_test_labels_change_no_prediction(
    family: str, data: Data, features: HandMade, settings: Settings, tmp_path: Path
) -> None:
    manifest = data.store.manifest.copy()
    test = data.split.indices(manifest, "test")
    column = manifest.columns.get_loc("label")
    manifest.iloc[test, column] = np.roll(manifest["label"].to_numpy()[test], 1)
    assert (
        manifest["label"].to_numpy()[test] != data.store.manifest["label"].to_numpy()[test]
    ).any()
    other = Data(replace(data.store, manifest=manifest), data.split)
    logits = []
    for name, own in (("a", data), ("b", other)):
        classical_stage(own, features, tmp_path / name, family=family, settings=settings)
        logits.append(Predictions.load(tmp_path / name / "predictions.parquet").logits)
    assert np.array_equal(*logits)


def test_of_very_many_images_a_share_is_learnt_and_told(
    data: Data,
    features: HandMade,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage, "MOST_IMAGES", 12)
    seen = []

    def fit(family: str, train: object, val: object, **more: object) -> object:
        seen.append(len(train.labels))  # type: ignore[attr-defined]
        return real(family, train, val, **more)  # type: ignore[arg-type]

    real = stage.fit_family
    monkeypatch.setattr(stage, "fit_family", fit)
    rows = classical_stage(data, features, tmp_path / "out", family="knn", settings=settings)
    learnt, whole = seen[0], len(data.split.train)
    assert 12 <= learnt < whole
    assert rows[0]["chosen"].endswith(f"; learnt from {learnt} of {whole} images")
    assert rows[0]["n"] == whole
