"""Where a study's classifiers look: on the same slices, made once, and told in its report."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from oracles.small_plan import FAST, small_plan
from PIL import Image

from brainssl.data.dataset import Data
from brainssl.explanation.folder import choose_slices
from brainssl.explanation.side_by_side import FOLDER, INDEX, read_explanations
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.progress import Terminal
from brainssl.settings.sections import EvaluationSettings
from brainssl.studies import explanations
from brainssl.studies.explanations import explain_models, request_of
from brainssl.studies.plan import Plan
from brainssl.studies.preparation import prepared
from brainssl.studies.publication import publish_again
from brainssl.studies.run import Study

SMALL = [*FAST, "split.val_fraction=0.2", "split.test_fraction=0.4"]
STEPS = [
    "linear-simclr-grouped-f1-s0",
    "finetune-simclr-grouped-f1-s0",
    "supervised-grouped-f1-s0",
]
DRAWS = EvaluationSettings(draws=50)


@pytest.fixture(scope="module")
def source(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with masks beside them, as the phantom has them."""
    home = tmp_path_factory.mktemp("source")
    shutil.copytree(shared_folder, home / "images")
    for path in (home / "images").rglob("*.png"):
        with Image.open(path) as image:
            pixels = np.zeros(image.size[::-1], np.uint8)
        pixels[: len(pixels) // 2] = 255
        mask = home / "masks" / path.relative_to(home / "images")
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(mask)
    return home


@pytest.fixture(scope="module")
def plan(source: Path) -> Plan:
    return small_plan(source, SMALL, explained=5)


@pytest.fixture(scope="module")
def finished(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "out"
    Study(plan, out, Terminal(quiet=True)).run()
    return out


@pytest.fixture(scope="module")
def told(finished: Path) -> dict[str, Any]:
    results = json.loads((finished / "results.json").read_text("utf-8"))
    found: dict[str, Any] = results["analysis"]["explanations"]
    return found


@pytest.fixture
def study(plan: Plan, finished: Path, tmp_path: Path) -> tuple[Path, Data]:
    """A copy that may be changed, and its images."""
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    with prepared(plan, out, Terminal(quiet=True)) as ground:
        return out, ground.data["grouped", None]


def test_every_classifier_is_explained_on_the_same_slices(
    finished: Path, told: dict[str, Any]
) -> None:
    assert [model["step"] for model in told["models"]] == [f"steps/{step}" for step in STEPS]
    assert (told["protocol"], told["label_fraction"], told["seed"]) == ("grouped", 1.0, 0)
    frames = [pd.read_parquet(finished / FOLDER / step / "measures.parquet") for step in STEPS]
    slices = [list(frame["image_id"].unique()) for frame in frames]
    assert len(slices[0]) == 5
    assert slices[0] == slices[1] == slices[2]
    assert all((finished / FOLDER / step / "explanations.html").is_file() for step in STEPS)


def test_masks_beside_the_images_are_picked_up(told: dict[str, Any]) -> None:
    for model in told["models"]:
        assert model["with_lesion"] == model["images"] == 5
        (energy,) = [
            score
            for score in model["scores"]
            if (score["map"], score["measure"]) == ("centre", "energy_inside")
        ]
        assert energy["mean"] == pytest.approx(0.5, abs=0.05)  # the upper half, to a row


def test_scores_and_differences_are_those_of_the_stored_measures(
    finished: Path, told: dict[str, Any]
) -> None:
    by_step = {
        step: pd.read_parquet(finished / FOLDER / step / "measures.parquet").set_index("map")
        for step in STEPS
    }
    for model, frame in zip(told["models"], by_step.values(), strict=True):
        for score in model["scores"]:
            assert score["mean"] == pytest.approx(frame[score["measure"]][score["map"]].mean())
    named = {model["step"].partition("/")[2]: model for model in told["models"]}
    pairs = {
        (pair["metric"], *(pair[side]["stage"] for side in ("first", "second")))
        for pair in told["comparisons"]
    }
    stages = ("linear", "finetune", "supervised")
    assert pairs == {
        (measure, *both)
        for measure in ("energy_inside", "insertion_blurred")
        for both in combinations(stages, 2)
    }
    for pair in told["comparisons"]:
        if pair["metric"] != "energy_inside":
            continue
        means = [
            by_step[step][pair["metric"]]["gradcam"].mean()
            for side in ("first", "second")
            for step, model in named.items()
            if {"method": model["method"], "stage": model["stage"]} == pair[side]
        ]
        assert pair["difference"] == pytest.approx(means[0] - means[1])


def test_the_report_shows_them_and_is_rebuilt_without_a_network(
    study: tuple[Path, Data], told: dict[str, Any]
) -> None:
    out, _ = study
    page = (out / "report.html").read_text("utf-8")
    for model in told["models"]:
        for score in model["scores"]:
            if (score["map"], score["measure"]) == ("gradcam", "insertion_blurred"):
                assert f"{score['mean']:.3f}" in page
    for step in STEPS:
        (out / "steps" / step / "classifier.safetensors").unlink()
    publish_again(out, Terminal(quiet=True))
    again = json.loads((out / "results.json").read_text("utf-8"))["analysis"]["explanations"]
    assert again == told


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps that are explained from now on."""
    steps: list[str] = []
    explain = explanations.explain_classifier

    def counted(*args: Any, **named: Any) -> Any:
        steps.append(args[2].name)
        return explain(*args, **named)

    monkeypatch.setattr(explanations, "explain_classifier", counted)
    return steps


def again(plan: Plan, study: tuple[Path, Data]) -> dict[str, Any]:
    out, data = study
    request = request_of(plan, data, lambda line: None)
    assert request
    return explain_models(plan, out, data, request)


def test_they_are_made_again_only_if_a_classifier_or_the_lesions_changed(
    plan: Plan, study: tuple[Path, Data], ran: list[str], tmp_path: Path
) -> None:
    out, _ = study
    again(plan, study)
    assert ran == []
    (out / "steps" / STEPS[0] / "digests.json").write_text("{}")
    again(plan, study)
    assert ran == STEPS[:1]
    (out / FOLDER / STEPS[1] / "measures.parquet").write_bytes(b"damaged")
    shutil.rmtree(out / FOLDER / STEPS[2] / "overlays")
    again(plan, study)
    assert ran == STEPS
    masks = Path(shutil.copytree(plan.source / "masks", tmp_path / "masks"))
    for path in masks.rglob("*.png"):
        with Image.open(path) as image:
            turned = 255 - np.asarray(image)
        Image.fromarray(turned).save(path)
    again(replace(plan, lesions=masks), study)
    assert ran == [*STEPS, *STEPS]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BrainsslError("no feature map"), "no feature map"),
        (RuntimeError("out of memory\nsomewhere"), "RuntimeError: out of memory"),
    ],
)
def test_a_model_that_cannot_be_explained_costs_the_others_nothing(
    plan: Plan,
    study: tuple[Path, Data],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    reason: str,
) -> None:
    out, _ = study
    explain = explanations.explain_classifier

    def refuse(*args: Any, **named: Any) -> Any:
        if args[2].name == STEPS[1]:
            raise error
        return explain(*args, **named)

    monkeypatch.setattr(explanations, "explain_classifier", refuse)
    shutil.rmtree(out / FOLDER / STEPS[1])
    index = again(plan, study)
    assert [entry["step"] for entry in index["steps"]] == [STEPS[0], STEPS[2]]
    tuned = {"step": STEPS[1], "method": "simclr", "stage": "finetune"}
    assert index["left_out"] == [tuned | {"reason": reason}]
    publish_again(out, Terminal(quiet=True))
    said = f"SimCLR, fine-tuned is not explained: {reason}."
    assert said in (out / "report.html").read_text("utf-8")


def test_explanations_of_other_slices_are_not_told_beside_each_other(
    study: tuple[Path, Data],
) -> None:
    """As a kill leaves it in the middle of explaining more slices."""
    out, _ = study
    file = out / FOLDER / STEPS[0] / "explanations.json"
    facts = json.loads(file.read_text("utf-8"))
    facts["made_from"]["slices"] = "others"
    file.write_text(json.dumps(facts))
    shutil.rmtree(out / FOLDER / STEPS[1])
    found = read_explanations(out, DRAWS)
    assert [model["stage"] for model in found["models"]] == ["supervised"]
    assert [entry["step"] for entry in found["left_out"]] == STEPS[:2]
    assert "run the study again" in found["left_out"][0]["reason"]


def test_a_second_process_waits_and_finds_all_done(
    plan: Plan, study: tuple[Path, Data], ran: list[str]
) -> None:
    out, data = study
    request = request_of(plan, data, lambda line: None)
    assert request
    shutil.rmtree(out / FOLDER)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(explain_models, plan, out, data, request) for _ in range(2)]
        first, second = (one.result() for one in both)
    assert first == second
    assert first["left_out"] == []
    assert sorted(ran) == sorted(STEPS)


def test_lesions_that_cannot_be_read_are_told_before_any_training(
    plan: Plan, tmp_path: Path
) -> None:
    with pytest.raises(BrainsslError, match="nowhere: does not exist"):
        Study(
            replace(plan, lesions=tmp_path / "nowhere"), tmp_path / "out", Terminal(quiet=True)
        ).run()
    assert not (tmp_path / "out" / "steps").exists()


def test_masks_of_other_names_beside_the_images_do_not_stop_a_study(
    plan: Plan, study: tuple[Path, Data], tmp_path: Path
) -> None:
    _, data = study
    source = Path(shutil.copytree(plan.source, tmp_path / "source"))
    for path in list((source / "masks").rglob("*.png")):
        path.rename(path.with_stem(f"{path.stem}_mask"))
    said: list[str] = []
    request = request_of(replace(plan, source=source), data, said.append)
    assert request
    assert request.lesions is None
    assert said[0].startswith("warning: the masks beside the images are not used: ")


def test_augmented_copies_have_no_lesion_where_their_originals_have_it(
    plan: Plan, study: tuple[Path, Data]
) -> None:
    _, data = study
    request = request_of(plan, data, lambda line: None)
    assert request
    rows, cases = choose_slices(data, request)
    manifest = data.store.manifest.copy()
    manifest.loc[rows[0], "flags"] = "augmented copy"
    changed = Data(replace(data.store, manifest=manifest), data.split)
    _, again = choose_slices(changed, request)
    assert cases.lesions[0] is not None
    assert again.lesions[0] is None
    assert all(lesion is not None for lesion in again.lesions[1:])


def test_without_slices_to_explain_there_is_no_section(
    plan: Plan, study: tuple[Path, Data]
) -> None:
    out, _ = study
    Study(replace(plan, explained=0), out, Terminal(quiet=True)).run()
    assert not (out / FOLDER / INDEX).exists()
    assert read_explanations(out, DRAWS) == {}
    assert "Where the models look" not in (out / "report.html").read_text("utf-8")


@pytest.mark.thorough
def test_a_study_of_transformers_ends_in_a_report_with_their_maps(
    source: Path, tmp_path: Path
) -> None:
    plan = small_plan(source, [*SMALL, "encoder.name=test_vit"], explained=3)
    report = Study(plan, tmp_path / "out", Terminal(quiet=True)).run()
    results = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))
    told = results["analysis"]["explanations"]
    assert not told["left_out"]
    for model in told["models"]:
        kinds = dict.fromkeys(score["map"] for score in model["scores"])
        assert list(kinds) == ["gradcam", "eigencam", "rollout", "random", "centre"]
    arms = {(row["method"], row["stage"]) for row in results["rows"]}
    assert arms >= {("untrained", "linear"), ("simclr", "linear"), ("supervised", "supervised")}
    page = report.read_text("utf-8")
    assert "Attention rollout shows which patches are attended to and knows no class" in page
