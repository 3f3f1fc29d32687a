"""One search: the same proposals after an interruption, validation alone, a preset at its end."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from oracles.small_plan import FAST

from brainssl.data.dataset import Data
from brainssl.data.prepare import write_store
from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.progress import Report
from brainssl.models.classifier import Classifier
from brainssl.settings import Settings, flat, load_settings
from brainssl.settings.loading import chosen_on
from brainssl.studies import search as module
from brainssl.studies.search import Search, search

BASELINE = "supervised"


@contextmanager
def quiet(_title: str) -> Iterator[Report]:
    yield lambda _done, _of: None


def searched(store: ImageStore, method: str = BASELINE, stage: str = BASELINE) -> Search:
    settings, reasons = load_settings("quick", [*FAST, "split.val_fraction=0.2"])
    split = make_split(store.manifest, protocol="grouped", seed=0, **settings.split.model_dump())
    return Search(Data(store, split), method, stage, 1.0, settings, reasons, 0)


def pretend(search: Search, folder: Path, settings: Settings, _progress: Report) -> None:
    """Leave predictions that are best at a certain learning rate, in no time."""
    far = abs(np.log(settings.of(search.method).finetune.learning_rate / 2e-3))
    data = search.data
    rows = data.split.indices(data.store.manifest, "val")
    labels = data.store.labels[rows]
    logits = np.random.default_rng(0).normal(size=(len(rows), len(data.store.classes)))
    logits[np.arange(len(rows)), labels] += 3 / (1 + far)
    own = data.store.manifest.iloc[rows]
    (folder / search.stage).mkdir(parents=True)
    Predictions.build(
        own["image_id"].tolist(),
        own["group"].to_numpy(np.int64),
        ["val"] * len(rows),
        labels,
        logits,
        data.store.classes,
    ).save(folder / search.stage / "predictions.parquet")


@pytest.fixture(scope="module")
def finished(shared_store: ImageStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("search") / "out"
    search(searched(shared_store, "simclr", "linear"), out, 2, task=quiet)
    return out


def test_an_interrupted_search_proposes_the_same_as_one_that_was_not(
    shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the first ten, where what became of earlier trials decides."""
    own = searched(shared_store)
    monkeypatch.setattr(module, "_train", pretend)
    whole = search(own, tmp_path / "whole", 14, task=quiet)
    stops = ["003", "012"]

    def killed(search: Search, folder: Path, settings: Settings, progress: Report) -> None:
        if folder.name in stops:
            stops.remove(folder.name)
            raise KeyboardInterrupt
        pretend(search, folder, settings, progress)

    monkeypatch.setattr(module, "_train", killed)
    for _ in ("003", "012"):
        with pytest.raises(KeyboardInterrupt):
            search(own, tmp_path / "again", 14, task=quiet)
    assert search(own, tmp_path / "again", 14, task=quiet) == whole
    for name in ("tuning.json", "best.toml", "split.json"):
        first, second = (tmp_path / folder / name for folder in ("whole", "again"))
        assert first.read_bytes() == second.read_bytes()
    losses = [one["val_nll"] for one in whole["tried"]]
    assert whole["chosen"] == 1 + losses.index(min(losses))


def test_another_request_in_the_same_folder_is_refused(
    shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, out = searched(shared_store), tmp_path / "out"
    monkeypatch.setattr(module, "_train", pretend)
    search(own, out, 1, task=quiet)
    settings = load_settings("quick", [*FAST, "split.val_fraction=0.2", "finetune.epochs=7"])[0]
    for other, named in (
        (replace(own, label_fraction=0.5), "label_fraction"),
        (replace(own, settings=settings), r"finetune\.epochs"),
        (replace(own, seed=1), "seed"),
    ):
        with pytest.raises(BrainsslError, match=f"another .*{named}.*choose another folder"):
            search(other, out, 1, task=quiet)
    with pytest.raises(BrainsslError, match="exists already"):
        search(own, shared_store.path, 1, task=quiet)


def test_a_failed_trial_costs_itself_alone(
    shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(search: Search, folder: Path, settings: Settings, progress: Report) -> None:
        if folder.name != "002":
            raise RuntimeError("diverged:\nlower the rate")
        pretend(search, folder, settings, progress)

    monkeypatch.setattr(module, "_train", failing)
    found = search(searched(shared_store), tmp_path / "out", 3, task=quiet)
    assert found["chosen"] == 2
    assert [one.get("error") for one in found["tried"]] == [
        "diverged: lower the rate",
        None,
        "diverged: lower the rate",
    ]
    monkeypatch.setattr(module, "_train", pretend)
    assert search(searched(shared_store), tmp_path / "out", 3, task=quiet) == found
    monkeypatch.setattr(module, "_train", failing)
    with pytest.raises(BrainsslError, match=r"all 1 trials failed.*diverged.*delete"):
        search(searched(shared_store), tmp_path / "none", 1, task=quiet)


def test_the_preset_is_what_was_chosen(
    shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_train", pretend)
    asked, out = searched(shared_store, "simclr", "finetune"), tmp_path / "out"
    record = search(asked, out, 5, task=quiet)
    assert record["chosen"] > 1
    loaded, reasons = load_settings(str(out / "best.toml"), ["run.accelerator=cpu"])
    given = asked.settings
    changed = record["tried"][record["chosen"] - 1]["changed"]
    own = dict(flat(loaded.simclr.model_dump()))
    assert own == dict(flat(given.simclr.model_dump())) | changed
    assert changed.keys() <= own.keys()
    for name in set(Settings.model_fields) - {"simclr"}:
        assert getattr(loaded, name) == getattr(given, name)
    assert all("best.toml" in reasons[f"simclr.{key}"] for key in changed)
    # So that what is trained with it keeps to the same test set.
    split = make_split(
        shared_store.manifest, protocol="grouped", seed=0, **loaded.split.model_dump()
    )
    assert split.digest == json.loads((out / "split.json").read_text())["digest"]
    told = {"protocol": "grouped", "seed": 0, "digest": split.digest}
    assert chosen_on(str(out / "best.toml")) == told
    assert "with --folds 1 --protocols grouped --seed 0." in (out / "best.toml").read_text()


def test_a_semi_supervised_method_is_searched_as_the_baseline_is(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    """Nothing is pretrained, and of its settings those of training change."""
    out = tmp_path / "out"
    record = search(searched(shared_store, "fixmatch"), out, 2, task=quiet)
    assert all(one["val_nll"] is not None for one in record["tried"])
    assert {key.split(".")[0] for key in record["tried"][1]["changed"]} == {"finetune"}
    for trial in sorted(out.glob("trials/*")):
        assert {entry.name for entry in trial.iterdir()} == {"trial.json", BASELINE}
        assert "pseudo_share" in pd.read_csv(trial / BASELINE / "history.csv")


def test_a_search_predicts_no_test_image(finished: Path) -> None:
    files = sorted(finished.glob("trials/*/linear/predictions.parquet"))
    assert len(files) == 2
    assert all(set(pd.read_parquet(file)["split"]) == {"train", "val"} for file in files)


def test_what_is_in_the_test_set_changes_neither_trials_nor_choice(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    """Other pixels and other labels of test images: the same weights, bit for bit."""
    own = searched(shared_store)
    manifest = shared_store.manifest.copy()
    test = own.data.split.indices(manifest, "test")
    manifest.loc[test, "label"] = manifest.loc[test, "label"].to_numpy()[::-1]
    assert not manifest["label"].equals(shared_store.manifest["label"])
    images = np.array(shared_store.images)
    images[test] = 255 - images[test]
    other = write_store(tmp_path / "store", manifest, iter(images), size=32, facts={})
    found = {}
    for name, store in (("one", shared_store), ("other", other)):
        asked = replace(own, data=Data(store, own.data.split))
        found[name] = search(asked, tmp_path / name, 2, task=quiet)
    assert found["one"] == found["other"]
    assert (tmp_path / "one/best.toml").read_text() == (tmp_path / "other/best.toml").read_text()
    for trial in ("001", "002"):
        one, two = (
            Classifier.load(tmp_path / name / "trials" / trial / BASELINE).state_dict()
            for name in ("one", "other")
        )
        assert all(torch.equal(one[key], two[key]) for key in one)


def test_what_it_holds_is_told(finished: Path) -> None:
    record: dict[str, Any] = json.loads((finished / "tuning.json").read_text())
    assert (record["method"], record["stage"], record["trials"]) == ("simclr", "linear", 2)
    assert record["tried"][0]["changed"] == {}
    assert all(key.startswith(("views.", "pretrain.")) for key in record["tried"][1]["changed"])
    assert record["val_images"] > 0
