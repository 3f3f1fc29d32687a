"""Decision tree, LDA, SVM and nearest neighbours; validation chooses what each of them leaves open.

Each is fitted by scikit-learn on standardised hand-made features of the training set, once for each
of its candidates; the one with the highest macro F1 on validation is kept.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.special import softmax

from brainssl.evaluation.metrics import evaluate
from brainssl.training.classical.features import SETS
from brainssl.training.probe import Labelled
from brainssl.training.solver_warnings import solver_warnings_kept_back

# What is tried, the most cautious first.
LEAVES = (16, 4, 1)  # images in a leaf of a tree, at least
SHRINKAGES = (0.9, 0.5, 0.1, 0.01)  # of the covariance, towards a multiple of the unit matrix
LINEAR_COSTS, RADIAL_COSTS = (0.01, 0.1), (1.0, 10.0, 100.0)  # C of an SVM
NEIGHBOURS = (25, 15, 9, 5, 3, 1)  # no more than the smallest class has images

_NEVER = 1e-4  # the least probability: rarer than one image in ten thousand
_ROWS = 1000  # whose kernel is in memory at a time
_TEMPERATURES = np.geomspace(0.05, 20.0, 61)


@dataclass(frozen=True)
class Inputs:
    """The features that a classifier is given, and their mean and deviation in training."""

    columns: slice
    mean: Float64[np.ndarray, " dim"]
    scale: Float64[np.ndarray, " dim"]

    @classmethod
    def of(cls, columns: slice, features: Float32[np.ndarray, "n all"]) -> "Inputs":
        """Learn to standardise from the training set."""
        own = features[:, columns].astype(np.float64)
        # A feature that never changes carries nothing: it is left at zero, not divided by zero.
        scale = own.std(axis=0)
        return cls(columns, own.mean(axis=0), np.where(scale > 1e-9, scale, 1.0))

    def standard(self, features: Float32[np.ndarray, "n all"]) -> Float64[np.ndarray, "n dim"]:
        """Return the features that it is given, standardised."""
        return np.asarray((features[:, self.columns] - self.mean) / self.scale)


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier.

    Attributes:
        model: of scikit-learn, on standardised features.
        inputs: standardises them.
        present: the classes that it was taught.
        classes: how many there are.
        temperature: divides the margins of an SVM, which has no probabilities of its own.
        chosen: what was chosen, and by what.
    """

    model: Any
    inputs: Inputs
    present: Int64[np.ndarray, " present"]
    classes: int
    temperature: float = 1.0
    chosen: str = ""

    def probabilities(
        self, features: Float32[np.ndarray, "n all"]
    ) -> Float64[np.ndarray, "n classes"]:
        """Return the probability of each class, about 1e-4 at least; margins go through softmax."""
        found = np.zeros((len(features), self.classes))
        found[:, self.present] = self._of_present(features)
        found = np.maximum(found, _NEVER)
        return np.asarray(found / found.sum(axis=1, keepdims=True))

    @property
    def has_margins(self) -> bool:
        """Whether it gives margins, and no probabilities."""
        return not hasattr(self.model, "predict_proba")

    def _of_present(self, features: "np.ndarray") -> "np.ndarray":
        if len(self.present) == 1:
            return np.ones((len(features), 1))
        standard = self.inputs.standard(features)
        if not self.has_margins:
            return np.asarray(self.model.predict_proba(standard))
        margins = self.model.decision_function(standard)
        if margins.ndim == 1:  # of two classes: that of the second
            margins = np.stack([-margins, margins], axis=1) / 2
        return np.asarray(softmax(margins / self.temperature, axis=1))


@dataclass
class KernelSVM:
    """An SVM of scikit-learn whose kernel is computed once, and not anew for each two classes.

    Attributes:
        cost: C, the weight of an image on the wrong side.
        gamma: of exp(−gamma · squared distance); None for a linear kernel.
    """

    cost: float
    gamma: float | None = None

    def fit(
        self, features: Float64[np.ndarray, "n dim"], labels: Int64[np.ndarray, " n"]
    ) -> "KernelSVM":
        """Learn from the training set."""
        from sklearn.svm import SVC

        self._learnt = features
        self._svc = SVC(kernel="precomputed", C=self.cost).fit(self._kernel(features), labels)
        return self

    def decision_function(self, features: Float64[np.ndarray, "n dim"]) -> "np.ndarray":
        """Return the margin of each class; with two classes, that of the second."""
        parts = np.array_split(features, math.ceil(len(features) / _ROWS))
        return np.concatenate([self._svc.decision_function(self._kernel(own)) for own in parts])

    def _kernel(self, features: "np.ndarray") -> "np.ndarray":
        from sklearn.metrics.pairwise import linear_kernel, rbf_kernel

        if self.gamma is None:
            return np.asarray(linear_kernel(features, self._learnt))
        return np.asarray(rbf_kernel(features, self._learnt, gamma=self.gamma))


def fit_family(
    family: str, train: Labelled, val: Labelled, *, classes: int, seed: int = 0
) -> Fitted:
    """Fit every candidate of a family and return the one with the highest macro F1 on validation.

    Candidates differ in `brainssl.training.classical.features.SETS`, too. Of equals the first is
    kept: the most cautious. The temperature of an SVM is the likeliest on validation.

    Args:
        family: of `brainssl.training.classical.FAMILIES`.
        train: hand-made features of the images whose labels may be used.
        val: those of the whole validation set, which chooses and is not learnt.
        classes: number of classes; one without a training image is all but never predicted.
        seed: of a tree's choice among features that split equally well.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    best, best_score = None, -math.inf
    with threadpool_limits(1, user_api="blas"):  # threads would wait longer than they work
        for name, columns in SETS.items():
            inputs = Inputs.of(columns, train.features)
            standard = inputs.standard(train.features)
            for model, words in _candidates(family, train.labels, standard.shape[1], seed):
                fitted = Fitted(
                    _taught(model, standard, train.labels), inputs, np.unique(train.labels), classes
                )
                score = evaluate(val.labels, fitted.probabilities(val.features))["f1_macro"]
                if score > best_score:
                    told = f"{words}, on {name}, by the validation macro F1 {score:.4f}"
                    best, best_score = replace(fitted, chosen=told), score
    assert best is not None
    return _tempered(best, val) if best.has_margins else best


def _candidates(
    family: str, labels: Int64[np.ndarray, " n"], dim: int, seed: int
) -> Iterator[tuple[Any, str]]:
    """Yield classifiers that are not fitted yet, each in words too."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.tree import DecisionTreeClassifier

    counts = np.unique(labels, return_counts=True)[1]
    if family == "decision_tree":
        for least in LEAVES:
            tree = DecisionTreeClassifier(min_samples_leaf=least, random_state=seed)
            yield tree, f"leaves of {least} or more"
    elif family == "lda" and counts.max() > 1:
        for shrinkage in SHRINKAGES:
            lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
            yield lda, f"shrinkage {shrinkage:g}"
    elif family == "svm":
        for cost in LINEAR_COSTS:
            yield KernelSVM(cost), f"linear, C {cost:g}"
        for cost in RADIAL_COSTS:
            yield KernelSVM(cost, gamma=0.5 / dim), f"radial, C {cost:g}"
    else:
        # With one image of each class there is no covariance: then LDA is the nearest mean.
        for k in [k for k in NEIGHBOURS if k <= counts.min()]:
            yield KNeighborsClassifier(k, weights="distance"), f"k {k}"


def _taught(model: Any, features: "np.ndarray", labels: Int64[np.ndarray, " n"]) -> Any:
    if len(np.unique(labels)) == 1:
        return model  # of a single class there is nothing to learn
    with solver_warnings_kept_back():
        return model.fit(features, labels)


def _tempered(fitted: Fitted, val: Labelled) -> Fitted:
    """Return an SVM with the temperature at which it is likeliest on validation."""

    def loss(temperature: float) -> float:
        found = replace(fitted, temperature=temperature).probabilities(val.features)
        return -float(np.log(found[np.arange(len(found)), val.labels]).mean())

    return replace(fitted, temperature=float(min(_TEMPERATURES, key=loss)))
