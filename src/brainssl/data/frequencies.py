"""The low frequencies of fingerprints, by which they are looked up."""

import numpy as np
from jaxtyping import Float32, Int64
from scipy.fft import idctn

from brainssl.data.fingerprint import SIDE


def cosines(
    bandwidth: int,
) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " k"], Float32[np.ndarray, "k side side"]]:
    """Return waves down, waves across and picture of each cosine within a radius, but the mean.

    A picture's product with one is a coefficient of its discrete cosine transform.
    """
    u, v = (part.ravel() for part in np.mgrid[:SIDE, :SIDE])
    inside = np.flatnonzero((u**2 + v**2 > 0) & (u**2 + v**2 < bandwidth**2))
    basis = np.eye(SIDE * SIDE, dtype=np.float32)[inside].reshape(-1, SIDE, SIDE)
    return u[inside], v[inside], np.asarray(idctn(basis, axes=(1, 2), norm="ortho"), np.float32)


def unit(vectors: Float32[np.ndarray, "n k"]) -> Float32[np.ndarray, "n k"]:
    """Divide vectors by their norms, in place; zeros stay zeros."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.divide(vectors, norms, out=vectors, where=norms > 0)
    return vectors
