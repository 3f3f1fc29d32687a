"""A patient's sequences as one answer: by hand, and chosen where there is something to choose."""

import numpy as np
import pytest

from brainssl.evaluation.sequences import (
    PRODUCT,
    SLICES,
    WEIGHTS,
    Fusion,
    Witnesses,
    choose_fusion,
    fit_weights,
)

T1, T2 = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.8, 0.1])


def test_the_product_is_that_of_a_calculation_by_hand() -> None:
    """√(0.5·0.1) : √(0.3·0.8) : √(0.2·0.1), scaled to sum to 1."""
    roots = [0.05**0.5, 0.24**0.5, 0.02**0.5]
    found = Fusion().of({"T1": T1, "T2": T2})
    assert found == pytest.approx([root / sum(roots) for root in roots], rel=1e-12)
    assert Fusion().of({"T1": T1}) == pytest.approx(T1)
    assert Fusion().of({"T2": T2, "T1": T1}) == pytest.approx(found)


def test_weights_are_exponents() -> None:
    """Of T2 three times the weight of T1: p₁^¼ p₂^¾."""
    powers = T1**0.25 * T2**0.75
    found = Fusion(WEIGHTS, {"T1": 1.0, "T2": 3.0}).of({"T1": T1, "T2": T2})
    assert found == pytest.approx(powers / powers.sum(), rel=1e-12)


def test_a_sequence_that_is_sure_and_wrong_does_not_silence_the_others() -> None:
    said = {"T1": np.array([0.0, 1.0]), "T2": np.array([0.9, 0.1]), "DWI": np.array([0.9, 0.1])}
    assert np.isfinite(Fusion().of(said)).all()


def seen(n: int, trust: dict[str, float], seed: int = 0) -> list[Witnesses]:
    """Patients whose sequences are right as often as `trust` says, and sure all the same."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        truth = int(generator.integers(2))
        said = {}
        for name, right in trust.items():
            told = truth if generator.random() < right else 1 - truth
            said[name] = np.where(np.arange(2) == told, 0.8, 0.2)
        together = np.mean(list(said.values()), axis=0)
        found.append(Witnesses(said, together, truth))
    return found


def test_a_sequence_that_tells_nothing_loses_its_weight() -> None:
    patients = seen(120, {"T1": 0.95, "T2": 0.5})
    fusion = choose_fusion(patients)
    assert fusion.rule == WEIGHTS
    assert fusion.chosen
    assert fusion.weights["T1"] > 5 * fusion.weights["T2"]
    assert fusion.nll[WEIGHTS] < fusion.nll[PRODUCT]
    assert Fusion(**fusion.facts()) == fusion


def test_weights_are_those_of_an_independent_search() -> None:
    """Only the ratio of two weights counts for the likelihood; the ridge then splits it evenly."""
    patients = seen(60, {"T1": 0.9, "T2": 0.7}, seed=3)

    def loss(log: float) -> float:
        rule = Fusion(WEIGHTS, {"T1": np.exp(log), "T2": np.exp(-log)})
        return 2 * log**2 - sum(np.log(rule.of(p.by_sequence)[p.truth]) for p in patients)

    grid = np.linspace(-1.5, 1.5, 3001)
    best = grid[np.argmin([loss(at) for at in grid[::10]]) * 10]
    found = fit_weights(patients)
    assert np.log(found["T1"]) == pytest.approx(best, abs=0.02)
    assert np.log(found["T2"]) == pytest.approx(-best, abs=0.02)


def test_equal_sequences_keep_equal_weights_and_few_patients_choose_nothing() -> None:
    alike = choose_fusion(seen(100, {"T1": 0.8, "T2": 0.8}))
    assert alike.rule in (PRODUCT, SLICES)
    few = choose_fusion(seen(19, {"T1": 0.95, "T2": 0.5}))
    assert (few.rule, few.chosen, few.patients) == (PRODUCT, False, 19)
