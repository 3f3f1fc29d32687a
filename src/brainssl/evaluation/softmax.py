"""The softmax: who only predicts need not wait for SciPy to be imported."""

import numpy as np
from jaxtyping import Float64


def softmax(logits: Float64[np.ndarray, "n classes"]) -> Float64[np.ndarray, "n classes"]:
    """Return exp(z_k) / Σ exp(z_j) of each row, as `scipy.special.softmax` does, to the last bit.

    Args:
        logits: a row an image; infinite ones are not foreseen.
    """
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Float64[np.ndarray, "n classes"] = likely / likely.sum(axis=1, keepdims=True)
    return shares
