"""The card that goes along: the study's for the classifier that it recommends, else a short one."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from torch import nn

from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder
from brainssl.reporting.documents.card_of_model import about_of, card_of
from brainssl.reporting.documents.model_card import write_model_card
from brainssl.reporting.findings.about import FILE
from brainssl.reporting.study import read_study

STEP = "steps/finetune-simclr-grouped-f1-s1"


@pytest.fixture(scope="module")
def model() -> Classifier:
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    facts = {"method": "simclr", "stage": "finetune", "seed": 3, "split_digest": "abc"}
    return Classifier(encoder, nn.Linear(encoder.dim, 2), ("a", "b"), facts)


@pytest.fixture
def study(make_study: Callable[..., Path]) -> Path:
    folder = make_study(classes=["a", "b"], protocols=["grouped"], extras=False)
    raw = json.loads((folder / "results.json").read_text("utf-8"))
    raw["study"]["best"] = {"classifier": f"{STEP}/classifier.safetensors", "step": STEP}
    (folder / "results.json").write_text(json.dumps(raw), "utf-8")
    (folder / FILE).write_text('authors = "A. Author"', "utf-8")
    (folder / STEP).mkdir(parents=True, exist_ok=True)
    return folder


def test_the_recommended_classifier_takes_the_studys_card_along(
    study: Path, model: Classifier
) -> None:
    expected = write_model_card(read_study(study)).read_text("utf-8")
    assert card_of(model, study / STEP) == expected
    assert card_of(model, study / STEP / "classifier.safetensors") == expected
    assert about_of(study / STEP).authors == "A. Author"


def test_scores_over_several_views_are_not_those_of_the_network_that_goes_along(
    study: Path, model: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hubs read the head, in which no caution stands: it has no scores then."""
    alone = card_of(model, study / STEP)
    assert ModelCard(alone).data.eval_results
    monkeypatch.setitem(model.facts, "test_views", 4)
    told = card_of(model, study / STEP)
    assert not ModelCard(told).data.eval_results
    assert told.index("averages 4 views") < told.index("## Results")
    assert told.split("## Results")[1] == alone.split("## Results")[1]
    assert "averages 4 views" in card_of(model, None)
    assert "views" not in card_of(model.encoder, None)


def test_another_model_of_the_study_does_not_take_scores_of_the_recommended_one(
    study: Path, model: Classifier
) -> None:
    other = study / "steps" / "supervised-grouped-f1-s0"
    other.mkdir(exist_ok=True)
    card = card_of(model, other)
    assert "no scores travel with it" in card
    assert "SimCLR" in card
    assert about_of(other).authors == "A. Author"


def test_a_model_outside_of_a_study_says_what_its_file_knows(
    tmp_path: Path, model: Classifier
) -> None:
    card = card_of(model, tmp_path / "tuned")
    assert ModelCard(card).data.pipeline_tag == "image-classification"
    assert "**Normalisation**: mean 0.449, deviation 0.226" in card
    assert "**Classes**: a, b" in card
    assert "**Digest of the split**: abc" in card
    assert about_of(tmp_path / "tuned").authors == ""
    assert "image-feature-extraction" in card_of(model.encoder, None)
