"""A service whose classifier sees a field of view: the pixels of predict, and maps in place."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from oracles.heads import head, save
from oracles.pictures import picture
from oracles.services import Inside
from PIL import Image

import brainssl
from brainssl.data.field_of_view import Field
from brainssl.data.letterbox import letterbox
from brainssl.models.classifier import Classifier
from brainssl.serving.engine import Engine

MM = 110.0


@pytest.fixture(scope="module")
def seeing(tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    classifier = Classifier.load(tuned)
    classifier.facts["field_of_view"] = MM
    file = tmp_path_factory.mktemp("seeing") / "classifier.safetensors"
    classifier.save(file)
    return file


@pytest.fixture(scope="module")
def service(seeing: Path) -> Iterator[Inside]:
    with Inside(Engine.load(seeing)) as inside:
        yield inside


def test_it_answers_as_predict_and_shows_where_the_field_lies(
    service: Inside, seeing: Path, tmp_path: Path
) -> None:
    values = head(3)
    file = save(tmp_path / "x.nii.gz", values)
    sent = ("x", file.read_bytes())
    told = service.predict(sent).json()["predictions"]
    expected = [row for row in brainssl.predict(seeing, file)["predictions"] if "error" not in row]
    assert [one["softmax"] for one in told] == [row["softmax"] for row in expected]
    model = service.ask("GET", "/model").json()
    assert model["field_of_view"] == MM
    assert any("to a square of 110 mm" in one for one in model["caveats"])

    [own] = service.predict(sent, path="/slices", slices="12").json()["slices"]
    [seen] = service.predict(sent, path="/explain", slices="12").json()["explanations"]
    square = np.asarray(Image.open(io.BytesIO(base64.b64decode(seen["image"]))))
    shape = own["height"], own["width"]
    assert shape == values.shape[1:]  # the page shows the whole slice
    levels = np.frombuffer(base64.b64decode(own["pixels"]), "<u2").reshape(shape)
    shown = (own["slope"] * levels + own["intercept"] - own["black"]) / (
        own["white"] - own["black"]
    )
    place, size = own["place"], own["size"]
    field = Field(
        -place["top"] * shape[0] / place["height"],
        -place["left"] * shape[1] / place["width"],
        size * shape[0] / place["height"],
        size * shape[1] / place["width"],
    )
    assert (field.height * 5, field.width * 5) == pytest.approx((MM, MM))
    mine = letterbox(shown.clip(0, 1).astype(np.float32), size, 8, field)
    assert np.abs(mine.astype(int) - square).max() <= 1


def test_pictures_are_refused_in_one_line(service: Inside) -> None:
    answer = service.predict(("x.png", picture(0)))
    assert answer.status_code == 422
    assert "is a picture, which says nothing of millimetres" in answer.text
