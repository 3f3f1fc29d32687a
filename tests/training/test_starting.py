"""Weights of ours that saw the test set begin nothing; those of other images may."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from brainssl.data.dataset import Data
from brainssl.data.marks import marks
from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import Encoder, build_encoder, load_encoder, save_encoder
from brainssl.settings import Settings, load_settings
from brainssl.training.pretrain import pretrain
from brainssl.training.stages import Features, finetune_stage, probe_stage
from brainssl.training.starting import refuse_seen_start
from brainssl.training.untrained import untrained_encoder


@pytest.fixture
def data(shared_store: ImageStore) -> Data:
    split = make_split(shared_store.manifest, val_fraction=0.2, test_fraction=0.2)
    return Data(shared_store, split)


@pytest.fixture
def settings_for(data: Data, tmp_path: Path) -> Callable[..., Settings]:
    """Give settings that begin with an encoder of ours that has these facts."""

    def make(learnt: np.ndarray | None = None, **facts: object) -> Settings:
        encoder = build_encoder("test_resnet", image_size=32, seed=0)
        encoder.facts = {"method": "simclr"} | facts
        encoder.learnt = learnt
        file = tmp_path / "start.safetensors"
        save_encoder(encoder, file)
        own = ["encoder.name=test_resnet", "encoder.image_size=32", f"encoder.weights={file}"]
        fast = ["run.accelerator=cpu", "finetune.epochs=1", "pretrain.epochs=1"]
        return load_settings("quick", [*own, *fast])[0]

    return make


def test_weights_that_may_have_seen_the_test_set_are_refused(
    data: Data, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = settings_for(store=data.store.checksum, split_digest="of another split")
    told = "trained on another split of .*: give weights of other images"
    encoder = build_encoder(**settings.encoder.model_dump(), seed=0)
    with pytest.raises(BrainsslError, match=told):
        pretrain(data.store, data.split, tmp_path / "a", method="simclr", settings=settings)
    with pytest.raises(BrainsslError, match=told):
        facts = {"method": "supervised", "stage": "supervised"}
        finetune_stage(data, encoder, tmp_path / "b", facts=facts, settings=settings)
    with pytest.raises(BrainsslError, match=told):
        untrained_encoder(data, settings, 0)
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_weights_of_this_split_or_of_other_images_are_taken_and_remembered(
    data: Data, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    other = settings_for(store="of another hospital", split_digest="of another split")
    refuse_seen_start(untrained_encoder(data, other, 0), data.store, data.split)
    same = settings_for(store=data.store.checksum, split_digest=data.split.digest)
    encoder = build_encoder(**same.encoder.model_dump(), seed=0)
    facts = {"method": "supervised", "stage": "supervised"}
    rows = finetune_stage(data, encoder, tmp_path / "out", facts=facts, settings=same)
    told = Classifier.load(tmp_path / "out").facts["starting_weights"]
    assert told["name"] == "start"
    assert told["trained_on"]["split_digest"] == data.split.digest
    assert told["digest"] == build_encoder(**same.encoder.model_dump(), seed=0).digest
    assert all("starting_weights" not in row for row in rows)


def probe(data: Data, encoder: Encoder, out: Path, settings: Settings, **asked: object) -> None:
    features = Features(lambda: encoder, data.store, torch.device("cpu"))
    probe_stage(data, features, out, facts={"method": "any"}, settings=settings, **asked)


@pytest.mark.parametrize("taught", [{"stage": "supervised"}, {"method": "supcon"}])
def test_labels_that_a_start_has_learnt_are_not_among_the_few_of_a_label_fraction(
    data: Data, settings_for: Callable[..., Settings], tmp_path: Path, taught: dict[str, str]
) -> None:
    """Neither as it is, nor after a training without labels, nor after one with few of them."""
    settings = settings_for(**data.facts(), **taught, label_fraction=0.5, seed=3)
    told = r"--label-fraction 0\.5 and --seed 3"
    fresh = build_encoder(**settings.encoder.model_dump(), seed=0)
    pretrain(data.store, data.split, tmp_path / "simclr", method="simclr", settings=settings)
    for encoder in (untrained_encoder(data, settings, 0), load_encoder(tmp_path / "simclr")):
        with pytest.raises(BrainsslError, match=told):
            probe(data, encoder, tmp_path / "few", settings, label_fraction=0.2, seed=3)
        facts = {"method": "simclr", "stage": "finetune"}
        with pytest.raises(BrainsslError, match=told):
            finetune_stage(
                data, encoder, tmp_path / "few", facts=facts, settings=settings, label_fraction=0.2
            )
    with pytest.raises(BrainsslError, match=told):
        pretrain(
            data.store,
            data.split,
            tmp_path / "few",
            method="supcon",
            settings=settings,
            label_fraction=0.2,
        )
    assert not (tmp_path / "few").exists()
    probe(data, fresh, tmp_path / "all", settings, label_fraction=1.0)


def test_a_probe_has_taught_its_encoder_nothing(
    data: Data, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = settings_for(**data.facts(), stage="linear", label_fraction=1.0, seed=0)
    encoder = untrained_encoder(data, settings, 0)
    probe(data, encoder, tmp_path / "few", settings, label_fraction=0.5)


def test_what_a_start_began_with_is_looked_at_too(
    data: Data, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    """Weights that saw the test set do not lose that by a training on other images."""
    own = {"store": data.store.checksum, "split_digest": "of another split", "method": "byol"}
    between = {"store": "of another hospital", "split_digest": "of that"}
    later = [
        {"starting_weights": {"name": "a", "trained_on": {**between, "trained_on": own}}},
        {"pretrained": own},
    ]
    for facts in later:
        settings = settings_for(**between, **facts)
        with pytest.raises(BrainsslError, match="trained on another split of"):
            untrained_encoder(data, settings, 0)


def test_a_classifier_remembers_how_its_encoder_was_pretrained(
    data: Data, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = settings_for(store="of another hospital", split_digest="of that", seed=5)
    encoder = load_encoder(Path(settings.encoder.weights))
    probe(data, encoder, tmp_path / "out", settings)
    facts = Classifier.load(tmp_path / "out").facts
    assert facts["pretrained"] == encoder.facts
    own = settings.with_weights(str(tmp_path / "out" / "classifier.safetensors"))
    found = build_encoder(**own.encoder.model_dump(), seed=0).trainings
    assert [one["store"] for one in found] == [data.store.checksum, "of another hospital"]
    assert found[0]["stage"] == "linear"


@pytest.mark.parametrize("times", [1, 3])
def test_test_images_are_known_by_their_marks_in_another_store(
    times: int, data: Data, settings_for: Callable[..., Settings]
) -> None:
    """Whatever its checksum: of the same pictures at another size, or beside others."""
    larger = np.kron(data.store.images, np.ones((times, times), np.uint8))
    rows = data.split.indices(data.store.manifest, "test")
    elsewhere = {"store": "another checksum", "split_digest": "another"}
    settings = settings_for(marks(larger[rows[:2]]), **elsewhere)
    told = rf"has learnt 2 of {len(rows)} images of the test set.*: give weights of other images"
    with pytest.raises(BrainsslError, match=told):
        untrained_encoder(data, settings, 0)
    train = data.split.indices(data.store.manifest, "train")
    untrained_encoder(data, settings_for(marks(larger[train]), **elsewhere), 0)


def test_what_a_split_leaks_itself_is_no_fault_of_the_start(
    data: Data, settings_for: Callable[..., Settings]
) -> None:
    """A copy of a test image in this training set, as where slices are split one by one."""
    train, test = (data.split.indices(data.store.manifest, part) for part in ("train", "test"))
    images = data.store.images.copy()
    images[test[0]] = images[train[0]]
    leaking = Data(replace(data.store, images=images), data.split)
    for told in (data.facts(), {"store": "another", "split_digest": "another"}):
        settings = settings_for(marks(images[train]), **told)
        untrained_encoder(leaking, settings, 0)


def test_models_know_the_images_of_all_trainings_behind_them(
    data: Data, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    first = np.random.default_rng(0).integers(0, 256, (4, 32), dtype=np.uint8)
    settings = settings_for(first, store="of another hospital", split_digest="of that")
    pretrain(data.store, data.split, tmp_path / "simclr", method="simclr", settings=settings)
    encoder = load_encoder(tmp_path / "simclr")
    own = data.store.marks[data.split.pretraining(data.store.manifest)]
    expected = {bytes(mark) for mark in [*first, *own]}
    assert {bytes(mark) for mark in encoder.learnt} == expected
    probe(data, encoder, tmp_path / "probe", settings)
    learnt = Classifier.load(tmp_path / "probe").learnt
    chosen = data.store.marks[data.split.indices(data.store.manifest, "val")]
    assert {bytes(mark) for mark in learnt} == expected | {bytes(mark) for mark in chosen}
