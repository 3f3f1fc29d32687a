"""The classifiers: what they learn, what validation may choose, and what test cannot reach."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.svm import SVC

from brainssl.evaluation.metrics import evaluate
from brainssl.training.classical import FAMILIES, families
from brainssl.training.classical.families import (
    NEIGHBOURS,
    Fitted,
    Inputs,
    KernelSVM,
    fit_family,
)
from brainssl.training.classical.features import TEXTURES
from brainssl.training.probe import Labelled

DIM = TEXTURES + 40


def part(
    seed: int, n: int = 90, classes: int = 3, *, shift: float = 3.0, first: int = 0
) -> Labelled:
    """Classes whose texture differs and whose other features say nothing."""
    generator = np.random.default_rng(seed)
    labels = first + np.arange(n, dtype=np.int64) % classes
    features = generator.normal(size=(n, DIM)) * 5 + 100
    features[:, :4] += 5 * shift * np.eye(4)[labels]
    return Labelled(features.astype(np.float32), labels)


def accuracy(fitted: Fitted, own: Labelled) -> float:
    said = fitted.probabilities(own.features).argmax(axis=1)
    return float((said == own.labels).mean())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_difference_of_texture_is_learnt(family: str) -> None:
    fitted = fit_family(family, part(0), part(1), classes=3)
    assert accuracy(fitted, part(2, 300)) > 0.6
    found = fitted.probabilities(part(2).features)
    assert_allclose(found.sum(axis=1), 1)
    assert found.min() > 5e-5
    assert "on texture" in fitted.chosen


@pytest.mark.parametrize("family", FAMILIES)
def test_labels_that_mean_nothing_are_not_learnt(family: str) -> None:
    fitted = fit_family(family, part(0, shift=0), part(1, shift=0), classes=3)
    assert accuracy(fitted, part(2, 600, shift=0)) == pytest.approx(1 / 3, abs=0.09)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_comes_out_again(family: str) -> None:
    one, other = (fit_family(family, part(0), part(1), classes=3, seed=4) for _ in range(2))
    test = part(2).features
    assert np.array_equal(one.probabilities(test), other.probabilities(test))
    assert one.chosen == other.chosen


@pytest.mark.parametrize("family", FAMILIES)
def test_no_candidate_is_better_on_validation(family: str) -> None:
    """What is said to have chosen it is the macro F1 that it has there."""
    val = part(1)
    fitted = fit_family(family, part(0), val, classes=3)
    score = evaluate(val.labels, fitted.probabilities(val.features))["f1_macro"]
    assert fitted.chosen.endswith(f"by the validation macro F1 {score:.4f}")


@pytest.mark.parametrize("family", FAMILIES)
def test_units_of_the_features_do_not_matter(family: str) -> None:
    """Standardised by the training set: powers of two change no rounding."""
    units = (2.0 ** np.random.default_rng(5).integers(-3, 4, DIM)).astype(np.float32)
    train, val, test = part(0), part(1), part(2)
    plain = fit_family(family, train, val, classes=3).probabilities(test.features)
    scaled = fit_family(
        family,
        Labelled(train.features * units, train.labels),
        Labelled(val.features * units, val.labels),
        classes=3,
    )
    assert_allclose(scaled.probabilities(test.features * units), plain, rtol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("taught", [1, 2])
def test_a_class_without_training_images_is_all_but_never_said(family: str, taught: int) -> None:
    train = part(0, 40, taught, first=1)
    fitted = fit_family(family, train, part(1, 40, 4), classes=4)
    found = fitted.probabilities(part(2, 50, 4).features)
    absent = sorted({0, 1, 2, 3} - set(train.labels.tolist()))
    assert (found[:, absent] < 1.1e-4).all()
    assert set(found.argmax(axis=1)) <= set(train.labels.tolist())
    if taught == 2:
        assert accuracy(fitted, part(3, 200, 2, first=1)) > 0.7


@pytest.mark.parametrize("family", FAMILIES)
def test_one_image_of_each_class_is_enough(family: str) -> None:
    train = part(0, 3)
    fitted = fit_family(family, train, part(1, 30), classes=3)
    assert np.isfinite(fitted.probabilities(part(2).features)).all()
    assert accuracy(fitted, train) == 1 or family == "decision_tree"  # it may have but one leaf


@pytest.mark.parametrize("family", FAMILIES)
def test_a_class_of_a_single_image_warns_nobody(family: str) -> None:
    train = part(0)
    keep = (train.labels != 2) | (np.arange(len(train.labels)) == 2)
    lone = Labelled(train.features[keep], train.labels[keep])
    assert accuracy(fit_family(family, lone, part(1), classes=3), part(2)) > 0.4


def test_neighbours_are_no_more_than_the_smallest_class_has() -> None:
    train = part(0)
    for smallest in (1, 4, 9):
        place = np.flatnonzero(train.labels == 2)[smallest:]
        few = Labelled(np.delete(train.features, place, 0), np.delete(train.labels, place))
        fitted = fit_family("knn", few, part(1), classes=3)
        assert fitted.model.n_neighbors in [k for k in NEIGHBOURS if k <= smallest]


def test_a_feature_that_never_changes_says_nothing() -> None:
    features = part(0).features.copy()
    features[:, 7] = 3.0
    inputs = Inputs.of(slice(None), features)
    assert not inputs.standard(features)[:, 7].any()
    standard = np.delete(inputs.standard(features), 7, axis=1)
    assert_allclose(standard.mean(axis=0), 0, atol=1e-6)
    assert_allclose(standard.std(axis=0), 1, rtol=1e-6)


def test_lda_is_a_gaussian_for_each_class_with_one_covariance() -> None:
    """By its formula: −½ (x − μ)ᵀ Σ⁻¹ (x − μ) for equal priors, Σ shrunk class by class."""
    fitted = fit_family("lda", part(0), part(1), classes=3)
    assert isinstance(fitted.model, LinearDiscriminantAnalysis)
    alpha, train = fitted.model.shrinkage, part(0)
    x, test = (fitted.inputs.standard(own.features) for own in (train, part(2)))
    covariance = np.zeros((x.shape[1],) * 2)
    for label in range(3):
        own = x[train.labels == label]
        free = np.cov(own, rowvar=False, bias=True)
        covariance += (1 - alpha) * free / 3
        covariance += alpha * np.trace(free) / len(free) * np.eye(len(free)) / 3
    gaps = [test - x[train.labels == label].mean(axis=0) for label in range(3)]
    inverse = np.linalg.inv(covariance)
    logs = np.stack([-((gap @ inverse) * gap).sum(axis=1) / 2 for gap in gaps], axis=1)
    found = fitted.probabilities(part(2).features)
    assert_allclose(found, softmax(logs, axis=1), atol=3e-4)


@pytest.mark.parametrize("gamma", [None, 0.01])
@pytest.mark.parametrize("classes", [2, 4])
def test_a_kernel_by_hand_gives_the_margins_of_the_library(
    gamma: float | None, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(families, "_ROWS", 7)  # the last of the parts is shorter
    train, test = part(0, 40, classes), part(1, 25, classes).features
    inputs = Inputs.of(slice(None), train.features)
    x, z = inputs.standard(train.features), inputs.standard(test)
    ours = KernelSVM(3.0, gamma).fit(x, train.labels).decision_function(z)
    kernel = {"kernel": "linear"} if gamma is None else {"gamma": gamma}
    assert_allclose(ours, SVC(C=3.0, **kernel).fit(x, train.labels).decision_function(z), atol=2e-3)


def test_the_temperature_of_an_svm_is_the_likeliest_on_validation() -> None:
    val = part(1)
    fitted = fit_family("svm", part(0), val, classes=3)
    margins = fitted.model.decision_function(fitted.inputs.standard(val.features))

    def loss(log: float) -> float:
        found = softmax(margins / np.exp(log), axis=1)
        return -float(np.log(found[np.arange(len(found)), val.labels]).mean())

    best = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    assert np.log(fitted.temperature) == pytest.approx(best.x, abs=0.11)  # a step of the grid
