"""Stages: nothing of the test set can matter to what is learnt or chosen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import log_softmax

from brainssl.data.dataset import Data
from brainssl.data.marks import known
from brainssl.data.split import Split, make_split
from brainssl.data.store import ImageStore
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError
from brainssl.models.classifier import Classifier, run_in_batches
from brainssl.models.encoder import build_encoder
from brainssl.settings import Settings, load_settings
from brainssl.training.stages import Features, evaluate_stage, finetune_stage, probe_stage


@pytest.fixture(scope="module")
def settings(shared_store: ImageStore) -> Settings:
    overrides = [
        "encoder.name=test_resnet",
        f"encoder.image_size={shared_store.size}",
        "finetune.epochs=3",
        "finetune.batch_size=8",
        "finetune.min_epoch_steps=0",
        "evaluation.draws=20",
        "run.accelerator=cpu",
    ]
    return load_settings("quick", overrides)[0]


@pytest.fixture(scope="module")
def data(shared_store: ImageStore) -> Data:
    split = make_split(shared_store.manifest, val_fraction=0.2, test_fraction=0.2)
    return Data(shared_store, split)


def with_another_test_set(data: Data) -> Data:
    """The same data, but every test image inverted and every test label another one."""
    rows = data.split.indices(data.store.manifest, "test")
    images, manifest = data.store.images.copy(), data.store.manifest.copy()
    images[rows] = 255 - images[rows]
    places = manifest.columns.get_loc("label")
    manifest.iloc[rows, places] = np.roll(manifest.iloc[rows, places].to_numpy(), 1)
    return Data(replace(data.store, images=images, manifest=manifest), data.split)


def learnt(stage: str, data: Data, out: Path, settings: Settings) -> dict[str, torch.Tensor]:
    encoder = build_encoder("test_resnet", image_size=data.store.size, seed=0)
    if stage == "linear":
        features = Features(lambda: encoder, data.store, torch.device("cpu"))
        probe_stage(data, features, out, facts={"method": "untrained"}, settings=settings)
    else:
        facts = {"method": "supervised", "stage": "supervised"}
        finetune_stage(data, encoder, out, facts=facts, settings=settings, label_fraction=0.7)
    return load_file(out / "classifier.safetensors")


@pytest.mark.parametrize("stage", ["linear", "finetune"])
def test_the_test_set_cannot_matter(
    stage: str, data: Data, settings: Settings, tmp_path: Path
) -> None:
    one = learnt(stage, data, tmp_path / "one", settings)
    other = learnt(stage, with_another_test_set(data), tmp_path / "other", settings)
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.mark.parametrize("stage", ["linear", "finetune"])
def test_the_validation_set_does_matter(
    stage: str, data: Data, settings: Settings, tmp_path: Path
) -> None:
    """The test above would pass if no set chose anything at all."""
    rows = data.split.indices(data.store.manifest, "val")
    manifest = data.store.manifest.copy()
    places = manifest.columns.get_loc("label")
    rolled = manifest.iloc[rows, places].map(
        dict(zip(data.store.classes, np.roll(data.store.classes, 1), strict=True))
    )
    manifest.iloc[rows, places] = rolled.to_numpy()
    other = Data(replace(data.store, manifest=manifest), data.split)
    fast = settings.model_copy(
        update={
            "finetune": settings.finetune.model_copy(
                update={"epochs": 12, "patience": 12, "smoothing": 1, "learning_rate": 1e-3}
            )
        }
    )
    one = learnt(stage, data, tmp_path / "one", fast)
    two = learnt(stage, other, tmp_path / "other", fast)
    assert any(not torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("stage", ["finetune", "supervised"])
def test_only_the_baseline_has_equal_steps_and_its_rows_say_what_was_kept(
    stage: str, data: Data, settings: Settings, tmp_path: Path
) -> None:
    own = settings.supervised.model_copy(update={"equal_steps": True})
    before = settings.pretrain.model_copy(update={"epochs": 2, "batch_size": 16})
    # What is logged is of the precision of the training, what is measured of float32.
    run = settings.run.model_copy(update={"precision": "32-true"})
    longer = settings.model_copy(update={"supervised": own, "pretrain": before, "run": run})
    encoder = build_encoder("test_resnet", image_size=data.store.size, seed=0)
    facts = {"method": "byol", "stage": stage}
    rows = finetune_stage(data, encoder, tmp_path / "out", facts=facts, settings=longer)
    seen = len(data.split.pretraining(data.store.manifest))
    labelled = len(data.rows(1.0, 0)["train"])
    expected = 3 + -(-2 * (seen // 16) // (labelled // 8)) * (stage == "supervised")
    history = (tmp_path / "out" / "history.csv").read_text().splitlines()
    assert len(history) - 1 == expected
    val = next(row for row in rows if row["split"] == "val")
    assert val["epochs"] == expected
    assert val["val_loss"] == pytest.approx(val["metrics"]["nll"], abs=1e-4)
    assert val["uniform_loss"] == pytest.approx(np.log(len(data.store.classes)))
    assert val["chosen"].endswith(f"by the validation loss {val['val_loss']:.4f}") or (
        "mean weights" in val["chosen"]
    )


@pytest.mark.parametrize("views", [1, 3])
def test_a_classifier_predicts_over_the_views_that_its_training_was_asked_for(
    views: int, data: Data, settings: Settings, tmp_path: Path
) -> None:
    """Its own rows are of those predictions; what chose the epoch is of the plain image."""
    own = settings.finetune.model_copy(update={"test_views": views})
    learnt("finetune", data, tmp_path / "out", settings.model_copy(update={"finetune": own}))
    classifier = Classifier.load(tmp_path / "out")
    assert classifier.test_views == views
    assert ("test_views" in classifier.facts) == (views > 1)
    said = Predictions.load(tmp_path / "out" / "predictions.parquet")
    val = data.rows(0.7, 0)["val"]
    expected = classifier.logits(data.store.images, val)
    np.testing.assert_allclose(said.of("val").logits, expected, atol=1e-4)
    plain = run_in_batches(classifier, data.store.images, val)
    assert np.allclose(expected, plain, atol=1e-3) == (views == 1)
    nll = -log_softmax(plain, axis=1)[range(len(val)), data.store.labels[val]].mean()
    assert classifier.facts["val_loss"] == pytest.approx(nll, abs=1e-3)


@pytest.mark.parametrize("pretrained", [False, True])
def test_a_classifier_knows_the_images_that_shaped_it(
    pretrained: bool, data: Data, settings: Settings, tmp_path: Path
) -> None:
    encoder = build_encoder("test_resnet", image_size=data.store.size, seed=0)
    encoder.facts = data.facts() if pretrained else {}
    features = Features(lambda: encoder, data.store, torch.device("cpu"))
    facts = {"method": "simclr" if pretrained else "untrained"}
    out = tmp_path / "out"
    probe_stage(data, features, out, facts=facts, settings=settings, label_fraction=0.5)
    classifier = Classifier.load(out)
    parts = data.rows(0.5, 0)
    rows = [*parts["train"], *parts["val"]]
    if pretrained:
        rows += [*data.split.pretraining(data.store.manifest)]
    assert {bytes(mark) for mark in classifier.learnt} == {
        bytes(mark) for mark in data.store.marks[rows]
    }
    assert not known(data.store.marks[parts["test"]], classifier.learnt).any()


def test_a_classifier_is_measured_on_its_own_data_alone(
    data: Data, settings: Settings, tmp_path: Path
) -> None:
    learnt("linear", data, tmp_path / "linear", settings)
    classifier = Classifier.load(tmp_path / "linear")
    rows = evaluate_stage(data, classifier, tmp_path / "again", settings=settings)
    assert [row["split"] for row in rows] == ["train", "val", "test"]
    other = make_split(data.store.manifest, seed=9, val_fraction=0.2, test_fraction=0.2)
    with pytest.raises(BrainsslError, match="may hold images that it has learnt"):
        evaluate_stage(Data(data.store, other), classifier, tmp_path / "no", settings=settings)
    moved = Data(replace(data.store, checksum="0" * 64), data.split)
    with pytest.raises(BrainsslError, match="may hold images that it has learnt"):
        evaluate_stage(moved, classifier, tmp_path / "no", settings=settings)


def test_a_split_whose_groups_cross_in_this_store_is_refused(data: Data) -> None:
    """The same file names, but patients are now known: the old split is no grouped split."""
    manifest = data.store.manifest.assign(group=0)
    with pytest.raises(BrainsslError, match="groups stand in"):
        Data(replace(data.store, manifest=manifest), data.split)


def test_an_empty_set_is_refused(data: Data) -> None:
    with pytest.raises(BrainsslError, match=r"the val set .* is empty"):
        Data(data.store, replace(data.split, val=()))


def test_a_split_of_other_images_is_refused(data: Data) -> None:
    with pytest.raises(BrainsslError, match="not in this store"):
        Data(data.store, Split("grouped", 0, train=("x",), val=("y",), test=("z",)))
