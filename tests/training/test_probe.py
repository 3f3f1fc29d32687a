"""Linear probe: the folded head, the choice of epoch, and a problem with a known answer."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from brainssl.settings import ProbeSettings
from brainssl.training.probe import Probe, fit_probe


def clusters(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three overlapping classes whose features have wildly different scales."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(3, size=n)
    centres = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0]])
    features = centres[labels] + generator.normal(size=(n, 3))
    features = features * np.array([1000.0, 0.01, 1.0]) + np.array([5.0, -3.0, 1e3])
    # A feature that never changes must not become a division by zero.
    constant = np.full((n, 1), 7.0)
    return np.hstack([features, constant]).astype(np.float32), labels.astype(np.int64)


def fit(settings: ProbeSettings, seed: int = 0) -> Probe:
    return fit_probe(*clusters(600, 1), *clusters(300, 2), classes=3, settings=settings, seed=seed)


def accuracy(probe: Probe, features: np.ndarray, labels: np.ndarray) -> float:
    with torch.no_grad():
        predicted = probe.head(torch.from_numpy(features)).argmax(dim=1).numpy()
    return float((predicted == labels).mean())


def test_probe_does_as_well_as_logistic_regression() -> None:
    x, y = clusters(600, 1)
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    reference = LogisticRegression(C=100, max_iter=2000).fit((x - mean) / scale, y)
    test_x, test_y = clusters(3000, 3)
    expected = reference.score((test_x - mean) / scale, test_y)
    probe = fit(ProbeSettings(learning_rate=0.01))
    assert accuracy(probe, test_x, test_y) == pytest.approx(expected, abs=0.02)


def test_the_kept_head_has_the_lowest_validation_loss() -> None:
    probe = fit(ProbeSettings(epochs=60, learning_rate=0.5, patience=5))
    losses = [row["val_loss"] for row in probe.history]
    assert len(losses) < 60, "early stopping never came"
    assert len(losses) - 1 - int(np.argmin(losses)) == 5
    features, labels = clusters(300, 2)
    with torch.no_grad():
        logits = probe.head(torch.from_numpy(features).double().float())
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).item()
    assert loss == pytest.approx(min(losses), abs=1e-3)


def test_same_seed_same_head_other_seed_other_order() -> None:
    settings = ProbeSettings(epochs=3)
    assert torch.equal(fit(settings, 0).head.weight, fit(settings, 0).head.weight)
    assert not torch.equal(fit(settings, 0).head.weight, fit(settings, 1).head.weight)
