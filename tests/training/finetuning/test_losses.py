"""Losses and weights of classes, against the papers' formulas and other libraries."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from brainssl.training.finetuning.losses import BETA, class_weights, classification_loss

LABELS = torch.arange(40) % 5
WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 0.25, 1.25], dtype=torch.float64)


def logits() -> torch.Tensor:
    return torch.randn(40, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_focal_loss_is_the_papers_formula(gamma: float, weights: Any) -> None:
    p = logits().softmax(1)[torch.arange(40), LABELS]
    own = 1 if weights is None else weights[LABELS]
    expected = (-own * ((1 - p) ** gamma) * p.log()).mean()
    found = classification_loss(logits(), LABELS, gamma=gamma, weights=weights)
    torch.testing.assert_close(found, expected)


def test_the_focal_loss_has_a_gradient_where_an_image_is_surely_right() -> None:
    sure = torch.tensor([[100.0, 0.0]], requires_grad=True)
    for gamma in (0.0, 0.5, 2.0):
        loss = classification_loss(sure, torch.tensor([0]), gamma=gamma)
        (gradient,) = torch.autograd.grad(loss, sure)
        assert gradient.isfinite().all(), gamma


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_smoothed_labels_share_a_part_evenly(weights: Any) -> None:
    targets = 0.9 * functional.one_hot(LABELS, 5) + 0.1 / 5
    own = torch.ones(5) if weights is None else weights
    expected = -(targets * own * logits().log_softmax(1)).sum(1).mean()
    found = classification_loss(logits(), LABELS, weights=weights, smoothing=0.1)
    torch.testing.assert_close(found, expected)


COUNTS = (1, 7, 30, 0, 200)
IMAGES = np.repeat(np.arange(5), COUNTS)


def test_inverse_weights_are_scikit_learns_balanced_ones() -> None:
    found = class_weights(IMAGES, 5, "inverse")
    assert found is not None
    present = np.unique(IMAGES)
    expected = compute_class_weight("balanced", classes=present, y=IMAGES)
    np.testing.assert_allclose(found.numpy()[present], expected, rtol=1e-6)
    assert found[3] == 0


def test_effective_weights_go_by_what_images_add_to_each_other() -> None:
    """The effective number is that of the paper: E of n is 1 + β E of n − 1."""
    found = class_weights(IMAGES, 5, "effective")
    assert found is not None
    expected = []
    for count in COUNTS:
        effective = 0.0
        for _ in range(count):
            effective = 1 + BETA * effective
        expected.append(1 / effective if count else 0)
    ratio = found.numpy() / np.array(expected, np.float64).clip(1e-9)
    np.testing.assert_allclose(ratio[[0, 1, 2, 4]], ratio[0], rtol=1e-6)


@pytest.mark.parametrize("kind", ["inverse", "effective"])
def test_weights_are_1_in_the_mean_over_the_images(kind: Any) -> None:
    found = class_weights(IMAGES, 5, kind)
    assert found is not None
    assert found[IMAGES].mean() == pytest.approx(1, rel=1e-6)
    assert found[0] > found[1] > found[2] > found[4]
    even = class_weights(np.arange(12) % 3, 3, kind)
    torch.testing.assert_close(even, torch.ones(3))


def test_without_weights_there_are_none() -> None:
    assert class_weights(IMAGES, 5, None) is None
