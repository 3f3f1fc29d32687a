"""One answer on a patient's tumour family from what each of his sequences says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64

PRODUCT, WEIGHTS, SLICES = "product", "weights", "slices"

LEAST_PATIENTS = 20
"""Patients of validation with several sequences below which nothing is chosen."""

_PARTS = 5
_LEAST = 1e-12  # a probability; one sequence alone must not rule out a family for ever
_RIDGE = 1.0  # of the logarithms of weights, in nats over all patients: few patients, equal weights


@dataclass(frozen=True)
class Fusion:
    """How the sequences of a patient become one answer.

    Attributes:
        rule: `PRODUCT`, `WEIGHTS`, or `SLICES`: all slices together, by the patients' rule.
        weights: of sequences, for `WEIGHTS`; of one that has none it is 1.
        chosen: whether it was chosen on validation.
        nll: of the candidates on validation, in nats a patient; that of `WEIGHTS` on patients who
            did not fit them.
        patients: of validation with several sequences.
    """

    rule: str = PRODUCT
    weights: Mapping[str, float] = field(default_factory=dict)
    chosen: bool = False
    nll: Mapping[str, float] = field(default_factory=dict)
    patients: int = 0

    @property
    def name(self) -> str:
        """The rule in words."""
        if self.rule == SLICES:
            return "all slices together"
        weighted = " with weights" if self.rule == WEIGHTS else ""
        return f"product of the sequences' probabilities{weighted}"

    def facts(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "rule": self.rule,
            "weights": dict(self.weights),
            "chosen": self.chosen,
            "nll": dict(self.nll),
            "patients": self.patients,
        }

    def of(self, said: Mapping[str, Float64[np.ndarray, " families"]]) -> np.ndarray:
        """Return the probabilities of the families, from those that each sequence gives them."""
        weights = self.weights if self.rule == WEIGHTS else {}
        return fused(list(said.values()), [weights.get(name, 1.0) for name in said])


def fused(
    said: Sequence[Float64[np.ndarray, " families"]], weights: Sequence[float]
) -> Float64[np.ndarray, " families"]:
    """Return ∏ pₛ^(wₛ / Σw), scaled to sum to 1: the weighted mean of log-probabilities.

    The product rule of Kittler et al. (1998), with the number of sequences divided out, as two
    sequences of one brain are no two independent witnesses.
    """
    logs = np.log(np.maximum(np.stack(said), _LEAST))
    mean = np.average(logs, axis=0, weights=np.asarray(weights))
    shares = np.exp(mean - mean.max())
    found: Float64[np.ndarray, " families"] = shares / shares.sum()
    return found


@dataclass(frozen=True, eq=False)
class Witnesses:
    """What the sequences of one patient of validation say, and what is true.

    Attributes:
        by_sequence: probabilities of the families, by sequence; at least two.
        together: those of all slices, by the patients' rule.
        truth: place of the true family.
    """

    by_sequence: Mapping[str, Float64[np.ndarray, " families"]]
    together: Float64[np.ndarray, " families"]
    truth: int


def choose_fusion(patients: Sequence[Witnesses]) -> Fusion:
    """Choose on validation how sequences become one answer, by the negative log-likelihood.

    Weights are judged on patients who did not fit them, in five parts; of equals the simplest is
    taken. With fewer than 20 patients nothing is chosen, and it is the product.

    Args:
        patients: with several sequences each, in an order that does not depend on their truth.
    """
    if len(patients) < LEAST_PATIENTS:
        return Fusion(patients=len(patients))
    equal = [Fusion().of(one.by_sequence) for one in patients]
    apart = [
        Fusion(WEIGHTS, fit_weights([p for at, p in enumerate(patients) if at % _PARTS != part])).of
        for part in range(_PARTS)
    ]
    weighted = [apart[at % _PARTS](one.by_sequence) for at, one in enumerate(patients)]
    candidates = {PRODUCT: equal, SLICES: [one.together for one in patients], WEIGHTS: weighted}
    truths = [one.truth for one in patients]
    nll = {
        rule: float(
            np.mean([-np.log(max(p[t], _LEAST)) for p, t in zip(said, truths, strict=True)])
        )
        for rule, said in candidates.items()
    }
    rule = min(nll, key=lambda name: round(nll[name], 6))
    weights = fit_weights(patients) if rule == WEIGHTS else {}
    return Fusion(rule, weights, True, nll, len(patients))


def fit_weights(patients: Sequence[Witnesses]) -> dict[str, float]:
    """Return the weight of each sequence by which the true families are likeliest.

    Their logarithms are drawn to 0 by Σ (log w)², so that few patients leave them near 1.
    """
    from scipy.optimize import minimize  # who only predicts need not wait for it

    names = sorted({name for one in patients for name in one.by_sequence})

    def loss(logs: Float64[np.ndarray, " sequences"]) -> float:
        weights = dict(zip(names, np.exp(logs), strict=True))
        total = 0.0
        for one in patients:
            said = fused(list(one.by_sequence.values()), [weights[n] for n in one.by_sequence])
            total -= float(np.log(max(said[one.truth], _LEAST)))
        return total + _RIDGE * float(logs @ logs)

    found = minimize(loss, np.zeros(len(names)), method="L-BFGS-B", bounds=[(-3, 3)] * len(names))
    return dict(zip(names, np.exp(found.x).tolist(), strict=True))
