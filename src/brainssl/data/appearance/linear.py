"""A linear classifier of features: probabilities by softmax, nothing but arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

COST = 0.01
"""C of the logistic regression: chosen on a phantom of seed 7 and half of a real collection."""

_STEPS = 300
_DIGITS = 5  # that a coefficient keeps in a file


@dataclass(frozen=True)
class Linear:
    """A multinomial logistic regression on standardised features.

    Attributes:
        classes: names, one a row of `weights`.
        mean: of each feature where it was learnt.
        scale: likewise, its deviation.
        weights: one row a class.
        bias: one number a class.
    """

    classes: tuple[str, ...]
    mean: Float64[np.ndarray, " width"]
    scale: Float64[np.ndarray, " width"]
    weights: Float64[np.ndarray, "classes width"]
    bias: Float64[np.ndarray, " classes"]

    @classmethod
    def learn(
        cls,
        features: Float32[np.ndarray, "n width"],
        names: "np.ndarray",
        share: Float64[np.ndarray, " n"],
    ) -> "Linear":
        """Learn from slices and the names of their classes, two at least.

        Args:
            features: of `brainssl.data.appearance.features.describe`.
            names: of the classes, one a slice.
            share: weight of each slice within its class; classes weigh alike.
        """
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        mean = features.mean(axis=0, dtype=np.float64)
        scale = features.std(axis=0, dtype=np.float64)
        scale = np.where(scale > 1e-9, scale, 1.0)
        weight = np.asarray(share, np.float64).copy()
        for name in np.unique(names):
            weight[names == name] /= weight[names == name].sum()
        weight *= len(weight) / weight.sum()
        with threadpool_limits(1, user_api="blas"):
            found = LogisticRegression(C=COST, max_iter=_STEPS).fit(
                (features - mean) / scale, names, sample_weight=weight
            )
        weights, bias = found.coef_, found.intercept_
        if len(found.classes_) == 2:  # of two classes scikit-learn keeps the margin of the second
            weights, bias = (
                np.concatenate([-weights, weights]) / 2,
                np.array([-bias[0], bias[0]]) / 2,
            )
        return cls(tuple(str(name) for name in found.classes_), mean, scale, weights, bias)

    def probabilities(
        self, features: Float32[np.ndarray, "n width"]
    ) -> Float64[np.ndarray, "n classes"]:
        """Return the probability of each class."""
        from scipy.special import softmax

        margins = ((features - self.mean) / self.scale) @ self.weights.T + self.bias
        return np.asarray(softmax(margins, axis=1))

    def written(self) -> dict[str, Any]:
        """Return it as JSON can hold it, numbers rounded to five digits."""
        arrays = {name: getattr(self, name) for name in ("mean", "scale", "weights", "bias")}
        return {
            "classes": list(self.classes),
            **{name: _rounded(values) for name, values in arrays.items()},
        }

    @classmethod
    def read(cls, held: dict[str, Any]) -> "Linear":
        """Return what `written` wrote."""
        arrays = {name: np.array(held[name]) for name in ("mean", "scale", "weights", "bias")}
        return cls(tuple(held["classes"]), **arrays)


def _rounded(values: "np.ndarray") -> Any:
    if values.ndim == 2:
        return [_rounded(row) for row in values]
    return [float(f"{value:.{_DIGITS}g}") for value in values]
