"""Which training images are remembered, and that they come back bit for bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder
from brainssl.models.reference import MOST, Reference, rows_held, rows_spread


def made() -> Classifier:
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    torch.manual_seed(0)
    return Classifier(encoder, nn.Linear(encoder.dim, 2), ("a", "b"), {"seed": 0}).eval()


def remembered(dim: int, n: int = 7) -> Reference:
    generator = np.random.default_rng(0)
    return Reference(
        tuple(f"{at:016x}" for at in range(n)),
        np.arange(n) % 2,
        np.arange(n) // 2,
        generator.normal(0, 1, (n, dim)).astype(np.float16),
        generator.random((2, dim)).astype(np.float32),
        generator.random((21, 20)).astype(np.float32),
    )


def test_limits_and_reference_come_back_bit_for_bit(tmp_path: Path) -> None:
    model, file = made(), tmp_path / "classifier.safetensors"
    model.learnt = np.arange(64, dtype=np.uint8).reshape(2, 32)
    model.reference = remembered(model.encoder.dim)
    model.limits = {"temperature": 1.7320508075688772, "lacks": ["é"]}
    model.save(file)
    again = Classifier.load(file)
    assert again.limits == model.limits
    assert again.reference is not None
    assert again.reference.image_ids == model.reference.image_ids
    for name, tensor in model.reference.tensors().items():
        held = again.reference.tensors()[name]
        assert held.dtype == tensor.dtype
        assert torch.equal(held, tensor)
    assert all(
        torch.equal(one, other)
        for one, other in zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    )
    again.save(tmp_path / "again.safetensors")
    twice = Classifier.load(tmp_path / "again.safetensors")
    assert twice.limits == model.limits
    np.testing.assert_array_equal(twice.learnt, model.learnt)


def test_logits_and_features_at_one_go_are_those_of_each_alone() -> None:
    model = made()
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)
    for views in (1, 4):
        model.facts["test_views"] = views
        logits, features = model.seen(images)
        np.testing.assert_array_equal(logits, model.logits(images))
        with torch.no_grad():
            alone = model.encoder(torch.from_numpy(images)[:, None] / 255)
        np.testing.assert_allclose(features, alone.numpy(), atol=1e-5)


@pytest.mark.parametrize("most", [1, 4, 9, 100])
def test_rows_are_of_all_classes_and_then_of_all_groups(most: int) -> None:
    labels = np.repeat([0, 1, 2], [60, 10, 3])
    groups = np.concatenate([np.repeat(np.arange(6), 10), np.repeat([6, 7], 5), [8, 8, 9]])
    rows = rows_spread(labels, groups, most)
    assert len(rows) == len(np.unique(rows)) == min(most, 73)
    assert (np.diff(rows) > 0).all()
    if most in (4, 9):
        counts = np.bincount(labels[rows], minlength=3)
        assert counts.max() - counts.min() <= 1
        assert len(np.unique(groups[rows][labels[rows] == 0])) == counts[0]


def test_it_stays_below_a_quarter_of_the_weights() -> None:
    model = made()
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    most = rows_held(model.state_dict(), model.encoder.dim)
    assert 0 < most <= MOST
    assert 2 * most * model.encoder.dim <= weights / 4
    assert rows_held({"w": torch.zeros(10_000_000)}, 512) == MOST
