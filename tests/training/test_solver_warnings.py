"""Nothing of scikit-learn reaches the terminal on few images; what matters is said in our words."""

import warnings

import numpy as np
import pytest

from brainssl.settings import load_settings
from brainssl.training.classical import FAMILIES
from brainssl.training.classical.families import fit_family
from brainssl.training.classical.features import describe
from brainssl.training.probe import Labelled, fit_probe
from brainssl.training.solver_warnings import solver_warnings_kept_back

DIM = describe(np.zeros((32, 32), np.uint8)).size


def few(n: int, classes: int, dim: int, scale: np.ndarray | float = 1.0) -> Labelled:
    features = np.random.default_rng(n).normal(size=(n, dim)) * scale
    return Labelled(features.astype(np.float32), np.arange(n, dtype=np.int64) % classes)


@pytest.mark.parametrize(("n", "classes"), [(4, 4), (5, 4), (24, 20)])
def test_few_images_of_many_classes_are_fitted_without_a_word(n: int, classes: int) -> None:
    """Of 24 images in 20 classes scikit-learn asks whether this is a regression."""
    probing, _ = load_settings("quick")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for family in FAMILIES:
            fit_family(family, few(n, classes, DIM), few(n, classes, DIM), classes=classes)
        fitted = fit_probe(
            few(n, classes, 8), few(n, classes, 8), classes=classes, settings=probing.probe
        )
    assert "not reached" not in fitted.chosen


def test_an_optimum_that_was_not_reached_is_said_with_the_choice() -> None:
    probing, _ = load_settings("quick", ["probe.standardise=false"])
    uneven = 1e4 * np.logspace(-4, 2, 20)
    part = few(60, 3, 20, uneven)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = fit_probe(part, few(61, 3, 20, uneven), classes=3, settings=probing.probe)
    assert "(its optimum was not reached in 1000 iterations)" in fitted.chosen


def test_other_warnings_come_through() -> None:
    with pytest.warns(UserWarning, match="features are constant"), solver_warnings_kept_back():
        warnings.warn("features are constant", UserWarning, stacklevel=1)
