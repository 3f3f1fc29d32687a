"""A study that an earlier layout of the code wrote still opens.

`tests/fixtures/earlier_study` was written when most files still lay in one folder: SimCLR on 48
images of 32 px, with the network of `oracles.tiny_resnet`. Its pages were left out.
"""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import oracles.tiny_resnet  # noqa: F401 - the name must be known to timm
import pytest
from PIL import Image

import brainssl

HELD = Path(__file__).parent / "fixtures" / "earlier_study"
# Of the report that the code of then made of it.
SECTIONS = [
    "answer",
    "cautions",
    "run",
    "protocols",
    "pretraining",
    "efficiency",
    "results",
    "comparisons",
    "factors",
    "subgroups",
    "certainty",
    "models",
    "features",
    "explanations",
    "losses",
    "data",
    "views",
    "settings",
    "checklist",
    "published",
    "time",
]
BEST = "steps/finetune-simclr-grouped-f1-s0"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return Path(shutil.copytree(HELD, tmp_path / "study"))


def test_it_is_reported_from_the_same_rows(study: Path) -> None:
    before = json.loads((study / "results.json").read_text("utf-8"))
    brainssl.report(study)
    after = json.loads((study / "results.json").read_text("utf-8"))
    assert after["rows"] == before["rows"]
    page = (study / "report.html").read_text("utf-8")
    assert re.findall(r'<h2 id="([a-z]+)-title">', page) == SECTIONS


def test_it_is_compared(study: Path, tmp_path: Path) -> None:
    other = shutil.copytree(study, tmp_path / "other")
    models = brainssl.compare([study, other])["models"]
    assert len(models) == 5
    for model in models:
        _, second = model["scores"]
        assert second["paired"]
        assert second["difference"] == 0


def test_its_models_open(study: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    Image.fromarray(generator.integers(0, 255, (40, 40), np.uint8)).save(tmp_path / "slice.png")
    told = brainssl.predict(study / BEST, tmp_path / "slice.png")
    [image] = told["predictions"]
    assert sum(image["probabilities"].values()) == pytest.approx(1.0, abs=1e-4)
    assert told["patients"] == told["series"] == []
    told = brainssl.predict(study / BEST, tmp_path / "slice.png", patients="folders")
    [patient] = told["patients"]
    families = {name.rpartition(" ")[0] for name in image["probabilities"]}
    assert set(patient["probabilities"]) == families
    for family, share in patient["probabilities"].items():
        own = [p for name, p in image["probabilities"].items() if name.startswith(family)]
        assert share == pytest.approx(sum(own), abs=1e-4)
    assert "earlier version" in told["notes"][0]
    encoder = brainssl.load_encoder(study / "steps/pretrain-simclr-grouped-s0")
    assert encoder.facts["method"] == "simclr"
