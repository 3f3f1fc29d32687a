"""The linear classifier: probabilities of scikit-learn's, on file and off."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from brainssl.data.appearance.linear import COST, Linear


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_those_of_scikit_learn_and_survive_a_file(classes: int) -> None:
    generator = np.random.default_rng(classes)
    names = np.array(["c", "a", "b"])[np.arange(60) % classes]
    features = generator.normal(size=(60, 5)).astype(np.float32)
    features[:, 0] += 2 * (np.arange(60) % classes)
    features[:, 4] = 7  # tells nothing, and has no deviation
    model = Linear.learn(features, names, np.ones(60))
    standard = StandardScaler().fit_transform(features.astype(np.float64))
    expected = LogisticRegression(C=COST, max_iter=1000).fit(standard, names)
    assert model.classes == tuple(expected.classes_)
    found = model.probabilities(features)
    np.testing.assert_allclose(found, expected.predict_proba(standard), atol=1e-3)
    again = Linear.read(model.written()).probabilities(features)
    np.testing.assert_allclose(again, found, atol=1e-3)


def test_classes_weigh_alike_however_many_slices_they_have() -> None:
    features = np.zeros((100, 1), np.float32)
    names = np.array(["many"] * 95 + ["few"] * 5)
    found = Linear.learn(features, names, np.ones(100)).probabilities(features)
    np.testing.assert_allclose(found, 0.5, atol=1e-3)
