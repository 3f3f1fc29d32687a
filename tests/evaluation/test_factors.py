"""Family and sequence alone: probabilities add up, labels follow."""

import numpy as np
import pytest

from brainssl.evaluation.factors import by_factor, factors, family_and_sequence
from brainssl.evaluation.predictions import Predictions

CLASSES = ("Glioma T1", "Glioma T2", "Normal T1", "Other lesion T1C+")


def test_names_fall_into_family_and_sequence() -> None:
    assert family_and_sequence("Other lesion T1C+") == ("Other lesion", "T1C+")
    assert family_and_sequence("Normal") == ("Normal", "")
    assert family_and_sequence("Glioma T3") == ("Glioma T3", "")
    assert factors(CLASSES) == {
        "family": ["Glioma", "Glioma", "Normal", "Other lesion"],
        "sequence": ["T1", "T2", "T1", "T1C+"],
    }


def test_what_does_not_vary_is_no_factor() -> None:
    assert factors(("Glioma T1", "Normal T1")) == {"family": ["Glioma", "Normal"]}
    assert factors(("Glioma T1", "Normal")) == {}


def test_probabilities_of_a_value_are_summed() -> None:
    n = 30
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, n)
    model = Predictions.build(
        [str(i) for i in range(n)],
        np.arange(n),
        ["test"] * n,
        labels,
        generator.normal(0, 2, (n, 4)),
        CLASSES,
    )
    values = factors(CLASSES)["family"]
    merged = by_factor(model, values)
    p = model.probabilities()
    expected = np.stack([p[:, 0] + p[:, 1], p[:, 2], p[:, 3]], axis=1)
    assert merged.classes == ("Glioma", "Normal", "Other lesion")
    assert merged.probabilities() == pytest.approx(expected, abs=1e-6)
    assert [merged.classes[i] for i in merged.labels] == [values[i] for i in labels]
    assert merged.frame["image_id"].equals(model.frame["image_id"])
