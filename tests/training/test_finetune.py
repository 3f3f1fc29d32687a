"""Fine-tuning: budget, choice of epoch, augmentation of training images alone."""

import copy
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.models.classifier import run_in_batches
from brainssl.models.encoder import Encoder, build_encoder
from brainssl.settings import Settings, load_settings
from brainssl.settings.sections import FinetuneSettings
from brainssl.training import finetune as module
from brainssl.training import trainer as trainer_module
from brainssl.training.batches import seeded, training_batches
from brainssl.training.batchnorm import estimate_statistics
from brainssl.training.choice import SmoothedChoice
from brainssl.training.finetune import finetune, passes, recipe_of, supervised_epochs
from brainssl.training.finetuning import module as steps
from brainssl.training.finetuning.averaging import AveragedChoice
from brainssl.training.finetuning.losses import class_weights, classification_loss
from brainssl.training.finetuning.mixing import Mixed
from brainssl.training.finetuning.module import Finetuning
from brainssl.training.probe import Labelled, fit_probe
from brainssl.training.trainer import CHECKPOINT, cosine
from brainssl.views.recipes import TABLE2, ViewRecipe


def settings_for(shared_store: ImageStore, *overrides: str) -> Settings:
    fixed = [
        "encoder.name=test_resnet",
        f"encoder.image_size={shared_store.size}",
        "finetune.epochs=4",
        "finetune.batch_size=8",
        "finetune.min_epoch_steps=0",
        "run.accelerator=cpu",
    ]
    return load_settings("quick", [*fixed, *overrides])[0]


def labelled(shared_store: ImageStore) -> np.ndarray:
    return np.flatnonzero(shared_store.manifest["label"].notna().to_numpy()).astype(np.int64)


def train(shared_store: ImageStore, folder: Path, *overrides: str) -> tuple[Encoder, nn.Linear]:
    encoder = build_encoder("test_resnet", image_size=shared_store.size, seed=0)
    rows = labelled(shared_store)
    folder.mkdir(exist_ok=True)
    tuned = finetune(
        shared_store,
        rows[::2],
        rows[1::2],
        folder,
        encoder=encoder,
        settings=settings_for(shared_store, *overrides),
    )
    return encoder, tuned.head


def test_an_epoch_of_few_labels_has_enough_steps() -> None:
    settings = FinetuneSettings(min_epoch_steps=15, batch_size=32)
    assert passes(settings, 3200) == 1
    assert passes(settings, 64) == 8
    assert passes(settings, 3) == 15
    assert passes(FinetuneSettings(min_epoch_steps=0), 3) == 1


def test_the_baseline_has_the_steps_of_a_pretraining_too_if_it_is_to_have_them(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    """Steps are counted as trainings count them; the last epoch of the baseline is whole."""
    rows = labelled(shared_store)
    own = ["pretrain.epochs=7", "pretrain.batch_size=10", "finetune.min_epoch_steps=5"]
    equal = settings_for(shared_store, *own, "supervised.equal_steps=true")
    before = 7 * len(training_batches(np.arange(58), 10, 0))
    epoch = len(training_batches(rows[:20], 8, 0, passes=passes(equal.finetune, 20)))
    epochs = supervised_epochs(equal, 20, 58)
    assert (epochs - 1) * epoch < before + 4 * epoch <= epochs * epoch
    assert supervised_epochs(settings_for(shared_store, *own), 20, 58) == 4


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_the_losses_of_what_is_kept_and_of_the_uniform_answer_are_told(
    shared_store: ImageStore, tmp_path: Path, choices: list[SmoothedChoice], loss: str
) -> None:
    rows = labelled(shared_store)
    encoder = build_encoder("test_resnet", image_size=shared_store.size, seed=0)
    settings = settings_for(shared_store, f"finetune.loss={loss}", "finetune.epochs=2")
    tuned = finetune(
        shared_store, rows[::2], rows[1::2], tmp_path, encoder=encoder, settings=settings
    )
    assert tuned.val_loss == choices[0].best_loss
    assert tuned.chosen == choices[0].told
    uniform = math.log(3) * ((2 / 3) ** 2 if loss == "focal" else 1)
    assert tuned.uniform_loss == pytest.approx(uniform, rel=1e-6)


@pytest.fixture
def choices(monkeypatch: pytest.MonkeyPatch) -> list[SmoothedChoice]:
    """The choices that trainings make."""
    made: list[SmoothedChoice] = []
    begin = SmoothedChoice.__init__

    def remember(self: SmoothedChoice, **arguments: Any) -> None:
        begin(self, **arguments)
        made.append(self)

    monkeypatch.setattr(SmoothedChoice, "__init__", remember)
    return made


TRAINING_ALONE = (
    "finetune.label_smoothing=0.2",
    "finetune.class_weights=inverse",
    "finetune.mixup=0.4",
    "finetune.cutmix=1.0",
)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
@pytest.mark.parametrize("parts", [(), TRAINING_ALONE, ("finetune.average_half_life=1",)])
def test_what_is_kept_has_the_validation_loss_that_was_judged(
    shared_store: ImageStore,
    tmp_path: Path,
    choices: list[SmoothedChoice],
    loss: str,
    parts: tuple[str, ...],
) -> None:
    """Computed again, image by image, from the encoder and the head that came back.

    It is the plain one whatever the training loss has beside it.
    """
    fixed = ("finetune.learning_rate=0.01", "run.precision=32-true", f"finetune.loss={loss}")
    own = [part for part in parts if loss != "focal" or "smoothing" not in part]
    encoder, head = train(shared_store, tmp_path, *fixed, *own)
    val = labelled(shared_store)[1::2]
    images = torch.from_numpy(shared_store.images[val]).float()[:, None] / 255
    with torch.no_grad():
        logits = torch.cat([head(encoder.eval()(image[None])) for image in images])
    p = logits.double().softmax(1)[range(len(val)), torch.from_numpy(shared_store.labels[val])]
    expected = (-((1 - p) ** (2 if loss == "focal" else 0)) * p.log()).mean().item()
    assert choices[0].best_loss == pytest.approx(expected, abs=1e-5)
    told = pd.read_csv(tmp_path / "history.csv")["val_loss"]
    assert told.min() == pytest.approx(expected, abs=1e-5)
    assert told.idxmin() + 1 == choices[0].best_epoch > 1, "no epoch was averaged"
    assert isinstance(choices[0], AveragedChoice) == ("finetune.average_half_life=1" in parts)


def test_what_is_kept_is_the_mean_of_the_last_epochs_weights(
    shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And to look at the mean changes nothing of the training."""
    ends: list[dict[str, Tensor]] = []

    def remember(self: Finetuning) -> None:
        ends.append({name: value.clone() for name, value in self.state_dict().items()})

    monkeypatch.setattr(Finetuning, "on_train_epoch_end", remember)
    trained, losses = [], []
    for smoothing in (1, 2):
        # The last epoch is best.
        monkeypatch.setattr(Finetuning, "validation_step", _judge([4.0, 3.0, 2.0, 1.0]))
        folder = tmp_path / str(smoothing)
        encoder, head = train(shared_store, folder, f"finetune.smoothing={smoothing}")
        both = {f"encoder.{k}": v for k, v in encoder.state_dict().items()}
        trained.append(both | {f"head.{k}": v for k, v in head.state_dict().items()})
        losses.append(pd.read_csv(folder / "history.csv")["train_loss"])
    assert losses[0].tolist() == losses[1].tolist()
    for name, own in ends[3].items():
        assert torch.equal(own, ends[7][name]), name
        assert torch.equal(own, trained[0][name]), name
        mean = (own + ends[2][name]) / 2 if own.is_floating_point() else own
        torch.testing.assert_close(trained[1][name], mean)
    assert not torch.equal(trained[0]["head.weight"], trained[1]["head.weight"])


def _judge(losses: list[float]) -> Any:
    """Return a validation step that finds those losses, an epoch each."""

    def judge(self: Finetuning, batch: Any, batch_idx: int) -> None:
        loss = torch.tensor(losses[self.current_epoch])
        self.log("val_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch[0]))

    return judge


@pytest.mark.parametrize("batch_size", [9, 27])
def test_the_learning_rates_are_the_settings_whatever_the_batch_size(
    batch_size: int, shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the optimiser has at each step, for the encoder and, five times that, for the head."""
    seen: list[list[float]] = []
    monkeypatch.setattr(
        Finetuning,
        "on_before_optimizer_step",
        lambda _self, optimizer: seen.append([group["lr"] for group in optimizer.param_groups]),
    )
    rates = ["finetune.learning_rate=0.002", "finetune.head_factor=5", "finetune.warmup_epochs=1"]
    few = [f"finetune.batch_size={batch_size}", "finetune.epochs=3"]
    train(shared_store, tmp_path, *rates, *few)
    rising = len(labelled(shared_store)[::2]) // batch_size
    rise = [(step + 1) / rising for step in range(rising)]
    fall = [math.cos(math.pi / 4 * step / rising) ** 2 for step in range(2 * rising)]
    expected = [[0.002 * factor] * 2 + [0.01 * factor] * 2 for factor in rise + fall]
    np.testing.assert_allclose(seen, expected, rtol=1e-9)


def test_only_training_images_are_augmented(
    shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every image that Table 2 touches is one of the training rows."""
    augmented: list[Tensor] = []
    draw = ViewRecipe.draw

    def spy(self: ViewRecipe, images: Tensor, *rest: Any) -> Tensor:
        augmented.extend(images)
        return draw(self, images, *rest)

    evaluated: list[Tensor] = []
    unit = steps.to_unit

    def spy_unit(images: Tensor) -> Tensor:
        evaluated.extend(images)
        return unit(images)

    monkeypatch.setattr(ViewRecipe, "draw", spy)
    monkeypatch.setattr(steps, "to_unit", spy_unit)
    train(shared_store, tmp_path)
    rows = labelled(shared_store)
    allowed = {shared_store.images[row].tobytes() for row in rows[::2]}
    chosen_on = {shared_store.images[row].tobytes() for row in rows[1::2]}
    assert augmented
    assert {image.numpy().tobytes() for image in augmented} <= allowed
    assert {image.numpy().tobytes() for image in evaluated} == chosen_on


def in_training(shared_store: ImageStore, settings: Settings) -> Finetuning:
    encoder = build_encoder("test_resnet", image_size=shared_store.size, seed=0)
    pixels, head = torch.from_numpy(shared_store.images), nn.Linear(encoder.dim, 3)
    return Finetuning(
        encoder,
        head,
        pixels,
        shared_store.labels,
        settings.finetune,
        seed=0,
        recipe=recipe_of(settings),
    )


def test_the_augmentation_may_be_that_of_pretraining_as_strong_as_the_settings_say(
    shared_store: ImageStore,
) -> None:
    own = ["finetune.views=pretraining", "finetune.augmentation=0.5", "views.strength=2"]
    settings = settings_for(shared_store, *own, "views.rotation=15", "views.crop_area=[0.25,1]")
    recipe = in_training(shared_store, settings).views
    assert recipe.geometry.rotation == pytest.approx(15)
    assert recipe.geometry.crop_area == pytest.approx((0.25, 1))
    assert recipe.intensity.jitter == settings.views.jitter


def test_the_augmentation_is_table_2_as_strong_as_the_settings_say(
    shared_store: ImageStore,
) -> None:
    recipes = {}
    for augmentation in (0.0, 1.0, 1.5):
        settings = settings_for(shared_store, f"finetune.augmentation={augmentation}")
        recipes[augmentation] = in_training(shared_store, settings).views
    assert recipes[1.0] is TABLE2
    assert recipes[0.0].geometry.rotation == 0.0
    assert recipes[1.5].geometry.rotation == pytest.approx(30.0)


def test_images_outside_of_the_two_sets_cannot_matter(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    rows = labelled(shared_store)
    train_rows, val_rows, rest = rows[::3], rows[1::3], rows[2::3]
    heads = []
    for name in ("a", "b"):
        images = shared_store.images.copy()
        if name == "b":
            images[rest] = 255 - images[rest]
        other = replace(shared_store, images=images)
        encoder = build_encoder("test_resnet", image_size=shared_store.size, seed=0)
        (tmp_path / name).mkdir()
        settings = settings_for(shared_store)
        heads.append(
            finetune(
                other, train_rows, val_rows, tmp_path / name, encoder=encoder, settings=settings
            ).head
        )
    assert torch.equal(heads[0].weight, heads[1].weight)


ALL_PARTS = (
    *TRAINING_ALONE,
    "finetune.average_half_life=0.5",
    "finetune.head_start=probe",
    "finetune.layer_decay=0.7",
    "finetune.freeze_batchnorm=true",
    "finetune.views=pretraining",
)


@pytest.mark.parametrize(
    ("patience", "parts"),
    [pytest.param(1, (), marks=pytest.mark.thorough), (10, ()), (1, ALL_PARTS)],
    ids=["stopped early", "ran to its end", "with all parts"],
)
def test_resuming_gives_the_same_bits(
    shared_store: ImageStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    patience: int,
    parts: tuple[str, ...],
) -> None:
    """Killed after any epoch, also after the last one before an early stop."""
    monkeypatch.setattr(Finetuning, "validation_step", _judge([1.0, 0.5, 0.6, 0.4, 0.3, 0.2]))
    choose = (f"finetune.patience={patience}", "finetune.smoothing=3", "finetune.epochs=6", *parts)
    encoder, whole = train(shared_store, tmp_path / "whole", *choose)
    epochs = len((tmp_path / "whole" / "history.csv").read_text().splitlines()) - 1
    assert epochs == (3 if patience == 1 else 6)

    class Killed(Exception):
        pass

    save = trainer_module.Checkpoint.on_train_epoch_end
    for last in range(1, epochs + 1):

        def then_die(self: Any, trainer: Any, pl_module: Any, last: int = last) -> None:
            self.share = math.inf  # each epoch is saved
            save(self, trainer, pl_module)
            if trainer.current_epoch + 1 == last:
                raise Killed

        folder = tmp_path / f"killed after {last}"
        monkeypatch.setattr(trainer_module.Checkpoint, "on_train_epoch_end", then_die)
        with pytest.raises(Killed):
            train(shared_store, folder, *choose)
        assert torch.load(folder / CHECKPOINT, weights_only=True)["epoch"] == last - 1
        monkeypatch.setattr(trainer_module.Checkpoint, "on_train_epoch_end", save)
        other, resumed = train(shared_store, folder, *choose)
        assert torch.equal(whole.weight, resumed.weight), last
        for name, value in other.state_dict().items():
            assert torch.equal(value, encoder.state_dict()[name]), (last, name)
        assert len((folder / "history.csv").read_text().splitlines()) - 1 == epochs, last


def test_divergence_is_one_clear_line(shared_store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match=r"lower finetune\.learning_rate"):
        train(shared_store, tmp_path, "finetune.learning_rate=1e30", "finetune.clip_norm=none")


def test_an_unlabelled_image_cannot_be_trained_on(shared_store: ImageStore, tmp_path: Path) -> None:
    unlabelled = np.flatnonzero(shared_store.manifest["label"].isna().to_numpy()).astype(np.int64)
    assert len(unlabelled)
    encoder = build_encoder("test_resnet", image_size=shared_store.size, seed=0)
    with pytest.raises(BrainsslError, match="without a label"):
        finetune(
            shared_store,
            unlabelled,
            labelled(shared_store),
            tmp_path,
            encoder=encoder,
            settings=settings_for(shared_store),
        )


def test_the_head_learns_faster_than_the_encoder(shared_store: ImageStore) -> None:
    settings = FinetuneSettings(learning_rate=1e-4, head_factor=10)
    encoder = build_encoder("test_resnet", image_size=shared_store.size, seed=0)
    labels = np.zeros(len(shared_store.images), np.int64)
    training = Finetuning(
        encoder, nn.Linear(encoder.dim, 2), torch.zeros(1), labels, settings, seed=0
    )
    training._trainer = SimpleNamespace(  # type: ignore[assignment]
        max_epochs=2, estimated_stepping_batches=10, precision_plugin=None
    )
    chosen: Any = training.configure_optimizers()
    rates = {
        id(p): group["initial_lr"]
        for group in chosen["optimizer"].param_groups
        for p in group["params"]
    }
    assert {rates[id(p)] for p in training.encoder.parameters()} == {1e-4}
    assert {rates[id(p)] for p in training.head.parameters()} == {1e-4 * 10}
    assert len(rates) == len(list(training.parameters()))


def test_sampling_and_loss_are_what_the_settings_say(
    shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gammas: list[float] = []

    def spy(logits: Tensor, labels: Tensor, *, gamma: float, **named: Any) -> Tensor:
        gammas.append(gamma)
        return classification_loss(logits, labels, gamma=gamma, **named)

    balances: list[Any] = []
    make = module.training_batches

    def spy_batches(*arguments: Any, **named: Any) -> Any:
        balances.append(named["balance"])
        return make(*arguments, **named)

    monkeypatch.setattr(steps, "classification_loss", spy)
    monkeypatch.setattr(module, "training_batches", spy_batches)
    train(shared_store, tmp_path / "a")
    assert set(gammas) == {0.0}
    gammas.clear()
    choose = ("finetune.loss=focal", "finetune.focal_gamma=1.5", "finetune.sampling=balanced")
    train(shared_store, tmp_path / "b", *choose)
    assert set(gammas) == {1.5}
    assert balances[0] is None
    assert np.array_equal(balances[1], shared_store.labels[labelled(shared_store)[::2]])


def test_by_default_it_is_a_plain_loop_of_adamw(shared_store: ImageStore, tmp_path: Path) -> None:
    """Bit for bit: no part that is off leaves a trace."""
    rows, epochs = labelled(shared_store)[::2], 3
    plain = ["run.precision=32-true", "finetune.smoothing=1", "finetune.clip_norm=none"]
    settings = settings_for(shared_store, *plain, f"finetune.epochs={epochs}")
    encoder = build_encoder("test_resnet", image_size=shared_store.size, seed=0)
    own = settings.finetune
    expected = build_encoder("test_resnet", image_size=shared_store.size, seed=0)
    torch.manual_seed(2)
    head = nn.Linear(expected.dim, 3)
    network = nn.Sequential(expected, head).to(memory_format=torch.channels_last)
    groups = [
        {
            "params": [p for p in part.parameters() if (p.ndim > 1) == (decay > 0)],
            "lr": own.learning_rate * factor,
            "weight_decay": decay,
        }
        for part, factor in ((expected, 1), (head, own.head_factor))
        for decay in (own.weight_decay, 0.0)
    ]
    optimizer = torch.optim.AdamW(groups, fused=True)
    each = len(rows) // own.batch_size
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimizer, partial(cosine, steps=epochs * each, warmup=round(each * own.warmup_epochs))
    )
    batches = training_batches(rows, own.batch_size, 0)
    pixels, labels = torch.from_numpy(shared_store.images), torch.from_numpy(shared_store.labels)
    states = []
    for epoch in range(epochs):
        batches.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for step, batch in enumerate(batches, start=epoch * each):
            views = TABLE2.draw(pixels[batch], shared_store.size, seeded(0, 3, step))
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(views), labels[batch]).backward()
            optimizer.step()
            rates.step()
        states.append(copy.deepcopy(network.state_dict()))
    tuned = finetune(
        shared_store,
        rows,
        labelled(shared_store)[1::2],
        tmp_path,
        encoder=encoder,
        settings=settings,
    )
    kept = states[int(tuned.chosen.split()[1].rstrip(",")) - 1]
    found = nn.Sequential(encoder, tuned.head).state_dict()
    assert {name: torch.equal(value, kept[name]) for name, value in found.items()} == dict.fromkeys(
        kept, True
    )


def test_each_part_changes_what_is_learnt(shared_store: ImageStore, tmp_path: Path) -> None:
    """Alone, and for the supervised baseline, which is what a fresh encoder is trained as."""
    parts = [*ALL_PARTS, "finetune.class_weights=effective"]
    heads = {}
    for number, part in enumerate(["finetune.epochs=1", *parts]):
        _, head = train(shared_store, tmp_path / str(number), "finetune.epochs=1", part)
        heads[part] = head.weight.detach().numpy().tobytes()
    assert len(set(heads.values())) == len(heads)


def test_the_head_begins_as_the_linear_probe_of_the_labelled_images(
    shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh encoder has first the statistics of those images."""
    begun: list[tuple[Tensor, Tensor]] = []
    monkeypatch.setattr(
        module,
        "fit",
        lambda training, *_, callbacks, **__: (
            begun.append((training.head.weight.clone(), training.encoder.network.bn1.running_var)),
            callbacks[0].best.update(training.state_dict()),
        ),
    )
    train(shared_store, tmp_path, "finetune.head_start=probe")
    rows = labelled(shared_store)
    encoder = build_encoder("test_resnet", image_size=shared_store.size, seed=0)
    estimate_statistics(encoder, shared_store.images, rows[::2])
    told = [
        Labelled(run_in_batches(encoder, shared_store.images, own), shared_store.labels[own])
        for own in (rows[::2], rows[1::2])
    ]
    probe = fit_probe(*told, classes=3, settings=settings_for(shared_store).probe)
    assert torch.equal(begun[0][0], probe.head.weight)
    assert torch.equal(begun[0][1], encoder.network.bn1.running_var)  # type: ignore[union-attr]


def test_frozen_statistics_are_those_of_the_beginning(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    """Of the images of the training, for a fresh encoder; scale and shift have learnt."""
    own = ("finetune.freeze_batchnorm=true", "finetune.smoothing=1")
    encoder, _ = train(shared_store, tmp_path, *own)
    fresh = build_encoder("test_resnet", image_size=shared_store.size, seed=0)
    estimate_statistics(fresh, shared_store.images, labelled(shared_store)[::2])
    before = fresh.state_dict()
    for name, value in encoder.state_dict().items():
        if "running" in name:
            assert torch.equal(value, before[name]), name
    assert not torch.equal(encoder.network.bn1.weight, fresh.network.bn1.weight)  # type: ignore[arg-type,union-attr]


def test_the_training_loss_of_mixed_images_is_that_of_both_labels(
    shared_store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cross-entropy with soft, smoothed and weighed targets, by its definition."""
    settings = settings_for(shared_store, *TRAINING_ALONE)
    training = in_training(shared_store, settings)
    weights = torch.tensor([0.5, 1.0, 2.0])
    training.weights = weights
    monkeypatch.setattr(training, "log", lambda *_, **__: None)
    batch = Mixed(
        torch.rand(4, 1, 32, 32), torch.tensor([0, 1, 2, 0]), torch.tensor([1, 1, 0, 2]), 0.3
    )
    training.eval()
    found = training.training_step(batch, 0)
    one_hot = torch.eye(3)
    targets = 0.3 * one_hot[batch.labels] + 0.7 * one_hot[batch.others]
    targets = 0.8 * targets + 0.2 / 3
    logits = training.head(training.encoder(batch.images))
    expected = -(weights * targets * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(found, expected)


def test_weights_of_classes_are_those_of_the_training_images(
    shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def spy(logits: Tensor, labels: Tensor, **named: Any) -> Tensor:
        seen.append(named.get("weights"))
        return classification_loss(logits, labels, **named)

    monkeypatch.setattr(steps, "classification_loss", spy)
    train(shared_store, tmp_path, "finetune.class_weights=effective", "finetune.epochs=1")
    own = shared_store.labels[labelled(shared_store)[::2]]
    expected = class_weights(own, 3, "effective")
    given = [weights for weights in seen if weights is not None]
    assert given
    assert all(torch.equal(weights, expected) for weights in given)
    assert len(seen) > len(given), "validation has none"


def test_rates_fall_with_the_distance_from_the_head(shared_store: ImageStore) -> None:
    settings = settings_for(shared_store, "finetune.layer_decay=0.5", "finetune.learning_rate=0.01")
    training = in_training(shared_store, settings)
    training._trainer = SimpleNamespace(  # type: ignore[assignment]
        max_epochs=2, estimated_stepping_batches=10, precision_plugin=None
    )
    chosen: Any = training.configure_optimizers()
    groups = chosen["optimizer"].param_groups
    rates = {id(p): group["initial_lr"] for group in groups for p in group["params"]}
    assert rates[id(training.head.weight)] == pytest.approx(0.1)
    last = training.encoder.network.layer4[-1].conv2.weight  # type: ignore[index,union-attr]
    assert rates[id(last)] == pytest.approx(0.005)
    assert len(rates) == len(list(training.parameters()))
