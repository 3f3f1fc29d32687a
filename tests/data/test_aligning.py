"""Heads that are laid over each other, against pictures moved by SciPy."""

import numpy as np
import pytest
from oracles.made_heads import head_of, prints_of
from scipy.ndimage import affine_transform

from brainssl.data import aligning
from brainssl.data.aligning import aligned
from brainssl.data.duplicates import NEAR
from brainssl.data.turned import turn


def test_aligning_finds_a_turn_a_zoom_and_a_shift() -> None:
    still = prints_of([head_of(patient) for patient in range(6)])[:, 0].astype(np.float32)
    c, s = np.cos(0.08) * 1.06, np.sin(0.08) * 1.06
    matrix, centre = np.array([[c, -s], [s, c]]), np.full(2, 15.5)
    offset = centre - matrix @ centre + [1.1, -0.7]
    moved = np.stack([affine_transform(one, matrix, offset, order=1) for one in still])
    moved /= np.linalg.norm(moved, axis=(1, 2), keepdims=True)
    as_they_lie = (still * moved).sum(axis=(1, 2))
    found = aligned(still, moved, np.zeros(6, np.float32))
    assert as_they_lie.max() < 0.75
    assert found.min() > NEAR


def test_a_batch_is_aligned_as_each_alone() -> None:
    heads = prints_of([head_of(patient) for patient in range(8)])[:, 0].astype(np.float32)
    moved = turn(heads[[0, 1, 2, 3, 4, 5, 7, 6]], 6)
    angle = np.full(8, 10, np.float32)
    together = aligned(heads, moved, angle)
    alone = [aligned(heads[n : n + 1], moved[n : n + 1], angle[:1])[0] for n in range(8)]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_head_that_would_have_to_be_zoomed_too_far_is_no_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its picture of half the side is 0.86 alike on the way: that is no answer either."""
    still = prints_of([head_of(patient) for patient in range(6)])[:, 0].astype(np.float32)
    moved = np.stack([affine_transform(one, np.eye(2) * 1.4, 15.5 - 15.5 * 1.4) for one in still])
    moved = (moved / np.linalg.norm(moved, axis=(1, 2), keepdims=True)).astype(np.float32)
    assert aligned(still, moved, np.zeros(6, np.float32)).max() < NEAR
    monkeypatch.setattr(aligning, "_ZOOM", 100)
    assert aligned(still, moved, np.zeros(6, np.float32)).max() > NEAR
