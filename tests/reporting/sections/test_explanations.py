"""What the report says of where models look is what their measures say."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brainssl.reporting.blocks import Fold, Prose, Strips, flat
from brainssl.reporting.sections.explanations import content
from brainssl.reporting.study import Study, read_study
from brainssl.reporting.tables.table import Table


@pytest.fixture(scope="module")
def study(analysed_study: Path) -> Study:
    return read_study(analysed_study)


def paragraphs(study: Study) -> list[str]:
    blocks = content(study)
    return [text for block in blocks if isinstance(block, Prose) for text in block.paragraphs]


def changed(study: Study, **what: Any) -> Study:
    return replace(study, analysis={"explanations": study.analysis["explanations"] | what})


def test_who_beats_both_maps_that_know_nothing_is_named(study: Study) -> None:
    models = study.analysis["explanations"]["models"]
    (told,) = [text for text in paragraphs(study) if text.startswith("Of 5 models")]
    better = []
    for model in models:
        (score,) = [
            s for s in model["scores"] if (s["map"], s["measure"]) == ("gradcam", "energy_inside")
        ]
        if all(gain["interval"][0] > 0 for gain in score["over"].values()):
            better.append((model["method"], model["stage"]))
    assert better == [("simclr", "finetune"), ("byol", "finetune")]
    assert told.endswith(": SimCLR, fine-tuned and BYOL, fine-tuned.")
    assert told.startswith("Of 5 models, 2 have more of their Grad-CAM on the lesion than both")


def test_pairs_that_differ_are_said_with_their_sign(study: Study) -> None:
    pair = {
        "first": {"method": "simclr", "stage": "finetune"},
        "second": {"method": "supervised", "stage": "supervised"},
        "metric": "energy_inside",
        "difference": 0.24,
        "interval": [0.12, 0.38],
        "p_value": 0.001,
        "p_holm": 0.004,
    }
    chance = pair | {"difference": 0.01, "interval": [-0.1, 0.1], "p_holm": 0.9}
    said = paragraphs(changed(study, comparisons=[pair, chance]))
    assert (
        "Compared in pairs on the same slices, 1 of 2 pairs of models differs in Grad-CAM’s energy "
        "inside after correction (Holm, p < 0.05)." in said
    )
    assert (
        "SimCLR, fine-tuned: 24.0 points more than the supervised baseline, 95 % interval "
        "12.0–38.0." in said
    )
    turned = pair | {"difference": -0.24, "interval": [-0.38, -0.12]}
    assert (
        "Supervised baseline: 24.0 points more than SimCLR, fine-tuned, 95 % interval 12.0–38.0."
        in paragraphs(changed(study, comparisons=[turned]))
    )
    untested = pair | {"interval": None, "p_value": None, "p_holm": None}
    assert not any(
        "in pairs" in text for text in paragraphs(changed(study, comparisons=[untested]))
    )


def test_the_table_holds_every_model_and_the_blind_maps_once(study: Study) -> None:
    found = study.analysis["explanations"]
    (table,) = [b for b in content(study) if isinstance(b, Table)]
    titles = [line.headers[0] for line in table.lines]
    assert titles[:5] == [
        "SimCLR, linear probe",
        "SimCLR, fine-tuned",
        "BYOL, linear probe",
        "BYOL, fine-tuned",
        "Supervised baseline",
    ]
    assert [line.headers[1] for line in table.lines[5:]] == ["Random map", "Blob in the centre"]
    column = table.columns.index("Energy inside, %")
    for line, model in zip(table.lines, found["models"], strict=False):
        (score,) = [
            s for s in model["scores"] if (s["map"], s["measure"]) == ("gradcam", "energy_inside")
        ]
        assert line.cells[column].text == f"{100 * score['mean']:.1f}"
    assert all(line.cells[table.columns.index("Insertion")].text == "–" for line in table.lines[5:])
    (complete,) = [
        b.blocks[0]
        for b in content(study)
        if isinstance(b, Fold) and isinstance(b.blocks[0], Table)
    ]
    assert len(complete.lines) == 5 * 5


def test_two_slices_show_the_maps_of_every_model(study: Study) -> None:
    strips = [b for b in flat(content(study)) if isinstance(b, Strips)]
    assert [len(block.pictures) for block in strips] == [1, 5, 5]
    best, least = (block.caption for block in strips[1:])
    assert best.startswith("The slice to whose class, ")
    assert "the highest probability" in best
    assert "the lowest probability" in least
    (first, *_) = (picture.caption for picture in strips[1].pictures)
    assert first.startswith("SimCLR, linear probe: named ")
    assert "Grad-CAM peak 2, Grad-CAM++ peak 2, Eigen-CAM no positive evidence." in first


def test_without_known_lesions_the_pixels_decide(study: Study) -> None:
    located = ("pointing", "energy_inside", "iou_best", "iou_half")
    models = [
        model | {"scores": [s for s in model["scores"] if s["measure"] not in located]}
        for model in study.analysis["explanations"]["models"]
    ]
    said = " ".join(paragraphs(changed(study, models=models)))
    assert "No lesion is known in these slices. Of 5 models" in said
    assert "on the lesion" not in said


def test_maps_with_few_places_and_unmoved_ones_are_told(study: Study) -> None:
    assert any("have 3 × 3 places only" in text for text in paragraphs(study))
    models = json.loads(json.dumps(study.analysis["explanations"]["models"]))
    for model in models:
        model["grid"] = [7, 7]
        for score in model["scores"]:
            if score["measure"] == "randomised":
                score["mean"] = 0.9 if score["map"] == "eigencam" else 0.1
    said = " ".join(paragraphs(changed(study, models=models)))
    assert "places only" not in said
    assert (
        "Eigen-CAM stays alike when all weights are random: rank correlation 0.900 in the mean "
        "over the models (0.900 to 0.900)." in said
    )
    assert "Grad-CAM stays alike" not in said


def test_empty_maps_are_told(study: Study) -> None:
    said = " ".join(paragraphs(study))
    assert "Grad-CAM is empty, without positive evidence, in 12.5 to 12.5 % of a model’s" in said
    models = [
        model | {"empty": dict.fromkeys(model["empty"], 0.0)}
        for model in study.analysis["explanations"]["models"]
    ]
    assert "is empty" not in " ".join(paragraphs(changed(study, models=models)))


def test_files_that_lack_cost_the_pictures_alone(study: Study, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(study.folder, tmp_path / "out"))
    shutil.rmtree(folder / "explanations")
    section = content(replace(study, folder=folder))
    assert not any(isinstance(block, Strips) for block in section)
    assert any(isinstance(block, Table) for block in section)


def test_a_study_without_explanations_has_no_section(study: Study) -> None:
    assert content(replace(study, analysis={})) == ()
