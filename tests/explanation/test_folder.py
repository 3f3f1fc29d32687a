"""A classifier explained into a folder: all that it says is what was measured."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from brainssl.data.dataset import Data
from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.explanation.folder import Request, explain_classifier, make_explanation
from brainssl.explanation.measure import STUDIED, How
from brainssl.foundation.errors import BrainsslError
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder
from brainssl.reporting.documents.gallery import render_gallery

FEW = How(STUDIED, steps=2)


@pytest.fixture(scope="module")
def data(shared_store: ImageStore) -> Data:
    split = make_split(shared_store.manifest, val_fraction=0.2, test_fraction=0.3)
    return Data(shared_store, split)


@pytest.fixture(scope="module")
def classifier(data: Data) -> Classifier:
    torch.manual_seed(7)
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    facts = {"method": "simclr", "stage": "finetune", "label_fraction": 1.0, "seed": 0}
    head = nn.Linear(encoder.dim, len(data.store.classes))
    return Classifier(encoder, head, data.store.classes, facts | data.facts()).eval()


@pytest.fixture(scope="module")
def masks(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A square in the middle of every slice."""
    folder = tmp_path_factory.mktemp("masks")
    for path in data.store.manifest["path"]:
        pixels = np.zeros((32, 32), np.uint8)
        pixels[8:20, 8:20] = 255
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save((folder / path).with_suffix(".png"))
    return folder


@pytest.fixture(scope="module")
def explained(
    data: Data, classifier: Classifier, masks: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("explained") / "out"
    request = Request(images=8, lesions=masks, how=FEW, draws=50)
    explain_classifier(data, classifier, out, request, page=render_gallery)
    return out


@pytest.fixture(scope="module")
def told(explained: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((explained / "explanations.json").read_text("utf-8"))
    return found


def test_scores_are_the_means_of_the_measures(explained: Path, told: dict[str, Any]) -> None:
    frame = pd.read_parquet(explained / "measures.parquet")
    assert len(frame) == 8 * 5
    assert (told["images"], told["with_lesion"], told["maps"]) == (8, 8, list(FEW.kinds))
    assert told["scores"]
    for score in told["scores"]:
        own = frame.loc[frame["map"] == score["map"], score["measure"]]
        assert score["mean"] == pytest.approx(own.mean())


def test_maps_and_overlays_are_there_for_every_slice(explained: Path) -> None:
    with np.load(explained / "maps.npz", allow_pickle=False) as held:
        names = list(held["image_ids"])
        assert all(held[kind].shape == (8, 32, 32) for kind in FEW.kinds)
        assert all(0 <= held[kind].min() <= held[kind].max() <= 1 for kind in FEW.kinds)
    drawn = sorted(path.name for path in (explained / "overlays").iterdir())
    assert drawn == sorted(f"{name}-{kind}.png" for name in names for kind in FEW.kinds)


def test_the_page_shows_the_scores_and_needs_nothing_from_elsewhere(
    explained: Path, told: dict[str, Any]
) -> None:
    page = (explained / "explanations.html").read_text("utf-8")
    shown = [s for s in told["scores"] if s["measure"] == "insertion_blurred"]
    assert [s["map"] for s in shown] == [*FEW.kinds, "random", "centre"]
    assert all(f"{score['mean']:.3f}" in page for score in shown)
    assert "SimCLR, fine-tuned" in page
    assert "they cannot tell where in a slice" in page  # a single place
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "Plotly.newPlot" not in page
    assert len(page) < 3_000_000


def test_lesions_of_other_images_are_refused(
    data: Data, classifier: Classifier, tmp_path: Path
) -> None:
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "masks" / "other.png")
    request = Request(images=4, lesions=tmp_path / "masks", how=FEW)
    with pytest.raises(BrainsslError):
        explain_classifier(data, classifier, tmp_path / "out", request)
    assert not (tmp_path / "out").exists()


def test_a_classifier_of_another_split_is_refused(
    data: Data, classifier: Classifier, tmp_path: Path
) -> None:
    other = Classifier(
        classifier.encoder,
        classifier.head,
        classifier.classes,
        classifier.facts | {"split_digest": "other"},
    )
    with pytest.raises(BrainsslError, match="another store or split"):
        explain_classifier(data, other, tmp_path / "out", Request(images=4, how=FEW))


def test_similar_slices_are_sought_among_so_many_from_all_groups(
    data: Data, classifier: Classifier
) -> None:
    every = make_explanation(data, classifier, Request(images=3, how=FEW))
    few = make_explanation(data, classifier, Request(images=3, how=FEW, among=10))
    known = data.rows(1.0, 0)["train"]
    assert set(every.training) == set(known)
    assert len(few.training) == 10
    assert set(few.training) < set(known)
    groups = data.store.manifest["group"].to_numpy()
    assert len(set(groups[few.training])) == min(10, len(set(groups[known])))
