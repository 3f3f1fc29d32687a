"""What a model gets right when it may abstain where it is least sure."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError

COVERAGES = (0.5, 0.8, 0.9)
POINTS = 100


def risk_coverage(test: Predictions, temperature: float = 1.0) -> dict[str, Any]:
    """Return the risk–coverage curve of a model that abstains by its highest probability.

    The coverage is the share of images that it answers, the surest first; the risk is the share of
    errors among these (El-Yaniv and Wiener 2010; Geifman and El-Yaniv 2017). Images of which it is
    equally sure are accepted together. Each of n images demands that it and all surer ones are
    answered, and the area under the curve is the mean of these n risks (Geifman, Uziel and
    El-Yaniv 2019). It falls both with fewer errors and with a better order of them;
    the excess over an oracle that puts all errors last tells of the order alone.

    Args:
        test: the images to answer.
        temperature: that the logits are divided by; it can change the order, as it weighs the gap
            to the second class against those to the others.

    Returns:
        A dictionary ready for JSON: `coverage` and `risk` of at most 100 points of the curve,
        evenly spread, the last of them at coverage 1; `aurc`, `aurc_oracle` and `eaurc`, the
        difference, of the whole curve; `accuracy_at`: for a coverage of "0.5", "0.8" and "0.9",
        or the next above it that ties allow, the accuracy on the images answered.

    Raises:
        BrainsslError: There are no images, or the temperature is not above 0.
    """
    if len(test) == 0:
        raise BrainsslError("there are no images: a risk–coverage curve needs at least one")
    probabilities = test.probabilities(temperature)
    wrong = probabilities.argmax(axis=1) != test.labels
    coverage, risk = _curve(wrong, probabilities.max(axis=1))
    n = len(test)
    # Each risk stands for the images that its coverage adds to the one before.
    aurc = float(risk @ np.diff(coverage, prepend=0))
    oracle = float(np.mean(np.cumsum(np.sort(wrong)) / np.arange(1, n + 1)))
    # Both are quotients rounded to the nearest, so a coverage of 9/10 is found at 0.9.
    shown = np.unique(np.searchsorted(coverage, np.arange(1, POINTS + 1) / POINTS))
    answered = np.searchsorted(coverage, COVERAGES)
    return {
        "coverage": coverage[shown].tolist(),
        "risk": risk[shown].tolist(),
        "aurc": aurc,
        "aurc_oracle": oracle,
        "eaurc": aurc - oracle,
        "accuracy_at": dict(zip(map(str, COVERAGES), (1 - risk[answered]).tolist(), strict=True)),
    }


def _curve(
    wrong: Bool[np.ndarray, " n"], confidence: Float64[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, " levels"], Float64[np.ndarray, " levels"]]:
    """Return coverage and risk with each distinct confidence, from the highest, as the least."""
    _, level_of, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)
    accepted = np.cumsum(sizes)
    errors = np.cumsum(np.bincount(level_of, weights=wrong))
    return accepted / len(wrong), errors / accepted
