"""What a classifier said, how good it was, and how far that can be believed."""

from brainssl.evaluation.intervals import Resamples, bootstrap, bootstrap_per_class, resample
from brainssl.evaluation.metrics import CLASS_METRICS, METRICS, confusion, evaluate, per_class
from brainssl.evaluation.predictions import Predictions

__all__ = [
    "CLASS_METRICS",
    "METRICS",
    "Predictions",
    "Resamples",
    "bootstrap",
    "bootstrap_per_class",
    "confusion",
    "evaluate",
    "per_class",
    "resample",
]
