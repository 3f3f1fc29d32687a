"""Classifier: saved whole, the same alone as in a batch, never in training mode."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from brainssl.foundation.errors import BrainsslError
from brainssl.models.classifier import Classifier, load_model, run_in_batches
from brainssl.models.encoder import Encoder, build_encoder, save_encoder
from brainssl.models.tensor_files import write_tensors
from brainssl.models.tokens import Pool
from brainssl.views.fixed import fixed_view


@pytest.fixture
def classifier() -> Classifier:
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    torch.manual_seed(0)
    head = nn.Linear(encoder.dim, 3)
    return Classifier(encoder, head, ("Glioma T1", "Läsion T2", "Normal T1"), {"seed": 0}).eval()


def pictures(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 32, 32), dtype=np.uint8)


def test_saved_classifier_gives_the_same_bits(classifier: Classifier, tmp_path: Path) -> None:
    classifier.save(tmp_path / "classifier.safetensors")
    again = Classifier.load(tmp_path)
    assert again.classes == classifier.classes
    assert again.facts == classifier.facts
    np.testing.assert_array_equal(again.logits(pictures(5)), classifier.logits(pictures(5)))


def test_marks_of_the_training_images_go_along_or_are_left_out(
    classifier: Classifier, tmp_path: Path
) -> None:
    file = tmp_path / "classifier.safetensors"
    classifier.save(file)
    assert version_of(file) == "1"
    assert Classifier.load(file).learnt is None
    classifier.learnt = np.arange(96, dtype=np.uint8).reshape(3, 32)
    classifier.save(file)
    assert version_of(file) == "2"
    again = Classifier.load(file)
    np.testing.assert_array_equal(again.learnt, classifier.learnt)
    np.testing.assert_array_equal(again.logits(pictures(2)), classifier.logits(pictures(2)))
    again.learnt = None
    again.save(file)
    assert Classifier.load(file).learnt is None


def test_the_normalisation_is_kept_and_another_one_makes_a_newer_file(
    classifier: Classifier, tmp_path: Path
) -> None:
    file = tmp_path / "classifier.safetensors"
    classifier.encoder.mean, classifier.encoder.std = 0.5, 0.25
    classifier.save(file)
    assert version_of(file) == "4"
    again = Classifier.load(file)
    assert (again.encoder.mean, again.encoder.std) == (0.5, 0.25)
    assert again.learnt is None
    np.testing.assert_array_equal(again.logits(pictures(5)), classifier.logits(pictures(5)))


def test_files_of_before_have_the_constants(classifier: Classifier, tmp_path: Path) -> None:
    said = {"encoder": "test_resnet", "image_size": 32, "classes": ["a", "b", "c"], "facts": {}}
    file = tmp_path / "classifier.safetensors"
    write_tensors(file, classifier.state_dict(), "brainssl-classifier", 1, said)
    again = Classifier.load(file)
    assert (again.encoder.mean, again.encoder.std) == (0.449, 0.226)
    np.testing.assert_array_equal(again.logits(pictures(5)), classifier.logits(pictures(5)))


def version_of(file: Path) -> str:
    with safe_open(file, framework="pt") as opened:
        return str(opened.metadata()["version"])


@pytest.mark.parametrize("views", [2, 5, 10])
def test_a_prediction_is_the_mean_of_the_probabilities_of_its_views(
    classifier: Classifier, tmp_path: Path, views: int
) -> None:
    """It is done by whoever asks for logits, also of a classifier that was read from its file."""
    images = torch.from_numpy(pictures(4))[:, None] / 255
    with torch.no_grad():
        each = torch.stack([classifier(fixed_view(images, n)) for n in range(views)]).double()
    classifier.facts["test_views"] = views
    classifier.save(tmp_path / "classifier.safetensors")
    assert version_of(tmp_path / "classifier.safetensors") == "3"
    for one in (classifier, Classifier.load(tmp_path)):
        said = torch.from_numpy(one.logits(pictures(4))).double()
        torch.testing.assert_close(said.softmax(1), each.softmax(2).mean(0), atol=1e-6, rtol=0)
        torch.testing.assert_close(said.logsumexp(1), each.logsumexp(2).mean(0), atol=1e-4, rtol=0)
        with torch.no_grad():
            plain = one(images)
        torch.testing.assert_close(plain.double(), each[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("views", [0, 11])
def test_a_file_of_views_that_there_are_not_is_refused(
    classifier: Classifier, tmp_path: Path, views: int
) -> None:
    classifier.facts["test_views"] = views
    classifier.save(tmp_path / "classifier.safetensors")
    with pytest.raises(BrainsslError, match=rf"predicts over {views} views .*: upgrade brainssl"):
        Classifier.load(tmp_path)


def test_one_view_is_the_image_itself_bit_for_bit(classifier: Classifier) -> None:
    before = classifier.logits(pictures(3))
    np.testing.assert_array_equal(before, run_in_batches(classifier, pictures(3)))
    classifier.facts["test_views"] = 1
    np.testing.assert_array_equal(before, classifier.logits(pictures(3)))


@pytest.mark.parametrize(("facts", "reader"), [({}, 1), ({"reader": 2}, 2)])
def test_what_says_nothing_of_its_reader_is_of_the_first(
    classifier: Classifier, facts: dict[str, int], reader: int
) -> None:
    classifier.facts, classifier.encoder.facts = facts, facts
    assert classifier.reader == classifier.encoder.reader == reader


def test_a_batch_is_the_same_images_one_by_one(classifier: Classifier) -> None:
    images = pictures(6)
    alone = np.concatenate([classifier.logits(image[None]) for image in images])
    np.testing.assert_allclose(classifier.logits(images), alone, atol=1e-5)


def test_rows_choose_and_order(classifier: Classifier) -> None:
    images, rows = pictures(6), np.array([4, 1, 1], np.int64)
    expected = classifier.logits(images)[rows]
    np.testing.assert_allclose(classifier.logits(images, rows), expected, atol=1e-5)


def test_prediction_neither_trains_nor_changes_the_mode(classifier: Classifier) -> None:
    classifier.train()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    logits = classifier.logits(pictures(4))
    assert classifier.training
    assert all(torch.equal(before[k], v) for k, v in classifier.state_dict().items())
    np.testing.assert_array_equal(logits, classifier.eval().logits(pictures(4)))


def test_nothing_to_predict_is_said(classifier: Classifier) -> None:
    with pytest.raises(BrainsslError, match="no image"):
        run_in_batches(classifier, pictures(3), np.array([], np.int64))


def test_a_model_is_whichever_its_file_or_folder_holds(
    classifier: Classifier, tmp_path: Path
) -> None:
    for name in ("encoder", "classifier"):
        (tmp_path / name).mkdir()
    save_encoder(classifier.encoder, tmp_path / "encoder" / "encoder.safetensors")
    classifier.save(tmp_path / "classifier" / "classifier.safetensors")
    for name, kind in (("encoder", Encoder), ("classifier", Classifier)):
        for path in (tmp_path / name, tmp_path / name / f"{name}.safetensors"):
            model = load_model(path)
            assert isinstance(model, kind)
            assert not model.training
    with pytest.raises(BrainsslError, match="is missing: give an encoder or a classifier"):
        load_model(tmp_path / "nowhere")
    (tmp_path / "damaged").write_bytes(b"no tensors")
    with pytest.raises(BrainsslError, match="damaged"):
        load_model(tmp_path / "damaged")


def test_an_encoder_is_no_classifier(classifier: Classifier, tmp_path: Path) -> None:
    save_encoder(classifier.encoder, tmp_path / "encoder.safetensors")
    with pytest.raises(BrainsslError, match="is an encoder, which knows no classes"):
        Classifier.load(tmp_path / "encoder.safetensors")
    with pytest.raises(BrainsslError, match="missing"):
        Classifier.load(tmp_path / "nowhere")


@pytest.mark.parametrize(("pool", "version"), [("auto", "1"), ("avg", "4")])
def test_a_transformer_comes_back_with_its_size_and_pooling(
    tmp_path: Path, pool: Pool, version: str
) -> None:
    encoder = build_encoder("test_vit", image_size=48, pool=pool, seed=0)
    model = Classifier(encoder, nn.Linear(encoder.dim, 2), ("a", "b"), {}).eval()
    model.save(tmp_path / "classifier.safetensors")
    with safe_open(tmp_path / "classifier.safetensors", framework="pt") as file:
        assert file.metadata()["version"] == version
    again = Classifier.load(tmp_path)
    images = torch.rand(3, 1, 48, 48)
    assert torch.equal(again(images), model(images))
    assert again.encoder.pooling == pool
