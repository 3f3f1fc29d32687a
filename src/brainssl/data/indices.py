"""Places of images among all."""

import numpy as np
from jaxtyping import Int64

Indices = Int64[np.ndarray, " n"]
"""Rows of a manifest, and of the images of its store."""
