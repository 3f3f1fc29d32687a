"""Measures of collapse against NumPy, and what is said of them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles import health as by_hand
from sklearn.neighbors import KNeighborsClassifier

from brainssl.training.collapse import (
    PATIENCE,
    SETTLED,
    Health,
    alignment,
    effective_rank,
    knn_accuracy,
    largest_k,
    measure,
    spread,
    uniformity,
    verdict,
)


def cloud(n: int, dim: int, seed: int = 0, middle: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(middle, 1, (n, dim))


def tensor(rows: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rows).float()


def unit(rows: np.ndarray) -> torch.Tensor:
    return tensor(by_hand.unit(rows))


@pytest.mark.parametrize("middle", [0.0, 3.0])
@pytest.mark.parametrize(("n", "dim"), [(20, 4), (7, 30)])
def test_measures_are_the_formulae(n: int, dim: int, middle: float) -> None:
    first, second = cloud(n, dim, 0, middle), cloud(n, dim, 1, middle)
    assert spread(unit(first)) == pytest.approx(by_hand.spread(first), rel=1e-4)
    assert effective_rank(tensor(first)) == pytest.approx(by_hand.effective_rank(first), rel=1e-4)
    expected = by_hand.alignment(first, second)
    assert alignment(unit(first), unit(second)) == pytest.approx(expected, rel=1e-4)
    assert uniformity(unit(first)) == pytest.approx(by_hand.uniformity(first), abs=1e-4)
    measured = measure(tensor(first), tensor(second), None, epoch=3, step=70, knn=0.5)
    assert measured == Health(
        epoch=3,
        step=70,
        knn_accuracy=0.5,
        spread=pytest.approx(by_hand.spread(first), rel=1e-4),
        effective_rank=pytest.approx(by_hand.effective_rank(first), rel=1e-4),
        similarity_gap=pytest.approx(by_hand.similarity_gap(first, second), abs=1e-4),
        alignment=pytest.approx(expected, rel=1e-4),
        uniformity=pytest.approx(by_hand.uniformity(first), abs=1e-4),
    )


def test_spread_is_one_for_even_directions_and_zero_for_one() -> None:
    assert spread(unit(cloud(4000, 64))) == pytest.approx(1, abs=0.01)
    assert spread(unit(np.tile(cloud(1, 64), (50, 1)))) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("k", [1, 3, 8])
def test_effective_rank_counts_equal_orthogonal_directions(k: int) -> None:
    turned, _ = np.linalg.qr(cloud(8, 8))
    rows = np.repeat(turned[:k], 5, axis=0)
    assert effective_rank(tensor(7 * rows)) == pytest.approx(k, rel=1e-5)


def test_effective_rank_of_what_is_not_there() -> None:
    assert effective_rank(torch.zeros(5, 3)) == 1
    for value in (math.nan, math.inf):
        rows = torch.ones(5, 3)
        rows[2, 1] = value
        assert math.isnan(effective_rank(rows))
    assert math.isnan(effective_rank(torch.full((5, 3), math.nan)))


def test_views_that_agree_have_a_gap_and_the_same_direction_has_none() -> None:
    first = np.eye(6)
    perfect = measure(tensor(first), tensor(2 * first), None, epoch=1, step=9, knn=None)
    assert perfect.similarity_gap == pytest.approx(1)
    assert perfect.alignment == pytest.approx(0, abs=1e-6)
    # All pairs of images are √2 apart: log exp(−2 · 2).
    assert perfect.uniformity == pytest.approx(-4)
    constant = measure(torch.ones(6, 3), torch.ones(6, 3), None, epoch=1, step=9, knn=None)
    assert constant.similarity_gap == pytest.approx(0, abs=1e-6)
    assert constant.uniformity == pytest.approx(0, abs=1e-5)


def answered(answers: np.ndarray) -> Health:
    rows = torch.randn(len(answers), 4, generator=torch.Generator().manual_seed(0))
    return measure(rows, rows, tensor(answers), epoch=1, step=9, knn=None)


def test_the_teachers_answers_in_nats() -> None:
    uniform = answered(np.full((10, 8), 1 / 8))
    assert uniform.teacher_entropy == pytest.approx(math.log(8), abs=1e-5)
    assert uniform.teacher_information == pytest.approx(0, abs=1e-5)
    constant = answered(np.tile(np.eye(8)[3], (10, 1)))
    assert constant.teacher_entropy == pytest.approx(0, abs=1e-6)
    assert constant.teacher_information == pytest.approx(0, abs=1e-6)
    perfect = answered(np.eye(8))
    assert perfect.teacher_entropy == pytest.approx(0, abs=1e-6)
    assert perfect.teacher_information == pytest.approx(math.log(8), abs=1e-5)
    assert perfect.answers == 8


def test_information_is_the_mean_divergence_from_the_mean_answer() -> None:
    answers = np.random.default_rng(0).dirichlet(np.full(6, 0.3), 12)
    health = answered(answers)
    assert health.teacher_information == pytest.approx(by_hand.information(answers), abs=1e-5)
    entropy = np.mean([by_hand.entropy(row) for row in answers])
    assert health.teacher_entropy == pytest.approx(entropy, abs=1e-5)


@pytest.mark.parametrize("k", [1, 4, 9])
def test_knn_is_scikit_learns(k: int) -> None:
    generator = np.random.default_rng(0)
    labels, of_val = generator.integers(0, 3, 60), generator.integers(0, 3, 40)
    middles = generator.normal(0, 1, (3, 5))
    train = middles[labels] + generator.normal(0, 1, (60, 5))
    val = middles[of_val] + generator.normal(0, 1, (40, 5))
    reference = KNeighborsClassifier(
        k, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07)
    )
    expected = reference.fit(train, labels).score(val, of_val)
    assert 0.4 < expected < 1
    accuracy = knn_accuracy(
        tensor(train), torch.from_numpy(labels), tensor(val), torch.from_numpy(of_val), k=k
    )
    assert accuracy == pytest.approx(expected)


def test_near_neighbours_outvote_more_of_the_far() -> None:
    """Weights are not decoration: two far ones would win by number."""
    train = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.6, -0.8]])
    labels = torch.tensor([1, 0, 0])
    val = torch.tensor([[1.0, 0.01]])
    assert knn_accuracy(train, labels, val, torch.tensor([1]), k=3) == 1


def test_k_is_never_above_the_smallest_class() -> None:
    assert largest_k(torch.tensor([0] * 30 + [1] * 12)) == 10
    assert largest_k(torch.tensor([0] * 30 + [1] * 4)) == 4
    assert largest_k(torch.tensor([0] * 30 + [2] * 1)) == 1  # class 1 does not occur
    assert largest_k(torch.tensor([0] * 30 + [1] * 12), wanted=20) == 12


# Epochs of 30 steps: the second is the first to be judged.
STEPS = 30
HEALTHY = Health(
    epoch=0,
    step=0,
    knn_accuracy=0.7,
    spread=0.8,
    effective_rank=20.0,
    similarity_gap=0.3,
    alignment=0.5,
    uniformity=-2.0,
)
TAUGHT = replace(HEALTHY, teacher_entropy=3.8, teacher_information=0.4, answers=128)
CONSTANT = replace(HEALTHY, spread=0.05, similarity_gap=0.002)
VIEWS = replace(HEALTHY, similarity_gap=0.001)
UNDECIDED = replace(TAUGHT, teacher_entropy=4.851, teacher_information=0.0005)
SAME = replace(TAUGHT, teacher_entropy=0.2, teacher_information=0.01)
TWO = replace(TAUGHT, teacher_entropy=0.25, teacher_information=0.44)  # one of two answers
BROAD = replace(TAUGHT, teacher_entropy=2.5, teacher_information=0.0)  # the same half of them
BROKEN = replace(HEALTHY, spread=math.nan, similarity_gap=math.nan, effective_rank=math.nan)


def told(*epochs: Health, method: str = "byol", begins: int = 2) -> str | None:
    """Judge a healthy beginning and then these epochs."""
    rows = [*[HEALTHY] * begins, *epochs]
    history = [replace(row, epoch=i, step=STEPS * i) for i, row in enumerate(rows)]
    return verdict(history, method)


def test_the_patience_and_the_settling_that_these_tests_assume() -> None:
    assert PATIENCE == 2
    assert STEPS < SETTLED <= 2 * STEPS


# What DINO showed early in a training that ended well: results/dino-temperature-phantom.json.
@pytest.mark.parametrize(
    "healthy", [HEALTHY, TAUGHT, replace(TAUGHT, spread=0.2, similarity_gap=0.01)]
)
def test_nothing_is_said_of_health(healthy: Health) -> None:
    assert told(*[healthy] * 5) is None
    assert verdict([], "byol") is None


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (CONSTANT, "all images get nearly the same embedding (spread 0.050, 1 is even): lower"),
        (VIEWS, "embeddings tell views apart and not images"),
        (UNDECIDED, "the teacher is undecided about every image (of its answers it uses 127.9"),
        (SAME, "the teacher gives nearly the same answer for every image (it uses 1.2 of 128"),
        (TWO, "the teacher gives nearly the same answer for every image (it uses 2.0 of 128"),
        (BROAD, "the teacher gives nearly the same answer for every image (it uses 12.2 of 128"),
        (BROKEN, "embeddings are not finite: lower the learning rate"),
        (replace(TAUGHT, spread=0.05), "all images get nearly the same embedding"),
        (replace(TAUGHT, similarity_gap=0.001), "embeddings tell views apart and not images"),
    ],
)
def test_each_fault_has_its_sentence_and_its_epoch(fault: Health, sentence: str) -> None:
    said = told(HEALTHY, fault, fault, fault, method="dino")
    assert said is not None
    assert said.startswith(f"dino: since epoch 3, {sentence}")
    assert said.count(":") >= 2, "no mend is named"


def test_one_epoch_is_not_enough() -> None:
    assert told(HEALTHY, CONSTANT) is None
    assert told(CONSTANT, HEALTHY, CONSTANT) is None
    assert told(CONSTANT, CONSTANT) is not None


def test_an_episode_that_passed_is_forgotten() -> None:
    assert told(CONSTANT, CONSTANT, CONSTANT, HEALTHY) is None
    assert told(CONSTANT, CONSTANT, HEALTHY, SAME, SAME).startswith("byol: since epoch 5, ")


def test_what_is_said_is_the_last_fault_since_the_first() -> None:
    said = told(SAME, UNDECIDED, UNDECIDED, method="dino")
    assert said.startswith("dino: since epoch 2, the teacher is undecided")


def test_a_network_that_has_hardly_moved_is_not_judged() -> None:
    """It looks like one that has collapsed, but it may only have begun."""
    assert told(*[CONSTANT] * 3, begins=0) is None  # 0, 30 and 60 steps: one is judged
    assert told(*[CONSTANT] * 4, begins=0).startswith("byol: since epoch 2, ")


def test_what_is_not_finite_is_said_at_once() -> None:
    assert told(BROKEN, BROKEN, begins=0) == (
        "byol: since epoch 0, embeddings are not finite: lower the learning rate"
    )


def test_json_has_no_nan() -> None:
    row = BROKEN.as_json()
    assert row["spread"] is None
    assert row["knn_accuracy"] == 0.7
    assert row["teacher_entropy"] is None


def test_who_learns_from_labels_need_not_spread_but_must_tell_images_apart() -> None:
    """Two classes, each in one place: a gap of one, and hardly a spread in 128 dimensions."""
    places = np.zeros((40, 128))
    places[np.arange(40), np.arange(40) % 2] = 1
    learnt = replace(HEALTHY, spread=spread(unit(places)), similarity_gap=0.5)
    assert learnt.spread < 0.3
    assert told(learnt, learnt, method="supcon") is None
    assert "nearly the same embedding" in (told(learnt, learnt, method="simclr") or "")
    assert "tell views apart" in (told(CONSTANT, CONSTANT, method="supcon") or "")
