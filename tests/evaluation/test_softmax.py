"""Our softmax is SciPy's, to the last bit."""

import numpy as np
import pytest
from scipy.special import softmax as reference

from brainssl.evaluation.softmax import softmax


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
def test_it_is_scipys(scale: float) -> None:
    logits = np.random.default_rng(0).normal(0, scale, (200, 7))
    np.testing.assert_array_equal(softmax(logits), reference(logits, axis=1))
    assert softmax(logits[:0]).shape == (0, 7)
