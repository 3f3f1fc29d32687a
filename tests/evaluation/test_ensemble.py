"""An ensemble says the mean of what its members say."""

import numpy as np
import pytest

from brainssl.evaluation.ensemble import ensemble
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError

N = 40


def member(seed: int, scale: float = 3.0, first: str = "0") -> Predictions:
    generator = np.random.default_rng(seed)
    return Predictions.build(
        [first, *(str(i) for i in range(1, N))],
        np.arange(N) // 2,
        ["val"] * 10 + ["test"] * 30,
        np.arange(N) % 4,
        generator.normal(0, scale, (N, 4)),
        ("a", "b", "c", "d"),
    )


def test_probabilities_are_the_mean() -> None:
    members = [member(seed) for seed in range(3)]
    found = ensemble(members)
    mean = np.mean([m.probabilities() for m in members], axis=0)
    assert found.probabilities() == pytest.approx(mean, abs=1e-6)
    keys = ["image_id", "group", "split", "label"]
    assert found.frame[keys].equals(members[0].frame[keys])


def test_certainty_of_all_members_stays_finite() -> None:
    sure = member(0, scale=1e6)
    found = ensemble([sure, sure])
    assert np.isfinite(found.logits).all()
    assert (found.predicted == sure.predicted).all()


def test_members_of_different_images_are_refused() -> None:
    with pytest.raises(BrainsslError, match="same images"):
        ensemble([member(0), member(1, first="x")])
