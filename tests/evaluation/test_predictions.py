import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from brainssl.evaluation.predictions import Predictions
from brainssl.foundation import storage
from brainssl.foundation.errors import BrainsslError

CLASSES = ("Glioma T1C+", "Outros Tipos de Lesões (Abscessos, …) T2", "normal\nT1")


def random_predictions(n=12, seed=0, classes=CLASSES):
    rng = np.random.default_rng(seed)
    return Predictions.build(
        image_ids=[f"pasta/imagem ç {i}.png" for i in range(n)],
        groups=rng.integers(-3, 2**40, size=n),
        splits=rng.choice(["train", "val", "test"], size=n).tolist(),
        labels=rng.integers(len(classes), size=n),
        logits=10 * rng.normal(size=(n, len(classes))),
        classes=classes,
    )


def test_build_puts_the_pieces_where_they_belong():
    logits = np.array([[1.5, -2.0], [0.0, 3.0]])
    got = Predictions.build(
        ["x", "y"], np.array([9, 8]), ["val", "test"], np.array([1, 0]), logits, ["a", "b"]
    )
    expected = pd.DataFrame(
        {
            "image_id": ["x", "y"],
            "group": [9, 8],
            "split": ["val", "test"],
            "label": ["b", "a"],
            "logit:a": np.array([1.5, 0.0], np.float32),
            "logit:b": np.array([-2.0, 3.0], np.float32),
        }
    )
    pd.testing.assert_frame_equal(got.frame, expected)
    assert got.classes == ("a", "b")
    assert len(got) == 2
    np.testing.assert_array_equal(got.labels, [1, 0])
    np.testing.assert_array_equal(got.groups, [9, 8])
    np.testing.assert_array_equal(got.logits, logits.astype(np.float32))
    np.testing.assert_array_equal(got.predicted, [0, 1])
    assert (got.labels.dtype, got.groups.dtype, got.predicted.dtype) == (np.int64,) * 3
    assert got.logits.dtype == np.float32


def test_equal_logits_go_to_the_first_class():
    got = Predictions.build(
        ["x"], np.array([0]), ["test"], np.array([1]), np.array([[0, 2, 2]]), ["a", "b", "c"]
    )
    assert got.predicted[0] == 1


def test_splits_take_the_predictions_apart():
    whole = random_predictions(n=30)
    parts = [whole.of(split) for split in ("train", "val", "test")]
    assert sum(map(len, parts)) == 30
    for split, part in zip(("train", "val", "test"), parts, strict=True):
        rows = np.flatnonzero(whole.frame["split"] == split)
        assert len(rows) > 0
        np.testing.assert_array_equal(part.logits, whole.logits[rows])
        np.testing.assert_array_equal(part.labels, whole.labels[rows])
    with pytest.raises(BrainsslError, match="no split 'dev'"):
        whole.of("dev")


def test_a_split_without_images_is_empty_and_keeps_its_shape(tmp_path):
    whole = random_predictions(n=30)
    none = whole.of("val").of("test")
    assert len(none) == 0
    assert none.logits.shape == none.probabilities().shape == (0, 3)
    none.save(tmp_path / "none.parquet")
    pd.testing.assert_frame_equal(Predictions.load(tmp_path / "none.parquet").frame, none.frame)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_probabilities_are_the_softmax_in_double_precision(temperature):
    predictions = random_predictions()
    got = predictions.probabilities(temperature)
    assert got.dtype == np.float64
    np.testing.assert_allclose(
        got, softmax(predictions.logits.astype(np.float64) / temperature, axis=1), rtol=1e-12
    )


@pytest.mark.parametrize("temperature", [1e-300, 1.0, 1e300])
def test_probabilities_of_extreme_logits_are_probabilities(temperature):
    logits = np.array([[3e38, -3e38, 0.0], [-1e4, -1e4, -1e4], [1e-30, 0.0, 88.0]])
    got = Predictions.build(
        ["x", "y", "z"], np.arange(3), ["test"] * 3, np.arange(3), logits, CLASSES
    ).probabilities(temperature)
    np.testing.assert_allclose(got.sum(axis=1), 1)
    np.testing.assert_allclose(got[1], 1 / 3)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf])
def test_a_temperature_that_makes_no_sense_is_refused(temperature):
    with pytest.raises(BrainsslError, match="temperature"):
        random_predictions().probabilities(temperature)


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 30),
    classes=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        min_size=1,
        max_size=5,
        unique=True,
    ),
)
def test_a_file_gives_back_what_was_saved(tmp_path_factory, seed, n, classes):
    predictions = random_predictions(n, seed, tuple(classes))
    path = tmp_path_factory.mktemp("saved") / "predictions.parquet"
    predictions.save(path)
    loaded = Predictions.load(path)
    pd.testing.assert_frame_equal(loaded.frame, predictions.frame, check_exact=True)
    assert loaded.classes == predictions.classes


def test_folder_names_are_not_taken_for_columns(tmp_path):
    path = tmp_path / "protocol=grouped" / "seed=1" / "predictions.parquet"
    random_predictions().save(path)
    assert list(Predictions.load(path).frame)[:4] == ["image_id", "group", "split", "label"]


def test_saving_leaves_nothing_beside_and_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "predictions.parquet"
    first = random_predictions(seed=1)
    first.save(path)

    def fail(file):
        raise OSError("no space left")

    monkeypatch.setattr(storage, "_flush", fail)
    with pytest.raises(OSError, match="no space left"):
        random_predictions(seed=2).save(path)
    assert list(tmp_path.iterdir()) == [path]
    pd.testing.assert_frame_equal(Predictions.load(path).frame, first.frame)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BrainsslError, match=r"absent\.parquet is missing"):
        Predictions.load(tmp_path / "absent.parquet")


def test_damage_anywhere_is_found(tmp_path):
    path = tmp_path / "predictions.parquet"
    predictions = random_predictions()
    predictions.save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = harmless = 0
    for length in rng.integers(len(whole), size=20):
        path.write_bytes(whole[:length])
        with pytest.raises(BrainsslError, match=r"predictions\.parquet"):
            Predictions.load(path)
    for place in rng.integers(len(whole), size=100):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            loaded = Predictions.load(path)
        except BrainsslError as error:
            refused += re.fullmatch(r".*predictions\.parquet.*", str(error)) is not None
        else:
            # What is not refused is no part of the answer: statistics and the like.
            pd.testing.assert_frame_equal(loaded.frame, predictions.frame)
            harmless += 1
    assert refused + harmless == 100
    assert refused > 30


def test_foreign_and_newer_files_are_refused(tmp_path):
    path = tmp_path / "other.parquet"
    path.write_bytes(b"PNG, perhaps")
    with pytest.raises(BrainsslError, match=r"other\.parquet is damaged"):
        Predictions.load(path)
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(BrainsslError, match="holds no predictions"):
        Predictions.load(path)
    table = pa.table({"a": [1]})
    described = {b"brainssl.predictions": b'{"version": 99, "classes": ["a"]}'}
    pq.write_table(table.replace_schema_metadata(described), path)
    with pytest.raises(BrainsslError, match=r"format 99.*update brainssl"):
        Predictions.load(path)
    described = {b"brainssl.predictions": b'{"version": 1, "classes": ["a"]}'}
    pq.write_table(table.replace_schema_metadata(described), path)
    with pytest.raises(BrainsslError, match=r"other\.parquet: predictions have the columns"):
        Predictions.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "meningioma"}, "label 'meningioma' of image .*0.png' is not among the classes"),
        ({"split": "dev"}, "split 'dev' of image .*0.png' is not one of train, val, test"),
        ({"image_id": "same", "split": "val"}, "image 'same' holds the image a second time"),
        ({"label": None}, "label .* must hold text in every row"),
        ({"image_id": 3}, "image_id .* must hold text in every row"),
        ({"group": "patient 1"}, "group .* not int64"),
        ({"logit:Glioma T1C+": np.float32("nan")}, "12 images have logits that are not finite"),
        ({"logit:Glioma T1C+": np.float32("inf")}, "12 images have logits that are not finite"),
        ({"logit:Glioma T1C+": 1.0}, "logit:Glioma T1C.* is float64, not float32"),
        ({"logit:other": np.float32(1)}, "have the columns"),
    ],
)
def test_a_frame_that_makes_no_sense_is_refused(change, message):
    frame = random_predictions().frame.assign(**change)
    with pytest.raises(BrainsslError, match=message):
        Predictions(frame, CLASSES)


def test_an_image_may_stand_in_two_splits():
    # Under the `paper` protocol copies of one image do.
    got = Predictions.build(
        ["x", "x"], np.zeros(2, np.int64), ["train", "test"], np.zeros(2, np.int64),
        np.zeros((2, 3)), CLASSES,
    )  # fmt: skip
    assert len(got) == 2


@pytest.mark.parametrize("classes", [(), ("a", "a")])
def test_classes_must_be_distinct(classes):
    with pytest.raises(BrainsslError, match="distinct names"):
        Predictions(random_predictions().frame, classes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": np.zeros(3, np.int64)}, "2 images and 3 classes came with 3 groups"),
        ({"splits": ["test"]}, "1 splits"),
        ({"labels": np.zeros(1, np.int64)}, "1 labels"),
        ({"logits": np.zeros((2, 2))}, r"shape \(2, 2\)"),
        ({"labels": np.array([0, 3])}, "from 0 to 3, but there are 3 classes"),
        ({"labels": np.array([-1, 0])}, "from -1 to 0"),
        ({"logits": np.full((2, 3), 1e300)}, "not finite"),
    ],
)
def test_pieces_that_do_not_fit_are_refused(change, message):
    pieces = {
        "image_ids": ["x", "y"],
        "groups": np.zeros(2, np.int64),
        "splits": ["test", "test"],
        "labels": np.zeros(2, np.int64),
        "logits": np.zeros((2, 3)),
        "classes": CLASSES,
    }
    with pytest.raises(BrainsslError, match=message):
        Predictions.build(**{**pieces, **change})
