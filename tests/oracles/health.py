"""Measures of embeddings by NumPy and by loops over pairs, in float64."""

import itertools
import math

import numpy as np


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.sqrt((rows**2).sum(axis=1, keepdims=True))


def spread(rows: np.ndarray) -> float:
    directions = unit(rows)
    deviations = [math.sqrt(np.mean((column - column.mean()) ** 2)) for column in directions.T]
    return math.sqrt(rows.shape[1]) * sum(deviations) / len(deviations)


def effective_rank(rows: np.ndarray) -> float:
    """By the eigenvalues of the Gram matrix, whose roots are the singular values."""
    values = np.sqrt(np.clip(np.linalg.eigvalsh(rows.T @ rows), 0, None))
    shares = values / values.sum()
    return math.exp(-sum(p * math.log(p) for p in shares if p > 0))


def alignment(first: np.ndarray, second: np.ndarray) -> float:
    one, two = unit(first), unit(second)
    return sum(float(((a - b) ** 2).sum()) for a, b in zip(one, two, strict=True)) / len(one)


def uniformity(rows: np.ndarray) -> float:
    pairs = itertools.combinations(unit(rows), 2)
    potentials = [math.exp(-2 * float(((a - b) ** 2).sum())) for a, b in pairs]
    return math.log(sum(potentials) / len(potentials))


def similarity_gap(first: np.ndarray, second: np.ndarray) -> float:
    one, two = unit(first), unit(second)
    own = [float(one[i] @ two[i]) for i in range(len(one))]
    other = [float(one[i] @ two[j]) for i, j in itertools.permutations(range(len(one)), 2)]
    return sum(own) / len(own) - sum(other) / len(other)


def entropy(shares: np.ndarray) -> float:
    return -sum(p * math.log(p) for p in shares.tolist() if p > 0)


def information(answers: np.ndarray) -> float:
    """Mutual information of image and answer: the mean divergence from the mean answer."""
    mean = answers.mean(axis=0)
    return sum(
        sum(p * math.log(p / m) for p, m in zip(row, mean, strict=True) if p > 0) for row in answers
    ) / len(answers)
