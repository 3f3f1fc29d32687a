"""FixMatch: its loss by hand, what no gradient goes through, and what a training may see."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import Tensor, nn

from brainssl.data.dataset import Data
from brainssl.data.split import Split, make_split
from brainssl.data.store import ImageStore
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder
from brainssl.settings import Settings, load_settings
from brainssl.settings.methods import FixMatchSettings
from brainssl.training import trainer as trainer_module
from brainssl.training.finetune import recipe_of
from brainssl.training.finetuning.fixmatch import (
    WEAK,
    Both,
    FixMatch,
    pseudo_labels,
    pseudo_loss,
    turn,
)
from brainssl.training.finetuning.mixing import Mixed
from brainssl.training.stages import evaluate_stage, finetune_stage
from brainssl.views.recipes import ViewRecipe

LABELLED, BESIDE = 4, 6


def settings_for(*overrides: str) -> Settings:
    fixed = [
        "encoder.name=test_resnet",
        "encoder.image_size=32",
        "finetune.epochs=3",
        "finetune.batch_size=8",
        "finetune.min_epoch_steps=0",
        "fixmatch.threshold=0.4",
        "evaluation.draws=20",
        "run.accelerator=cpu",
        "run.precision=32-true",
    ]
    return load_settings("quick", [*fixed, *overrides])[0].of("fixmatch")


def in_training(
    monkeypatch: pytest.MonkeyPatch, *overrides: str, labels: np.ndarray | None = None
) -> FixMatch:
    """A training without a trainer; a fresh head is unsure, so its weights are enlarged."""
    settings = settings_for("fixmatch.threshold=0.6", *overrides)
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    torch.manual_seed(0)
    head = nn.Linear(encoder.dim, 3)
    head.weight.data *= 5
    labels = np.array([0, 1, 2, -1, 0, 1, 2, 0, 1, 2]) if labels is None else labels
    training = FixMatch(
        encoder,
        head,
        torch.zeros(len(labels), 32, 32, dtype=torch.uint8),
        labels,
        settings.finetune,
        seed=0,
        recipe=recipe_of(settings),
        unlabelled=torch.arange(len(labels)),
        fixmatch=settings.fixmatch,
        strong=ViewRecipe.of(settings.views.model_dump()),
    )
    monkeypatch.setattr(training, "log", lambda *_, **__: None)
    return training


def batch() -> Both:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(LABELLED + 2 * BESIDE, 1, 32, 32, generator=generator)
    own, weak, strong = images.split([LABELLED, BESIDE, BESIDE])
    labels = torch.tensor([0, 1, 2, 0])
    return Both(Mixed(own, labels, labels, 1.0), torch.arange(BESIDE), weak, strong)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.8, 1.0])
def test_the_loss_is_the_original_one(threshold: float) -> None:
    """Equation 4, image by image."""
    generator = np.random.default_rng(0)
    weak, strong = generator.normal(0, 2, (2, 50, 4)).astype(np.float32)
    guesses, sure = pseudo_labels(torch.from_numpy(weak), threshold)
    q, log_p = softmax(weak.astype(np.float64), axis=1), log_softmax(strong.astype(float), axis=1)
    expected = sum(
        -log_p[place, one.argmax()] for place, one in enumerate(q) if one.max() >= threshold
    )
    found = pseudo_loss(torch.from_numpy(strong), guesses, sure)
    assert found.item() == pytest.approx(expected / 50, rel=1e-5)
    assert sure.sum().item() == (q.max(axis=1) >= threshold).sum()


def test_a_probability_at_the_threshold_counts() -> None:
    guesses, sure = pseudo_labels(torch.tensor([[0.0, 0.0], [0.0, -1.0]]), 0.5)
    assert sure.tolist() == [True, True]
    assert guesses.tolist() == [0, 0]


def test_logits_of_half_precision_are_judged_in_float32() -> None:
    """In bfloat16, near 0.9 probabilities are rounded to steps of 0.004."""
    logits = torch.stack([torch.linspace(1.5, 3, 200), torch.zeros(200)], dim=1).bfloat16()
    expected = softmax(logits.double().numpy(), axis=1).max(axis=1) >= 0.9
    assert not np.array_equal((logits.softmax(1).amax(1) >= 0.9).numpy(), expected)
    assert np.array_equal(pseudo_labels(logits, 0.9)[1].numpy(), expected)


def test_a_step_adds_both_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of labelled images and strong views as one batch, and of weak ones as another."""
    training, one = in_training(monkeypatch, "fixmatch.weight=0.7"), batch()
    found = training.training_step(one, 0)
    network = nn.Sequential(training.encoder, training.head)
    weak = network(one.weak).detach().double().numpy()
    both = network(torch.cat([one.labelled.images, one.strong])).detach().double().numpy()
    own, strong = both[:LABELLED], both[LABELLED:]
    sure = softmax(weak, axis=1).max(axis=1) >= 0.6
    assert 0 < sure.sum() < BESIDE
    expected = -log_softmax(own, axis=1)[range(LABELLED), one.labelled.labels].mean()
    guessed = -log_softmax(strong, axis=1)[range(BESIDE), weak.argmax(axis=1)]
    assert found.item() == pytest.approx(expected + 0.7 * (guessed * sure).mean(), rel=1e-4)


def gradients(training: FixMatch, one: Both) -> list[Tensor]:
    training.zero_grad()
    training.training_step(one, 0).backward()  # type: ignore[no-untyped-call]
    return [p.grad.clone() for p in training.parameters() if p.grad is not None]


def test_no_gradient_goes_through_weak_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights learn from pseudo-labels as if these had been given from outside."""
    training, one = in_training(monkeypatch), batch()
    one.weak.requires_grad_()
    found = gradients(training, one)
    assert one.weak.grad is None
    network = nn.Sequential(training.encoder, training.head)
    with torch.no_grad():
        guesses, sure = pseudo_labels(network(one.weak), 0.6)
    assert 0 < sure.sum() < BESIDE
    logits = network(torch.cat([one.labelled.images, one.strong]))
    own = nn.functional.cross_entropy(logits[:LABELLED], one.labelled.labels)
    losses = nn.functional.cross_entropy(logits[LABELLED:], guesses, reduction="none")
    expected = torch.autograd.grad(
        own + losses[sure].sum() / BESIDE, [p for p in training.parameters() if p.requires_grad]
    )
    assert len(found) == len(expected)
    for one_of, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one_of, other, rtol=1e-3, atol=1e-5)


def test_the_same_weights_learn_under_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older PyTorch keeps weights that it has rounded: without gradients, if that came first."""
    learnt = []
    for precise in (True, False):
        training = in_training(monkeypatch)
        with torch.autocast("cpu", torch.bfloat16, enabled=not precise):
            loss = training.training_step(batch(), 0)
        assert loss.dtype == torch.float32
        loss.backward()  # type: ignore[no-untyped-call]
        named = training.named_parameters()
        learnt.append({name for name, p in named if p.grad is not None and p.grad.any()})
    assert learnt[0] == learnt[1]
    assert {"head.weight", "encoder.network.conv1.weight"} <= {
        name.replace("conv1.0.", "conv1.") for name in learnt[0]
    }


def test_below_the_threshold_nothing_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strong views are in the statistics of the batch, but whatever is guessed of them is not."""
    training, one = in_training(monkeypatch, "fixmatch.threshold=1.0"), batch()
    logits = nn.Sequential(training.encoder, training.head)(
        torch.cat([one.labelled.images, one.strong])
    )
    own = nn.functional.cross_entropy(logits[:LABELLED], one.labelled.labels)
    assert training.training_step(one, 0).item() == pytest.approx(own.item(), rel=1e-5)
    assert training.noted() == {
        "pseudo_share": 0.0,
        "pseudo_accuracy": pytest.approx(math.nan, nan_ok=True),
    }


def test_shares_and_accuracy_are_of_all_batches_of_an_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows 0 to 5, of which row 3 has no label: right are those that the labels name."""
    training, one = in_training(monkeypatch, "fixmatch.threshold=0"), batch()
    with torch.no_grad():
        logits = nn.Sequential(training.encoder, training.head)(one.weak)
    right = (logits.argmax(1) == training.labels[:BESIDE]).sum().item()  # type: ignore[index]
    for _ in range(3):
        training.training_step(one, 0)
    assert training.noted() == {"pseudo_share": 1.0, "pseudo_accuracy": pytest.approx(right / 5)}
    training._trainer = type("Trainer", (), {"global_rank": 0, "current_epoch": 1})()
    training.on_train_epoch_start()
    assert math.isnan(training.noted()["pseudo_share"])


@pytest.mark.parametrize(("count", "size"), [(10, 3), (10, 10), (7, 5), (4, 9)])
def test_every_row_has_its_turn_before_any_has_another(count: int, size: int) -> None:
    rows, steps = torch.arange(100, 100 + count), 40
    drawn = torch.cat([turn(rows, size, 3, step) for step in range(steps)])
    assert len(drawn) == steps * min(size, count)
    whole = len(drawn) // count * count
    passes = drawn[:whole].reshape(-1, count)
    assert torch.equal(passes.sort(dim=1)[0], rows.expand_as(passes))
    assert len({tuple(one.tolist()) for one in passes}) > 1, "orders differ"
    assert torch.equal(turn(rows, size, 3, 17), turn(rows, size, 3, 17))
    assert not torch.equal(torch.cat([turn(rows, size, 4, step) for step in range(steps)]), drawn)


def test_weak_views_are_flips_and_small_shifts() -> None:
    geometry, intensity = WEAK.geometry, WEAK.intensity
    assert (geometry.flip, geometry.shift) == (0.5, 0.125)
    assert replace(geometry, flip=0.0, shift=0.0, fill="zeros") == type(geometry)()
    assert intensity == type(intensity)()


def test_the_original_values_are_the_defaults_but_for_the_ratio() -> None:
    own = FixMatchSettings()
    assert (own.threshold, own.weight, own.ratio) == (0.95, 1.0, 2)
    assert load_settings("reference")[0].fixmatch.ratio == 7


@pytest.fixture(scope="module")
def split(shared_store: ImageStore) -> Split:
    return make_split(shared_store.manifest, val_fraction=0.2, test_fraction=0.3)


def train(store: ImageStore, split: Split, out: Path, *overrides: str) -> Classifier:
    finetune_stage(
        Data(store, split),
        build_encoder("test_resnet", image_size=32, seed=0),
        out,
        facts={"method": "fixmatch", "stage": "supervised"},
        settings=settings_for(*overrides),
        label_fraction=0.5,
    )
    return Classifier.load(out)


def same(one: nn.Module, other: nn.Module) -> bool:
    found = other.state_dict()
    return all(torch.equal(value, found[name]) for name, value in one.state_dict().items())


def test_it_sees_the_images_of_a_pretraining_and_no_other(
    shared_store: ImageStore, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them: with the labels of half the training set, the others are images, too."""
    drawn: dict[bytes, int] = {}
    draw = ViewRecipe.draw

    def spy(self: ViewRecipe, images: Tensor, *rest: Any) -> Tensor:
        for image in images:
            drawn[image.numpy().tobytes()] = 1
        return draw(self, images, *rest)

    monkeypatch.setattr(ViewRecipe, "draw", spy)
    train(shared_store, split, tmp_path / "out", "finetune.epochs=4")
    allowed = split.pretraining(shared_store.manifest)
    assert len(split.unlabelled) > 0
    assert drawn.keys() == {shared_store.images[row].tobytes() for row in allowed}


@pytest.mark.parametrize("planted", ["images", "labels"])
def test_test_images_and_labels_that_are_not_used_change_nothing(
    shared_store: ImageStore, split: Split, tmp_path: Path, planted: str
) -> None:
    """Nor do the training labels beyond the fraction, though history.csv is told by them."""
    manifest = shared_store.manifest
    tested = split.indices(manifest, "test")
    data = Data(shared_store, split)
    free = np.setdiff1d(split.indices(manifest, "train"), data.rows(0.5, 0)["train"])
    before = train(shared_store, split, tmp_path / "before")
    if planted == "images":
        images = shared_store.images.copy()
        images[tested] = 255 - images[tested]
        other = replace(shared_store, images=images)
    else:
        other = replace(shared_store)
        labels = shared_store.labels.copy()
        labels[[*tested, *free]] = (labels[[*tested, *free]] + 1) % 3
        other.__dict__["labels"] = labels
    after = train(other, split, tmp_path / "after")
    assert same(before, after)
    told = [pd.read_csv(tmp_path / name / "history.csv") for name in ("before", "after")]
    assert told[0]["pseudo_share"].equals(told[1]["pseudo_share"])
    changed = not told[0]["pseudo_accuracy"].equals(told[1]["pseudo_accuracy"])
    assert changed == (planted == "labels")


def test_a_training_is_told_and_marks_what_it_has_seen(
    shared_store: ImageStore, split: Split, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    classifier = train(shared_store, split, out)
    kept = json.loads((out / "settings.json").read_text("utf-8"))
    assert kept["fixmatch"]["threshold"] == 0.4
    assert not {"supervised", "simclr"} & set(kept)
    history = pd.read_csv(out / "history.csv")
    assert history["pseudo_share"].between(0, 1).all()
    assert history["pseudo_share"].max() > 0
    assert history["pseudo_accuracy"].dropna().between(0, 1).all()
    manifest = shared_store.manifest
    seen = [split.pretraining(manifest), split.indices(manifest, "val")]
    marks = np.unique(shared_store.marks[np.concatenate(seen)], axis=0)
    assert np.array_equal(classifier.learnt, marks)
    assert (out / "predictions.parquet").is_file()
    assert not (out / "unlabelled.parquet").exists(), "it has learnt to be sure of those"
    again = evaluate_stage(
        Data(shared_store, split), classifier, tmp_path / "b", settings=settings_for()
    )
    assert {row["stage"] for row in again} == {"supervised"}


def test_each_setting_of_it_matters_and_asks_for_a_training_of_its_own(
    shared_store: ImageStore, split: Split, tmp_path: Path
) -> None:
    own = ("fixmatch.threshold=0.9", "fixmatch.ratio=1", "fixmatch.weight=3", "views.rotation=80")
    trained = [
        train(shared_store, split, tmp_path / str(number), *parts)
        for number, parts in enumerate([(), *((part,) for part in own)])
    ]
    heads = {one.head.weight.detach().numpy().tobytes() for one in trained}
    assert len(heads) == len(trained)


def test_without_weight_labelled_images_learn_as_beside_any_others(
    shared_store: ImageStore, split: Split, tmp_path: Path
) -> None:
    """What is guessed has no part; that strong views share the batch's statistics has."""
    free = ("fixmatch.weight=0",)
    one = train(shared_store, split, tmp_path / "a", *free, "fixmatch.threshold=0")
    other = train(shared_store, split, tmp_path / "b", *free, "fixmatch.threshold=1")
    assert same(one, other)


class Killed(Exception):
    """Thrown after an epoch."""


def killed_after(last: int) -> Callable[..., None]:
    save = trainer_module.Checkpoint.on_train_epoch_end

    def then_die(self: Any, trainer: Any, pl_module: Any) -> None:
        self.share = math.inf  # each epoch is saved
        save(self, trainer, pl_module)
        if trainer.current_epoch + 1 == last:
            raise Killed

    return then_die


def test_a_killed_training_goes_on_exactly(
    shared_store: ImageStore, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ("fixmatch.finetune.average_half_life=0.5", "finetune.cutmix=1.0")
    whole = train(shared_store, split, tmp_path / "whole", *own)
    for last in (1, 2):
        out = tmp_path / f"after {last}"
        with monkeypatch.context() as patch:
            patch.setattr(trainer_module.Checkpoint, "on_train_epoch_end", killed_after(last))
            with pytest.raises(Killed):
                train(shared_store, split, out, *own)
        assert same(train(shared_store, split, out, *own), whole)
        told, expected = (pd.read_csv(one / "history.csv") for one in (out, tmp_path / "whole"))
        assert told.drop(columns="seconds").equals(expected.drop(columns="seconds"))
