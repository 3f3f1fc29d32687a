"""Maps and their measures together: each number is that of its own function."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from brainssl.explanation import measure
from brainssl.explanation.activations import activations
from brainssl.explanation.cam import MAPS, at_image_size
from brainssl.explanation.localisation import localise
from brainssl.explanation.measure import STUDIED, Cases, Explained, How, explain
from brainssl.explanation.scorecard import MEASURES
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder

SIZE, N = 64, 5
FEW = How(steps=3)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(7)
    encoder = build_encoder("test_resnet", image_size=SIZE, seed=0)
    return Classifier(encoder, nn.Linear(encoder.dim, 3), ("a", "b", "c"), {}).eval()


@pytest.fixture(scope="module")
def cases() -> Cases:
    """The first three have a lesion, the fourth has none, of the last nothing is known."""
    images = np.random.default_rng(0).integers(0, 256, (N, SIZE, SIZE), dtype=np.uint8)
    lesion = np.zeros((SIZE, SIZE), bool)
    lesion[10:40, 20:50] = True
    lesions = (lesion, lesion, lesion, np.zeros_like(lesion), None)
    return Cases(images, tuple("abcde"), np.array([0, 0, 1, 2, 3]), lesions)


@pytest.fixture(scope="module")
def explained(classifier: Classifier, cases: Cases) -> Explained:
    return explain(classifier, cases, FEW)


def test_there_is_a_row_for_each_slice_and_map_with_every_measure(explained: Explained) -> None:
    frame = explained.measures
    assert list(dict.fromkeys(frame["map"])) == [*STUDIED, "random", "centre"]
    assert frame.groupby("map", sort=False)["image_id"].agg("".join).tolist() == ["abcde"] * 5
    assert set(MEASURES) <= set(frame.columns)
    blind = frame["map"].isin(["random", "centre"])
    assert frame.loc[blind, ["sensitivity", "randomised"]].isna().all(axis=None)


def test_maps_are_of_the_class_that_is_predicted(
    classifier: Classifier, cases: Cases, explained: Explained
) -> None:
    images = torch.from_numpy(cases.images)[:, None] / 255
    of = activations(classifier, images)
    np.testing.assert_allclose(explained.logits, of.logits, rtol=1e-5)
    assert explained.grid == tuple(of.features.shape[2:])
    for kind in STUDIED:
        expected = at_image_size(MAPS[kind](of), SIZE)
        np.testing.assert_allclose(explained.maps[kind], expected.maps[:, 0], atol=1e-5)
        np.testing.assert_allclose(explained.peaks[kind], expected.peaks[:, 0], rtol=1e-4)


def test_only_slices_with_a_lesion_are_located(cases: Cases, explained: Explained) -> None:
    frame = explained.measures.set_index(["map", "image_id"])
    masks = np.stack([lesion for lesion in cases.lesions[:3] if lesion is not None])
    for kind in STUDIED:
        own = frame.loc[kind]
        assert own.loc[["d", "e"], "pointing"].isna().all()
        for name, values in localise(explained.maps[kind][:3], masks).items():
            np.testing.assert_allclose(own.loc[["a", "b", "c"], name], values)


def test_the_cascade_ends_where_nothing_is_learnt(explained: Explained) -> None:
    ended = explained.cascade[explained.cascade["block"] == "conv1"]
    both = ended.merge(explained.measures, on=["map", "image_id"])
    assert len(both) == N * len(STUDIED)
    np.testing.assert_array_equal(both["likeness"], both["randomised"])


def test_in_parts_it_is_the_same(
    classifier: Classifier, cases: Cases, explained: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "_BATCH", 2)
    told: list[tuple[int, int]] = []
    parts = explain(classifier, cases, FEW, progress=lambda *n: told.append(n))
    assert told == [(2, 5), (4, 5), (5, 5)]
    keys = ["map", "image_id"]
    first, second = (e.measures.sort_values(keys, ignore_index=True) for e in (explained, parts))
    pd.testing.assert_frame_equal(first, second, rtol=1e-3, atol=1e-5)


def test_without_any_lesion_nothing_is_located(classifier: Classifier, cases: Cases) -> None:
    unknown = Cases(cases.images[:2], ("a", "b"), cases.groups[:2], (None, None))
    assert "pointing" not in explain(classifier, unknown, FEW).measures


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("test_vit", ("gradcam", "eigencam", "rollout")),
        ("test_vit3", ("gradcam", "eigencam")),  # pools by an attention that nothing shows
        ("test_resnet", STUDIED),
    ],
)
def test_maps_are_those_that_an_encoder_has(name: str, kinds: tuple[str, ...]) -> None:
    encoder = build_encoder(name, image_size=SIZE, seed=0)
    assert How().of(encoder).kinds == kinds
    assert How(("layercam",)).of(encoder).kinds == ("layercam",)


def test_a_transformer_is_measured_as_others_are(cases: Cases) -> None:
    torch.manual_seed(7)
    encoder = build_encoder("test_vit", image_size=SIZE, seed=0)
    model = Classifier(encoder, nn.Linear(encoder.dim, 3), ("a", "b", "c"), {}).eval()
    found = explain(model, cases, FEW)
    assert list(found.maps) == ["gradcam", "eigencam", "rollout"]
    assert found.grid == (4, 4)
    images = torch.from_numpy(cases.images)[:, None] / 255
    of = activations(model, images, attention=True)
    for kind, maps in found.maps.items():
        expected = at_image_size(MAPS[kind](of), SIZE)
        np.testing.assert_allclose(maps, expected.maps[:, 0], atol=1e-4)
        assert (found.peaks[kind] > 0).any()
    own = found.measures[found.measures["map"].isin(found.maps)]
    assert own["randomised"].between(0, 1).all()
    assert own["sensitivity"].notna().all()
    assert list(dict.fromkeys(found.cascade["block"]))[-1] == "patch_embed"
