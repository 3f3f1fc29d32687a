"""What simulated slices teach, for collections with too little to learn from themselves.

The simulator knows T1, T1C+ and T2. On real slices what it teaches of T1C+ does not hold, so that
only T1 (with an agent or without) is told from T2, by the inner greys alone. Learnt once by
`benchmarks/sequence_fallback.py`, which writes the table.
"""

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import resources

import numpy as np
from jaxtyping import Float32, Float64

from brainssl.data.appearance.features import GREYS
from brainssl.data.appearance.linear import Linear

TABLE = "simulated.json"
"""File beside this one."""

SEQUENCE_OF = {"T1": "T1", "T1C+": "T1", "T2": "T2"}
"""What each sequence that the simulator knows is called here."""

Model = Callable[[Float32[np.ndarray, "n width"]], Float64[np.ndarray, "n classes"]]


def learnt(
    features: Float32[np.ndarray, "n width"], sequences: Sequence[str], planes: Sequence[str]
) -> dict[str, Linear]:
    """Learn both tables, `sequence` and `plane`, from simulated slices.

    Args:
        features: of `brainssl.data.appearance.features.describe`.
        sequences: T1, T1C+ or T2, one a slice.
        planes: axial, coronal or sagittal, one a slice.
    """
    share = np.ones(len(features))
    names = np.array([SEQUENCE_OF[name] for name in sequences])
    return {
        "sequence": Linear.learn(features[:, GREYS], names, share),
        "plane": Linear.learn(features, np.array(planes), share),
    }


@lru_cache(maxsize=1)
def tables() -> dict[str, Linear]:
    """Return what is kept of simulated slices: `sequence` and `plane`."""
    text = (resources.files(__package__) / TABLE).read_text("utf-8")
    return {name: Linear.read(held) for name, held in json.loads(text)["models"].items()}


def sequence_model() -> tuple[tuple[str, ...], Model]:
    """Return the names T1 and T2, and what gives their probabilities."""
    model = tables()["sequence"]
    return model.classes, lambda features: model.probabilities(features[:, GREYS])


def plane_model() -> tuple[tuple[str, ...], Model]:
    """Return the names of planes, and what gives their probabilities."""
    model = tables()["plane"]
    return model.classes, model.probabilities
