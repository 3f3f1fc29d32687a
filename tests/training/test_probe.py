"""Linear probe: the optimum, the folded head, the choice on validation."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from brainssl.foundation.errors import BrainsslError
from brainssl.settings.sections import ProbeSettings
from brainssl.training import probe as module
from brainssl.training.probe import ENOUGH, STRENGTHS, Labelled, Probe, fit_probe

ADAMW = ProbeSettings(solver="adamw", learning_rate=0.01)


def clusters(n: int, seed: int, dim: int = 3) -> Labelled:
    """Three overlapping classes whose features have wildly different scales."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(3, size=n)
    centres = np.zeros((3, dim))
    centres[1, 0] = centres[2, 1] = 2
    scales = np.resize([1000.0, 0.01, 1.0], dim)
    features = (centres[labels] + generator.normal(size=(n, dim))) * scales + scales
    # A feature that never changes must not become a division by zero.
    constant = np.full((n, 1), 7.0)
    return Labelled(np.hstack([features, constant]).astype(np.float32), labels.astype(np.int64))


def fit(settings: ProbeSettings, seed: int = 0) -> Probe:
    train, val = clusters(600, 1), clusters(300, 2)
    return fit_probe(train, val, classes=3, settings=settings, seed=seed)


def loss(probe: Probe, part: Labelled) -> float:
    with torch.no_grad():
        logits = probe.head(torch.from_numpy(part.features))
        return functional.cross_entropy(logits, torch.from_numpy(part.labels)).item()


@pytest.mark.parametrize("settings", [ProbeSettings(), ADAMW], ids=["lbfgs", "adamw"])
def test_probe_does_as_well_as_logistic_regression(settings: ProbeSettings) -> None:
    train, test = clusters(600, 1), clusters(3000, 3)
    mean, scale = train.features.mean(axis=0), np.maximum(train.features.std(axis=0), 1e-6)
    reference = LogisticRegression(C=100, max_iter=2000)
    reference.fit((train.features - mean) / scale, train.labels)
    expected = reference.score((test.features - mean) / scale, test.labels)
    probe = fit(settings)
    with torch.no_grad():
        predicted = probe.head(torch.from_numpy(test.features)).argmax(dim=1).numpy()
    assert (predicted == test.labels).mean() == pytest.approx(expected, abs=0.02)


def test_the_penalty_is_the_one_with_the_lowest_validation_loss() -> None:
    """Of all, though the search ends early. With as many features as an encoder has, it decides."""
    train, val = clusters(200, 1, 512), clusters(300, 2, 512)
    mean, scale = train.features.mean(axis=0), train.features.std(axis=0)
    scale[scale < 1e-6] = 1
    losses = {}
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength / 200, max_iter=1000)
        model.fit((train.features - mean) / scale, train.labels)
        probabilities = model.predict_proba((val.features - mean) / scale)
        losses[strength] = -np.log(probabilities[np.arange(300), val.labels]).mean()
    probe = fit_probe(train, val, classes=3, settings=ProbeSettings())
    assert loss(probe, val) == pytest.approx(min(losses.values()), abs=1e-3)
    assert max(losses.values()) > min(losses.values()) + 0.1, "the penalty did not matter"
    best = min(losses, key=lambda strength: losses[strength])
    assert probe.chosen.startswith(f"penalty 1/{best:g}, by the validation NLL ")


def test_a_penalty_at_the_edge_of_those_tried_is_told() -> None:
    generator = np.random.default_rng(0)
    noise = Labelled(
        generator.normal(size=(200, 50)).astype(np.float32), generator.integers(2, size=200)
    )
    other = Labelled(noise.features, 1 - noise.labels)
    probe = fit_probe(noise, other, classes=2, settings=ProbeSettings())
    assert probe.chosen.startswith("penalty 1/0.0001 (the strongest of all), by the")
    apart = Labelled(np.array([[-1.0], [1.0]] * 9, np.float32), np.array([0, 1] * 9))
    probe = fit_probe(apart, apart, classes=2, settings=ProbeSettings())
    assert probe.chosen.startswith("penalty 1/100000 (the weakest of all), by the")


def test_weak_penalties_are_not_tried_where_two_were_worse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    class Spy(LogisticRegression):
        def fit(self, *data: object) -> object:
            tried.append(self.C * 200)
            return super().fit(*data)

    monkeypatch.setattr(module, "LogisticRegression", Spy)
    probe = fit_probe(
        clusters(200, 1, 512), clusters(300, 2, 512), classes=3, settings=ProbeSettings()
    )
    best = float(probe.chosen.split(",")[0].removeprefix("penalty 1/"))
    place = STRENGTHS.index(best)
    assert tried == pytest.approx(STRENGTHS[: place + 1 + ENOUGH])
    assert len(tried) < len(STRENGTHS)


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
def test_features_that_are_not_standardised_go_to_the_layer_as_they_are(solver: str) -> None:
    """So that their scale counts: what is a thousandth as large is hardly seen."""
    part = clusters(300, 1)
    plain = Labelled(part.features[:, [2]] / 1000, part.labels)
    own = {"solver": solver, "epochs": 3}
    sizes = {}
    for standardise in (True, False):
        settings = ProbeSettings(**own, standardise=standardise)
        head = fit_probe(plain, plain, classes=3, settings=settings).head
        sizes[standardise] = head.weight.abs().max().item()
    assert sizes[True] > 2 * sizes[False]
    # Where deviations are 1 and means 0 it is the same.
    unit = Labelled(np.array([[-1.0], [1.0]] * 9, np.float32), np.array([0, 1] * 9))
    heads = [
        fit_probe(
            unit, unit, classes=2, settings=ProbeSettings(**own, standardise=standardise)
        ).head
        for standardise in (True, False)
    ]
    torch.testing.assert_close(heads[0].weight, heads[1].weight)


def test_the_head_that_is_kept_has_the_lowest_of_the_validation_losses() -> None:
    """Steps are so large that an epoch's own loss jumps."""
    settings = ProbeSettings(solver="adamw", epochs=60, learning_rate=0.5, patience=12)
    probe = fit(settings)
    losses = np.array([row["val_loss"] for row in probe.history])
    assert len(losses) < 60, "early stopping never came"
    best = int(losses.argmin()) + 1
    assert len(losses) - best == 12
    assert probe.chosen == (
        f"epoch {best}, by the validation loss {losses.min():.4f}, mean weights of 3 epochs"
    )
    assert loss(probe, clusters(300, 2)) == pytest.approx(losses.min(), abs=1e-5)


def test_any_epoch_may_be_kept() -> None:
    """Here the first: the validation labels are others, so that learning harms from then on."""
    part = clusters(300, 1)
    other = Labelled(part.features, (part.labels + 1) % 3)
    for smoothing in (1, 3):
        settings = ProbeSettings(solver="adamw", epochs=4, smoothing=smoothing)
        probe = fit_probe(part, other, classes=3, settings=settings)
        assert probe.chosen.startswith("epoch 1, ")


def test_two_classes_and_a_class_never_seen() -> None:
    """The head has a logit a class, also for one that no training image shows."""
    train = clusters(300, 1)
    two = Labelled(train.features[train.labels != 1], train.labels[train.labels != 1])
    probe = fit_probe(two, two, classes=3, settings=ProbeSettings())
    reference = LogisticRegression(C=1e4 / len(two.labels), max_iter=1000)
    standard = (two.features - two.features.mean(0)) / np.maximum(two.features.std(0), 1e-6)
    expected = reference.fit(standard, two.labels).predict(standard)
    with torch.no_grad():
        logits = probe.head(torch.from_numpy(two.features))
    assert not (logits.argmax(dim=1) == 1).any()
    assert (logits.argmax(dim=1).numpy() == expected).mean() > 0.97


def test_same_seed_same_head_other_seed_other_order() -> None:
    settings = ProbeSettings(solver="adamw", epochs=3)
    assert torch.equal(fit(settings, 0).head.weight, fit(settings, 0).head.weight)
    assert not torch.equal(fit(settings, 0).head.weight, fit(settings, 1).head.weight)


def test_features_that_are_not_finite_are_refused() -> None:
    bad = clusters(50, 1)
    bad.features[3, 0] = np.nan
    with pytest.raises(BrainsslError, match="not finite"):
        fit_probe(bad, bad, classes=3, settings=ProbeSettings())
