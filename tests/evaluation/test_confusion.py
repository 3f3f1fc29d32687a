"""Scores of the confusion matrix are those of scikit-learn, and tables of groups add up."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from brainssl.evaluation.confusion import by_group, of_confusion


def test_groups_add_up_to_what_scikit_learn_says() -> None:
    generator = np.random.default_rng(0)
    labels, said = generator.integers(0, 4, (2, 200))
    group_of = np.repeat(np.arange(50), 4)
    table = by_group(labels, said, group_of, 4)
    weights = generator.integers(0, 3, 50).astype(np.float64)
    drawn = np.repeat(np.arange(200), weights[group_of].astype(int))
    found = of_confusion((weights @ table).reshape(1, 4, 4))[0]
    y, p = labels[drawn], said[drawn]
    expected = (
        accuracy_score(y, p),
        balanced_accuracy_score(y, p),
        f1_score(y, p, average="macro"),
    )
    assert found == pytest.approx(expected)
