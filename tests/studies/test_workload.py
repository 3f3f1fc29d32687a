"""The workload: images of each set, and how many go through the network in a step, by hand."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from oracles.small_plan import FORESEEN, small_plan

from brainssl.data.shots import Shots
from brainssl.methods import METHODS
from brainssl.settings import Settings, load_settings
from brainssl.settings.sections import SplitSettings
from brainssl.studies.grid import Step
from brainssl.studies.workload import Images, Work, look_at, work
from brainssl.training.classical.stage import MOST_IMAGES


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings("quick", list(FORESEEN))[0]


def test_a_look_at_a_source_reads_no_families(image_folder: Path) -> None:
    (image_folder / "families.csv").write_text("label,family,sequence\nz,Glioma,\n")
    source = look_at(small_plan(image_folder, families=image_folder / "other.csv"))
    assert len(source.labels) == len(source.files) == 24
    assert set(source.labels) == {"Glioma T1", "Glioma T2", "Normal T1"}


def test_extra_images_are_counted_without_label(image_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(image_folder / "Glioma T1", tmp_path / "more")
    source = look_at(small_plan(image_folder, unlabelled=(tmp_path / "more",)))
    assert len(source.labels) == len(source.files) == 32
    assert source.labels.count(None) == 8


def test_images_are_divided_as_the_shares_say() -> None:
    labels = ["a"] * 60 + ["b"] * 40 + [None] * 7
    shares = SplitSettings(val_fraction=0.1, test_fraction=0.2)
    images = Images.of(labels, "grouped", shares)
    assert (images.train, images.val, images.test, images.unlabelled) == pytest.approx(
        (70, 10, 20, 7)
    )
    images = Images.of(labels, "paper", shares)  # both classes have 60 then
    assert (images.train, images.val, images.test, images.unlabelled) == pytest.approx(
        (84, 12, 24, 7)
    )


IMAGES = Images(train=100, val=30, test=60, unlabelled=12, classes=5)


def test_the_work_of_each_stage(settings: Settings) -> None:
    pretraining = work(Step("pretrain", "simclr", "grouped", 0), IMAGES, settings)
    # Epochs, images, views; the sentinel looks at two views and at the images of both sets, before
    # the first epoch and after each.
    assert pretraining == Work(10 * 112 * 2, 0, 11 * (2 * 112 + 112 + 30))
    probe = work(Step("linear", "simclr", "grouped", 0, 0.5), IMAGES, settings)
    assert probe == Work(0, 0, 202 + (50 + 30 + 60))  # features, then measuring
    for stage, method in (("finetune", "simclr"), ("supervised", "supervised")):
        tuned = work(Step(stage, method, "grouped", 0, 0.5), IMAGES, settings)  # type: ignore[arg-type]
        assert tuned == Work(0, 4 * 50, 4 * 30 + (50 + 30 + 60))
    for each, labelled in ((8, 40), (50, 100)):
        few = work(Step("linear", "simclr", "grouped", 0, Shots(each)), IMAGES, settings)
        assert few == Work(0, 0, 202 + (labelled + 30 + 60))


def test_a_baseline_of_equal_steps_works_longer(settings: Settings) -> None:
    own = settings.supervised.model_copy(update={"equal_steps": True})
    longer = settings.model_copy(update={"supervised": own})
    steps = 10 * (112 // settings.pretrain.batch_size)
    each = 50 // settings.finetune.batch_size
    epochs = 4 + math.ceil(steps / each)
    tuned = work(Step("supervised", "supervised", "grouped", 0, 0.5), IMAGES, longer)
    assert tuned == Work(0, epochs * 50, epochs * 30 + (50 + 30 + 60))
    method = work(Step("finetune", "simclr", "grouped", 0, 0.5), IMAGES, longer)
    assert method == Work(0, 4 * 50, 4 * 30 + (50 + 30 + 60))


def test_fixmatch_looks_at_weak_views_and_learns_strong_ones(settings: Settings) -> None:
    """Of twice as many images as bear labels, or of all, where there are not so many."""
    step = Step("supervised", "fixmatch", "grouped", 0, 0.5)
    plain = Work(0, 4 * 50, 4 * 30 + (50 + 30 + 60))
    assert work(step, IMAGES, settings) == replace(
        plain, finetuning=3 * plain.finetuning, forward=plain.forward + 4 * 2 * 50
    )
    own = settings.fixmatch.model_copy(update={"ratio": 100})
    most = work(step, IMAGES, settings.model_copy(update={"fixmatch": own}))
    batches = 50 / settings.finetune.batch_size
    assert most.finetuning == pytest.approx(4 * (50 + batches * 112))
    equal = settings.supervised.model_copy(update={"equal_steps": True})
    longer = settings.model_copy(update={"supervised": equal})
    alone = work(replace(step, method="supervised"), IMAGES, longer)
    assert work(step, IMAGES, longer).finetuning == 3 * alone.finetuning


def test_predicting_over_views_looks_as_often() -> None:
    one, three = (load_settings("quick", [f"finetune.test_views={n}"])[0] for n in (1, 3))
    supervised = Step("supervised", "supervised", "grouped", 0, 0.5)
    once = work(supervised, IMAGES, one)
    often = replace(once, forward=once.forward + 2 * (50 + 30 + 60))
    assert work(supervised, IMAGES, three) == often
    linear = Step("linear", "simclr", "grouped", 0, 0.5)
    assert work(linear, IMAGES, three) == work(linear, IMAGES, one)


def test_of_folds_each_tests_its_share() -> None:
    images = Images.of(["a"] * 50 + ["b"] * 50, "grouped", SplitSettings(val_fraction=0.1), 4)
    assert (images.train, images.val, images.test) == pytest.approx((65, 10, 25))


def test_classical_baselines_run_no_network(settings: Settings) -> None:
    few = work(Step("classical", "svm", "grouped", 0, 0.5), IMAGES, settings)
    all_labels = work(Step("classical", "svm", "grouped", 0, 1.0), IMAGES, settings)
    assert few == Work(0, 0, 0, few.other)
    assert all_labels.other == pytest.approx(2 * few.other)
    many = replace(IMAGES, train=1e6)
    most = work(Step("classical", "svm", "grouped", 0, 1.0), many, settings)
    assert most.other == pytest.approx(all_labels.other / 100 * MOST_IMAGES)


def test_a_method_costs_what_it_says(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Step("pretrain", "byol", "grouped", 0)
    seen = []

    def cost(chosen: object) -> float:
        seen.append(chosen)
        return 2.6

    monkeypatch.setattr(METHODS["byol"], "cost", cost)
    assert work(step, IMAGES, settings).pretraining == pytest.approx(10 * 112 * 2.6)
    assert seen == [settings.section("byol")]


def test_a_method_may_have_epochs_of_its_own() -> None:
    changed, _ = load_settings("quick", ["pretrain.epochs=10", "byol.pretrain.epochs=5"])
    epochs = [
        work(Step("pretrain", name, "grouped", 0), IMAGES, changed).pretraining
        / (112 * METHODS[name].cost(changed.section(name)))
        for name in ("simclr", "byol")
    ]
    assert epochs == pytest.approx([10, 5])


def test_few_labels_are_gone_through_more_often() -> None:
    changed, _ = load_settings(
        "quick", ["finetune.epochs=1", "finetune.min_epoch_steps=15", "finetune.batch_size=10"]
    )
    step = Step("supervised", "supervised", "grouped", 0, 0.5)
    assert work(step, IMAGES, changed) == Work(0, 3 * 50, 30 + 140)
