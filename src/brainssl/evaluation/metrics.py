"""Metrics of a classifier, over all images and by class, for one weighting of them or for many."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64
from scipy import sparse

from brainssl.foundation.errors import BrainsslError

METRICS: tuple[str, ...] = (
    "accuracy",
    "balanced_accuracy",
    "precision_macro",
    "recall_macro",
    "f1_macro",
    "precision_weighted",
    "recall_weighted",
    "f1_weighted",
    "auroc_macro",
    "average_precision_macro",
    "mcc",
    "nll",
    "brier",
    "ece",
)
CLASS_METRICS: tuple[str, ...] = ("precision", "recall", "f1", "auroc", "average_precision")
ECE_BINS = 15


def evaluate(
    labels: Int[np.ndarray, " n"], probabilities: Float[np.ndarray, "n classes"]
) -> dict[str, float]:
    """Return every metric of `METRICS`, by name.

    The class said of an image is the one with the highest probability, the first of them where
    several are equal. Averages:

    - `*_macro`: the plain mean over the classes that have at least one image among `labels`. A
      class without a case has no recall and no AUROC, and it is left out of every macro average,
      its precision included, even where the model says it. The precision of a class that has cases
      but is never said counts as 0.
    - `*_weighted`: the mean over the same classes, weighted by their number of images.
    - `balanced_accuracy` is `recall_macro` and `recall_weighted` is `accuracy`, by definition.

    Scores:

    - `auroc_macro`: each class against all others; a tie between a case and another image counts
      one half (Hanley and McNeil 1982). NaN where all images are of one class.
    - `average_precision_macro`: Σ (Rⱼ − Rⱼ₋₁) Pⱼ over the thresholds, without interpolation.
    - `mcc`: the multi-class correlation R_K (Gorodkin 2004); 0 where either the labels or
      the predictions are all of one class.
    - `nll`: mean −ln p of the true class; p is not let below 2.2e-16, so that one image of which
      the model was surely wrong costs 36 and not infinity.
    - `brier`: mean over images of the *sum* over classes of (p − y)² (Brier 1950), hence from 0
      to 2.
    - `ece`: of the predicted class, 15 bins of equal width, each open below and closed above
      (Guo et al. 2017, eq. 3). Biased upward where images are few.

    Args:
        labels: True classes, from 0 to classes − 1.
        probabilities: One row an image, from 0 to 1, each row summing to 1.

    Raises:
        BrainsslError: No images, or labels or probabilities out of their range.
    """
    scorer = Scorer.of(labels, probabilities)
    overall, _ = scorer.score(np.ones((len(labels), 1)))
    return dict(zip(METRICS, overall[0].tolist(), strict=True))


def per_class(
    labels: Int[np.ndarray, " n"],
    probabilities: Float[np.ndarray, "n classes"],
    classes: Sequence[str],
) -> dict[str, dict[str, float]]:
    """Return `CLASS_METRICS` and `support` (the number of images) of each class, by its name.

    The definitions are those of `evaluate`. A class without an image has a support of 0 and NaN
    for all else; where all images are of one class its AUROC is NaN.

    Raises:
        BrainsslError: As `evaluate`, or the number of names is not the number of columns.
    """
    _check_names(classes, np.shape(probabilities)[-1])
    scorer = Scorer.of(labels, probabilities)
    _, by_class = scorer.score(np.ones((len(labels), 1)))
    support = np.bincount(labels, minlength=len(classes)).astype(np.float64)
    return {
        name: {**dict(zip(CLASS_METRICS, row, strict=True)), "support": count}
        for name, row, count in zip(classes, by_class[0].tolist(), support.tolist(), strict=True)
    }


def confusion(
    labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"], classes: Sequence[str]
) -> Int64[np.ndarray, "classes classes"]:
    """Count the images of each true class (row) by the class that was said of them (column).

    Raises:
        BrainsslError: The two have different lengths or name a class that does not exist.
    """
    k = len(classes)
    if len(labels) != len(predicted):
        raise BrainsslError(f"{len(labels)} labels met {len(predicted)} predictions: pair them")
    for indices in (labels, predicted):
        _check_indices(indices, k)
    cells = labels.astype(np.int64) * k + predicted
    return np.bincount(cells, minlength=k * k).reshape(k, k)


@dataclass(frozen=True, eq=False)
class Scorer:
    """The metrics of one set of predictions, ready to be had under many weightings of the images.

    A weight of w means what w copies of the image would mean. All that no weighting changes (the
    order of the scores, the bins, the loss of each image) is worked out once; what is left of
    each weighting are sums over images, and thousands of weightings are a few sparse products.

    Attributes:
        cells: (classes², n), an image's one marks its true and its predicted class.
        losses: Negative log likelihood and Brier score of each image.
        gaps: (bins, n), an image's entry in the bin of its confidence: (it is right) − confidence.
        curves: For each class, the order of the images by its probability.
    """

    cells: sparse.csr_array
    losses: Float64[np.ndarray, "2 n"]
    gaps: sparse.csr_array
    curves: tuple["_Curve", ...]

    @classmethod
    def of(
        cls, labels: Int[np.ndarray, " n"], probabilities: Float[np.ndarray, "n classes"]
    ) -> "Scorer":
        """Prepare the metrics of `evaluate`, which says what is meant and refused."""
        _check_probabilities(labels, probabilities)
        n, k = probabilities.shape
        labels = labels.astype(np.int64)
        scores = probabilities.astype(np.float64)
        predicted, confidence = scores.argmax(axis=1), scores.max(axis=1)
        truth = np.eye(k)[labels]
        likelihood = np.clip(scores[np.arange(n), labels], np.finfo(np.float64).eps, 1.0)
        inner_edges = np.linspace(0, 1, ECE_BINS + 1)[1:-1]
        bins = np.searchsorted(inner_edges, confidence, side="left")
        return cls(
            cells=_scatter(labels * k + predicted, np.ones(n), k * k),
            losses=np.stack([-np.log(likelihood), ((scores - truth) ** 2).sum(axis=1)]),
            gaps=_scatter(bins, (predicted == labels) - confidence, ECE_BINS),
            curves=tuple(_Curve.of(labels == c, scores[:, c]) for c in range(k)),
        )

    def score(
        self, weights: Float64[np.ndarray, "n draws"]
    ) -> tuple[Float64[np.ndarray, "draws metrics"], Float64[np.ndarray, "draws classes scores"]]:
        """Return `METRICS`, and `CLASS_METRICS` of each class, under each column of weights.

        A class whose images all weigh nothing counts as absent: NaN for itself, and left out of
        the averages. Each column must weigh something.
        """
        k = len(self.curves)
        # Contiguous rows are what the sparse products walk along.
        weights = np.ascontiguousarray(weights)
        counts = (self.cells @ weights).reshape(k, k, -1)
        total, support, called = counts.sum((0, 1)), counts.sum(1), counts.sum(0)
        hits = np.einsum("ccd->cd", counts)
        present = support > 0

        areas, average_precisions = zip(
            *(c.areas(weights, total) for c in self.curves), strict=True
        )
        by_class = np.stack(
            [
                _ratio(hits, called),
                _ratio(hits, support),
                _ratio(2 * hits, support + called),
                np.stack(areas),
                np.stack(average_precisions),
            ]
        )
        by_class[:, ~present] = np.nan
        counted = np.where(present, by_class, 0)
        precision, recall, f1, auroc, average_precision = counted.sum(1) / present.sum(0)
        precision_weighted, recall_weighted, f1_weighted = (counted[:3] * support).sum(1) / total
        nll, brier = self.losses @ weights / total
        overall = [
            hits.sum(0) / total,
            recall,
            precision,
            recall,
            f1,
            precision_weighted,
            recall_weighted,
            f1_weighted,
            auroc,
            average_precision,
            _correlation(hits, support, called),
            nll,
            brier,
            np.abs(self.gaps @ weights).sum(0) / total,
        ]
        return np.stack(overall, axis=1), by_class.transpose(2, 1, 0)


@dataclass(frozen=True, eq=False)
class _Curve:
    """One class's images ranked by its probability, cut at the m probabilities its cases have.

    Both areas change only at these cuts, so a weighting needs no more than the weight between
    one cut and the next.

    Attributes:
        steps: (2m, n), from the highest probability down: row 2j takes the images strictly
            between cut j − 1 and cut j, row 2j + 1 those that lie on cut j.
        cases: (m, n), row j takes the cases of the class that lie on cut j.
    """

    steps: sparse.csr_array
    cases: sparse.csr_array

    @classmethod
    def of(cls, is_case: Bool[np.ndarray, " n"], scores: Float64[np.ndarray, " n"]) -> "_Curve":
        order = np.argsort(-scores, kind="stable")
        negated = -scores[order]
        ranked_cases = order[is_case[order]]
        cuts, cases_on_cut = np.unique(-scores[ranked_cases], return_counts=True)
        first = np.searchsorted(negated, cuts, side="left")
        last = np.searchsorted(negated, cuts, side="right")
        return cls(
            steps=_segments(len(order), np.stack([first, last], axis=1).ravel(), order),
            cases=_segments(len(order), np.cumsum(cases_on_cut), ranked_cases),
        )

    def areas(
        self, weights: Float64[np.ndarray, "n draws"], total: Float64[np.ndarray, " draws"]
    ) -> tuple[Float64[np.ndarray, " draws"], Float64[np.ndarray, " draws"]]:
        """Return the area under the ROC curve and the average precision of each weighting."""
        reached = np.cumsum(self.steps @ weights, axis=0)
        above, down_to = reached[0::2], reached[1::2]
        on_cut = self.cases @ weights
        cases_down_to = np.cumsum(on_cut, axis=0)
        cases = on_cut.sum(0)
        others = total - cases
        # Others above the cut outrank its cases; the ones on it tie with them and count one half.
        others_ahead = (above + down_to - 2 * cases_down_to + on_cut) / 2
        wins = np.einsum("md,md->d", on_cut, others - others_ahead)
        precision = _ratio(cases_down_to, down_to)
        hits = np.einsum("md,md->d", on_cut, precision)
        # Products of weights that are no whole numbers are rounded: no area is above 1.
        return np.minimum(_ratio(wins, cases * others, np.nan), 1), _ratio(hits, cases, np.nan)


def _segments(
    n: int, ends: Int64[np.ndarray, " rows"], columns: Int64[np.ndarray, " entries"]
) -> sparse.csr_array:
    """Return a matrix of ones whose row j takes `columns[ends[j − 1] : ends[j]]` of n columns."""
    starts = np.concatenate([np.zeros(1, ends.dtype), ends])
    taken = columns[: starts[-1]]
    return sparse.csr_array((np.ones(len(taken)), taken, starts), shape=(len(ends), n))


def _scatter(
    rows: Int64[np.ndarray, " n"], values: Float64[np.ndarray, " n"], n_rows: int
) -> sparse.csr_array:
    """Return a matrix whose column i holds `values[i]` in row `rows[i]` and nothing else."""
    n = len(rows)
    return sparse.csr_array((values, (rows, np.arange(n))), shape=(n_rows, n))


def _ratio(
    numerator: Float64[np.ndarray, "..."],
    denominator: Float64[np.ndarray, "..."],
    of_nothing: float = 0.0,
) -> Float64[np.ndarray, "..."]:
    """Divide, with `of_nothing` where the denominator is 0."""
    out = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), of_nothing)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def _correlation(
    hits: Float64[np.ndarray, "classes draws"],
    support: Float64[np.ndarray, "classes draws"],
    called: Float64[np.ndarray, "classes draws"],
) -> Float64[np.ndarray, " draws"]:
    """Return R_K, the correlation of the labels with the predictions as indicator vectors."""
    total = support.sum(0)
    covariance = hits.sum(0) * total - (support * called).sum(0)
    spread = (total**2 - (support**2).sum(0)) * (total**2 - (called**2).sum(0))
    return _ratio(covariance, np.sqrt(spread))


def _check_probabilities(labels: np.ndarray, probabilities: np.ndarray) -> None:
    if probabilities.ndim != 2 or len(labels) != len(probabilities) or not len(labels):
        raise BrainsslError(
            f"{len(labels)} labels met probabilities of shape {probabilities.shape}: give one row "
            "an image, one column a class, and at least one image"
        )
    _check_indices(labels, probabilities.shape[1])
    # Written so that NaN fails it.
    whole = np.abs(probabilities.sum(axis=1) - 1) < 1e-3
    if not (whole.all() and (probabilities >= 0).all()):
        raise BrainsslError("probabilities must be at least 0 and sum to 1 in each row: softmax?")


def _check_indices(indices: np.ndarray, k: int) -> None:
    if not np.issubdtype(indices.dtype, np.integer):
        raise BrainsslError(f"classes come as {indices.dtype}: number them from 0 to {k - 1}")
    if indices.size and not 0 <= indices.min() <= indices.max() < k:
        raise BrainsslError(
            f"classes run from {indices.min()} to {indices.max()}, but there are {k}: "
            f"number them from 0 to {k - 1}"
        )


def _check_names(classes: Sequence[str], k: int) -> None:
    if len(classes) != k:
        raise BrainsslError(f"{len(classes)} class names met {k} columns: name every column")
