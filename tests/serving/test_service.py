"""The way from files to answers: the pixels and logits of `predict`, and its maps."""

import asyncio
import base64
import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from oracles.pictures import encoded, noise, picture
from oracles.services import Inside
from PIL import Image

from brainssl.data.read import NAMED, read_slice
from brainssl.data.store import letterbox
from brainssl.inference.predict import predict_files
from brainssl.inference.saliency import saliency_map
from brainssl.models.classifier import Classifier
from brainssl.serving.engine import Engine
from brainssl.serving.limits import Limits
from brainssl.serving.messages import Decoded
from brainssl.serving.volumes import Seen, Stack


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Pictures of several kinds and depths, one of them with another suffix than its kind's."""
    deep = np.linspace(0, 4000, 900).astype(np.uint16).reshape(30, 30)
    colours = np.stack([noise(one) for one in range(3)], 2)
    made = {
        "grey.png": picture(0),
        "photo.jpg": encoded(noise(1, 90, 64), "JPEG"),
        "deep.tif": encoded(deep, "TIFF"),
        "lies.jpg": picture(2, 17, 90),
        "colour.png": encoded(colours),
    }
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    return [tmp_path / name for name in made]


def test_a_file_alone_is_answered_as_by_predict_bit_for_bit(
    inside: Inside, tuned: Path, files: list[Path]
) -> None:
    loaded = Classifier.load(tuned)
    for file in files:
        [expected] = predict_files(tuned, [file])["predictions"]
        answer = inside.predict((file.name, file.read_bytes()))
        assert answer.status_code == 200
        [told] = answer.json()["predictions"]
        pixels = letterbox(read_slice(file, reader=loaded.reader).pixels, loaded.image_size)
        assert told.pop("logits") == loaded.logits(pixels[None])[0].tolist()
        assert told.pop("slice") is None
        assert told.pop("series") is None
        assert told.pop("patient") is None
        assert told.pop("upload") == 0
        assert told == {name: expected[name] for name in told} | {"file": file.name}


def test_files_together_are_answered_as_by_predict_bit_for_bit(
    inside: Inside, tuned: Path, files: list[Path], tmp_path: Path
) -> None:
    many = [tmp_path / f"{number}.png" for number in range(60)]
    for number, file in enumerate(many):
        file.write_bytes(picture(number))
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    sent = [*files[:2], bad, *many]
    expected = predict_files(tuned, sent)["predictions"]
    told = inside.predict(*((file.name, file.read_bytes()) for file in sent)).json()["predictions"]
    assert [one["file"] for one in told] == [file.name for file in sent]
    assert told[2] == {
        "file": "bad.png",
        "upload": 2,
        "error": f"is not an image in {NAMED}, nor a volume in DICOM or NIfTI",
    }
    for one, other in zip(told, expected, strict=True):
        assert one.get("probabilities") == other.get("probabilities")
        assert one.get("flags") == other.get("flags")


@pytest.mark.parametrize("kind", ["gradcam", "gradcam++", "eigencam", "layercam"])
def test_a_map_is_that_of_python(inside: Inside, tuned: Path, files: list[Path], kind: str) -> None:
    for label in (None, "Normal T1"):
        name = {"gradcam++": "gradcampp"}.get(kind, kind)
        made = saliency_map(tuned, files[1], kind=name, label=label)
        data = {"method": kind} | ({"label": label} if label else {})
        answer = inside.predict(("photo.jpg", files[1].read_bytes()), path="/explain", **data)
        [told] = answer.json()["explanations"]
        assert (told["label"], told["peak"], told["method"]) == (made.label, made.peak, name)
        assert told["probabilities"] == made.probabilities
        assert told["probability"] == made.probability
        raw = np.frombuffer(base64.b64decode(told["map"]), "<f4").reshape(32, 32)
        np.testing.assert_array_equal(raw, made.saliency)
        for field, expected in (("image", made.image), ("overlay", made.overlay())):
            shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(told[field]))))
            np.testing.assert_array_equal(shown, expected)


@pytest.mark.parametrize(
    ("field", "value"), [("method", "scorecam"), ("method", "rollout"), ("label", "Glioma")]
)
def test_a_map_that_cannot_be_is_refused(inside: Inside, field: str, value: str) -> None:
    answer = inside.predict(("a.png", picture(0)), path="/explain", **{field: value})
    assert answer.status_code == 422
    assert f"`{field}` is none of" in answer.json()["error"]
    assert value not in answer.json()["error"].partition(" of ")[2].split(", ")


def test_who_knows_no_cases_says_so(inside: Inside) -> None:
    answer = inside.predict(("a.png", picture(0)), path="/similar")
    assert answer.status_code == 501
    assert "knows no cases" in answer.json()["error"]


class Knowing(Engine):
    """A classifier that knows cases: those of its images that are the darkest."""

    @property
    def knows(self) -> dict[str, bool]:
        return super().knows | {"neighbours": True}

    def similar(self, images, count):  # type: ignore[no-untyped-def]
        shades = [float(one.mean()) / 255 for one in images]
        return [[(f"case {n}", "Glioma T1", shade) for n in range(count)] for shade in shades]


def test_who_knows_cases_names_them(engine: Engine) -> None:
    with Inside(Knowing(engine.classifier)) as service:
        sent = [("a.png", picture(0)), ("no.png", b"x"), ("b.png", picture(1))]
        told = service.predict(*sent, path="/similar", count="3").json()["similar"]
        assert [one["file"] for one in told] == ["a.png", "no.png", "b.png"]
        assert [len(told[at]["cases"]) for at in (0, 2)] == [3, 3]
        assert told[0]["cases"][0]["similarity"] != told[2]["cases"][0]["similarity"]
        for count in ("0", "51", "-1", "x", "3.5"):
            refused = service.predict(*sent, path="/similar", count=count)
            assert refused.status_code == 422


def test_what_does_not_fit_is_to_come_again(engine: Engine) -> None:
    with Inside(engine, Limits(requests=2)) as service:
        answers = []

        async def all_at_once() -> None:
            answers.extend(
                await asyncio.gather(
                    *(
                        service.client.post("/predict", files={"files": ("a.png", picture(one))})
                        for one in range(6)
                    )
                )
            )

        service.wait(all_at_once())
        statuses = sorted(one.status_code for one in answers)
        assert statuses == [200, 200, 429, 429, 429, 429]
        assert all(int(one.headers["retry-after"]) > 0 for one in answers if one.status_code == 429)
        assert service.predict(("a.png", picture(0))).status_code == 200
        assert service.ask("GET", "/health").json()["room"] == 2


def test_an_answer_that_takes_too_long_is_given_up(engine: Engine) -> None:
    class Slow(Engine):
        def seen(self, images):  # type: ignore[no-untyped-def]
            time.sleep(0.3)
            return super().seen(images)

    with Inside(Slow(engine.classifier), Limits(answer_seconds=0.1)) as service:
        answer = service.predict(("a.png", picture(0)))
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0


def test_a_file_of_which_something_was_seen_is_answered(engine: Engine) -> None:
    seen = Seen(np.full((32, 32), 90, np.uint8), 1, (), Stack("series 1", 1, ()))
    with Inside(engine) as service, pytest.MonkeyPatch.context() as patch:

        async def half(*_: object) -> Decoded:
            return Decoded([seen], [(0, 422, "shows no brain")])

        patch.setattr(service.service.decoders, "decode_series", half)
        answer = service.predict(("a", bytes(128) + b"DICM"))
    assert answer.status_code == 200, answer.text
    good, blank = answer.json()["predictions"]
    assert good["series"] == "series 1"
    assert blank == {"file": "a", "upload": 0, "error": "shows no brain"}


def test_the_classifier_is_asked_by_one_thread_alone(engine: Engine) -> None:
    threads = set()

    class Noting(Engine):
        def seen(self, images):  # type: ignore[no-untyped-def]
            threads.add(threading.get_ident())
            return super().seen(images)

        def answers(self, images, seen):  # type: ignore[no-untyped-def]
            threads.add(threading.get_ident())
            return super().answers(images, seen)

    with Inside(Noting(engine.classifier)) as service:
        for seed in range(3):
            assert service.predict(("a.png", picture(seed))).status_code == 200
    assert len(threads) == 1


def test_what_answers_is_told_without_folders(inside: Inside) -> None:
    told = inside.ask("GET", "/model").json()
    assert told["classes"] == ["Glioma T1", "Glioma T2", "Normal T1"]
    assert told["image_size"] == 32
    assert told["facts"]["start"] == "weights.safetensors"
    assert told["methods"] == ["gradcam", "gradcampp", "eigencam", "layercam"]
    assert set(told["knows"].values()) == {False}
    assert told["lacks"]
    assert told["measured"] is None
    assert "not a medical device" in told["notice"]


def test_each_answer_says_how_often_the_classifier_was_right_and_what_it_lacks(
    engine: Engine, inside: Inside
) -> None:
    figures = {"n": 40, "accuracy": 0.8, "interval": [0.6, 0.9]}
    pooled = {"n": 200, "accuracy": 0.7, "interval": None}
    more = {"step": "a", "f1_macro": 0.5}
    with pytest.MonkeyPatch.context() as patch:
        for folds in (None, pooled):
            facts = figures | more | ({"folds": pooled | more} if folds else {})
            patch.setitem(engine.classifier.facts, "measured", facts)
            for told in (inside.predict(("a.png", picture(0))), inside.ask("GET", "/model")):
                assert told.json()["measured"] == figures | {"folds": folds}
                assert told.json()["lacks"] == engine.lacks
