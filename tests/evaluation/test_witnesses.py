"""What the sequences of validation patients say of their family."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.witnesses import tempered, witnesses

CLASSES = ("Glioma T1", "Glioma T2", "Normal T1")


def made() -> tuple[Predictions, pd.DataFrame]:
    """Two patients with both sequences, two slices each; one with a single one; one contradicts."""
    cases = [("p", 0), ("p", 1), ("q", 0), ("q", 1), ("r", 2), ("s", 1), ("s", 2)]
    rows = [(f"{who}{label}{n}", CLASSES[label], who) for who, label in cases for n in (0, 1)]
    images = pd.DataFrame(rows, columns=["image_id", "label", "patient"])
    labels = images["label"].map(CLASSES.index).to_numpy(np.int64)
    logits = np.random.default_rng(0).normal(0, 2, (len(images), 3))
    groups = images["patient"].map("pqrs".index).to_numpy(np.int64)
    ids = images["image_id"].tolist()
    return Predictions.build(ids, groups, ["val"] * len(ids), labels, logits, CLASSES), images


def test_each_sequence_says_the_sum_over_its_family_of_the_mean_of_its_slices() -> None:
    val, images = made()
    found = witnesses(val, images, {})
    assert len(found) == 2
    shares = softmax(val.logits.astype(np.float64), axis=1)
    for one, first in zip(found, (0, 4), strict=True):
        assert set(one.by_sequence) == {"T1", "T2"}
        for sequence, at in (("T1", first), ("T2", first + 2)):
            mean = shares[at : at + 2].mean(axis=0)
            assert one.by_sequence[sequence] == pytest.approx([mean[:2].sum(), mean[2]], abs=1e-6)
        mean = shares[first : first + 4].mean(axis=0)
        assert one.together == pytest.approx([mean[:2].sum(), mean[2]], abs=1e-6)
        assert one.truth == 0


def test_tempered_logits_are_divided() -> None:
    val, _ = made()
    np.testing.assert_allclose(
        tempered(val, 2.5).probabilities(), val.probabilities(2.5), atol=1e-6
    )
