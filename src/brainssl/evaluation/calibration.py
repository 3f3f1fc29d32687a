"""Whether a model that says 90 % is right nine times in ten, before and after temperature scaling.

The expected calibration error is biased upward on small samples: Brier score and negative log
likelihood, which are not, stand beside it.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int, Int64
from scipy.special import logsumexp

from brainssl.evaluation.draws import drawn_means
from brainssl.evaluation.intervals import percentile_intervals
from brainssl.evaluation.metrics import ECE_BINS, Scorer, evaluate
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.rows import for_json
from brainssl.foundation.errors import BrainsslError

LOWEST, HIGHEST = 0.05, 20.0  # temperatures


def calibration(
    val: Predictions, test: Predictions, *, draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Measure on test how well calibrated a model is, and how well with a temperature from val.

    Args:
        val: where the temperature is fitted, and nothing else.
        test: where all is measured, and nothing fitted.
        draws: of the cluster bootstrap over test groups, at the temperature that was fitted.
        seed: of the draws.

    Returns:
        A dictionary ready for JSON: `temperature`, `temperatures` (that alone), `fitted_on` (images
        of val), then `before` (at temperature 1) and `after`, each with `nll`, `brier` and `ece` as
        `evaluate` defines them, `classwise_ece`, and `bins`: the `reliability` whose weighted gaps
        sum to `ece`; and `intervals` of `nll` and `brier`, at 95 %, None with fewer than two
        groups. The two errors of calibration have none: that of a resample lies higher than that
        of the sample.

    Raises:
        BrainsslError: One of the two has no images, or they name different classes.
    """
    return calibration_of_folds([(val, test)], draws=draws, seed=seed)


def calibration_of_folds(
    parts: Sequence[tuple[Predictions, Predictions]], *, draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Do as `calibration`, with a temperature for each fold from its own validation set.

    Args:
        parts: of each fold what its model said of its validation and of its test set.
        draws: of the cluster bootstrap over the test groups of all folds.
        seed: of the draws.

    Returns:
        As `calibration`; `temperature` is the geometric mean of `temperatures`, and `fitted_on` is
        the size of the smallest validation set.

    Raises:
        BrainsslError: As `calibration`.
    """
    for val, test in parts:
        check_same_classes(val, test)
    temperatures = [fit_temperature(val) for val, _ in parts]
    whole = Predictions.joined([test for _, test in parts])
    warm = np.concatenate(
        [test.probabilities(t) for (_, test), t in zip(parts, temperatures, strict=True)]
    )
    return {
        "temperature": float(np.exp(np.mean(np.log(temperatures)))),
        "temperatures": temperatures,
        "fitted_on": min(len(val) for val, _ in parts),
        "before": _measured(whole, whole.probabilities(), draws, seed),
        "after": _measured(whole, warm, draws, seed),
    }


def fit_temperature(val: Predictions) -> float:
    """Return the temperature T at which softmax(logits / T) is likeliest on validation.

    Temperature scaling (Guo et al. 2017, section 4.2): one number for all classes, which leaves the
    order of the classes, hence the accuracy, as it is. The likelihood is concave in 1 / T, hence
    has a single optimum; it is sought between `LOWEST` = 0.05 and `HIGHEST` = 20.

    Where no image is misclassified the likelihood rises as T falls, and the result is `LOWEST`: as
    sure as is allowed. Validation then has too few images, or too easy ones, to tell how sure the
    model may be. Where guessing is likelier than the model at any temperature it is `HIGHEST`.

    Raises:
        BrainsslError: There are no images.
    """
    return best_nll(val)[1]


def best_nll(val: Predictions) -> tuple[float, float]:
    """Return the NLL in nats at the temperature of `fit_temperature`, and that temperature.

    A proper score by which models can be told apart whatever their sureness: one that is only too
    sure loses nothing.

    Raises:
        BrainsslError: There are no images.
    """
    if len(val) == 0:
        raise BrainsslError("there are no validation images: a temperature is fitted on them")
    from scipy.optimize import minimize_scalar  # who only predicts need not wait for it

    logits = val.logits.astype(np.float64)
    behind = logits - logits[np.arange(len(val)), val.labels][:, None]

    def loss(temperature: float) -> float:
        return float(logsumexp(behind / temperature, axis=1).mean())

    bounds = (math.log(LOWEST), math.log(HIGHEST))
    found = minimize_scalar(lambda log: loss(math.exp(log)), bounds=bounds, method="bounded")
    # The search stops short of its bounds, and within its tolerance of T = 1.
    best = min((LOWEST, HIGHEST, math.exp(found.x), 1.0), key=loss)
    return loss(best), best


def classwise_ece(
    labels: Int[np.ndarray, " n"],
    probabilities: Float[np.ndarray, "n classes"],
    bins: int = ECE_BINS,
) -> float:
    """Return the mean over classes of the calibration error of each class's own probability.

    (1/K) Σₖ Σ_b (n_b / n) |share of class k in bin b − mean p(k) in bin b| (Kull et al. 2019,
    section 2; Nixon et al. 2019, "static calibration error"). Unlike the ECE it looks at the
    probability of every class, not of the predicted one alone. With many classes most
    probabilities lie near 0, and so does the result: compare it at equal K only.

    Args:
        labels: True classes, from 0 to classes − 1; at least one.
        probabilities: One row an image, from 0 to 1, each row summing to 1.
        bins: Of equal width, each open below and closed above.
    """
    n, k = probabilities.shape
    truth = np.arange(k) == labels[:, None]
    gaps = [
        np.bincount(_bin_of(p, bins), weights=is_class - p)
        for p, is_class in zip(probabilities.T, truth.T, strict=True)
    ]
    return float(sum(np.abs(gap).sum() for gap in gaps) / (n * k))


def reliability(
    labels: Int[np.ndarray, " n"],
    probabilities: Float[np.ndarray, "n classes"],
    bins: int = ECE_BINS,
) -> list[dict[str, float]]:
    """Return the points of a reliability diagram of the predicted class (Guo et al. 2017, fig. 1).

    Σ n / N · |accuracy − confidence| over the bins is the ECE with as many bins.

    Args:
        labels: True classes, from 0 to classes − 1.
        probabilities: One row an image, from 0 to 1, each row summing to 1.
        bins: Of equal width, each open below and closed above.

    Returns:
        For each bin with images, upward: its edges `low` and `high`, its number of images `n`,
        their mean `confidence` and their `accuracy`.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bin_of = _bin_of(confidence, bins)
    edges = np.linspace(0, 1, bins + 1).tolist()
    return [
        {
            "low": edges[b],
            "high": edges[b + 1],
            "n": int((bin_of == b).sum()),
            "confidence": float(confidence[bin_of == b].mean()),
            "accuracy": float(right[bin_of == b].mean()),
        }
        for b in np.unique(bin_of)
    ]


def check_same_classes(val: Predictions, test: Predictions) -> None:
    """Refuse to carry over to `test` what was learnt from `val` about other classes.

    Raises:
        BrainsslError: The two name different classes, or the same in another order.
    """
    if val.classes != test.classes:
        raise BrainsslError(
            f"validation names the classes {val.classes}, test {test.classes}: "
            "give what one model said of both"
        )


def _measured(
    test: Predictions, probabilities: Float64[np.ndarray, "n classes"], draws: int, seed: int
) -> dict[str, Any]:
    labels = test.labels
    metrics = evaluate(labels, probabilities)
    losses = Scorer.of(labels, probabilities).losses.T
    drawn = drawn_means(losses, test.groups, draws, seed, labels)
    limits = percentile_intervals(drawn, 0.95)
    return {
        **{name: metrics[name] for name in ("nll", "brier", "ece")},
        "classwise_ece": classwise_ece(labels, probabilities),
        "bins": reliability(labels, probabilities),
        "intervals": for_json(dict(zip(("nll", "brier"), limits, strict=True))),
    }


def _bin_of(values: Float[np.ndarray, " n"], bins: int) -> Int64[np.ndarray, " n"]:
    """Return the bin of each value by the rule of `evaluate`: (0, 1/bins], …; 0 is in the first."""
    inner_edges: Float64[np.ndarray, " edges"] = np.linspace(0, 1, bins + 1)[1:-1]
    return np.searchsorted(inner_edges, values, side="left")
