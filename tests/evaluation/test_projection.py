"""Maps of features: neighbours stay neighbours, the same input gives the same map."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jaxtyping import Float32

from brainssl.evaluation.projection import Projections, project, trust
from brainssl.foundation.errors import BrainsslError


def clusters(n: int = 90, dim: int = 8) -> Float32[np.ndarray, "n dim"]:
    """Three far clusters, image i in cluster i % 3."""
    rng = np.random.default_rng(0)
    centres = 20 * np.eye(dim)[:3]
    return (centres[np.arange(n) % 3] + rng.normal(0, 1, (n, dim))).astype(np.float32)


def test_neighbours_by_the_features_are_neighbours_on_the_map() -> None:
    features = clusters()
    points = project(features)
    assert points.shape == (90, 2)
    assert points.dtype == np.float32
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (distances.argmin(axis=1) % 3 == np.arange(90) % 3).all()
    assert trust(features, points) > 0.9


def test_a_map_at_random_is_not_trusted() -> None:
    features = clusters()
    points = np.random.default_rng(1).normal(size=(90, 2)).astype(np.float32)
    assert 0.4 < trust(features, points) < 0.6
    assert trust(features, features[:, :2]) < trust(features, project(features))


def test_trust_is_the_formula_of_venna_and_kaski() -> None:
    """By hand: how far down the features' ranking stand those who are near on the map only."""
    rng = np.random.default_rng(2)
    features = rng.normal(size=(9, 3)).astype(np.float32)
    points = rng.normal(size=(9, 2)).astype(np.float32)
    n, k, penalty = 9, 4, 0
    for i in range(n):
        far = np.linalg.norm(features - features[i], axis=1).argsort(kind="stable")
        near = np.linalg.norm(points - points[i], axis=1).argsort(kind="stable")
        rank = {int(j): r for r, j in enumerate(far)}
        penalty += sum(max(0, rank[int(j)] - k) for j in near[1 : k + 1])
    expected = 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * penalty
    assert trust(features, points) == pytest.approx(expected)


def test_the_same_features_and_seed_give_the_same_bytes() -> None:
    features = clusters(40)
    assert project(features, 3).tobytes() == project(features, 3).tobytes()


@pytest.mark.parametrize("n", [5, 12])
def test_few_images_have_a_map_too(n: int) -> None:
    points = project(clusters(n))
    assert np.isfinite(points).all()
    assert 0 <= trust(clusters(n), points) <= 1


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (np.zeros((4, 8), np.float32), "needs 5"),
        (np.ones((9, 1), np.float32), "wider encoder"),
        (np.full((9, 8), np.nan, np.float32), "diverged"),
        (np.ones((9, 8), np.float32), "collapsed"),
    ],
)
def test_features_of_no_use_are_refused(features: Float32[np.ndarray, "n dim"], told: str) -> None:
    with pytest.raises(BrainsslError, match=told):
        project(features)


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": ["a", "b"],
            "row": np.array([3, 7]),
            "label": ["Glioma T1", "Normal T2"],
            "method": "untrained",
            "moment": "before",
            "start": "",
            "x": np.array([0.5, -1.25], np.float32),
            "y": np.array([2.0, 1e-3], np.float32),
            "trust": 0.75,
        }
    )


def test_maps_come_back_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "projections.parquet"
    Projections(frame(), {"seed": 3}).save(path)
    loaded = Projections.load(path)
    pd.testing.assert_frame_equal(loaded.frame, frame(), check_dtype=False)
    assert loaded.facts == {"seed": 3}


def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "projections.parquet"
    with pytest.raises(BrainsslError, match="missing or damaged"):
        Projections.load(path)
    Projections(frame(), {}).save(path)
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(BrainsslError, match="missing or damaged"):
        Projections.load(path)
    frame().to_parquet(path)
    with pytest.raises(BrainsslError, match="missing or damaged"):
        Projections.load(path)
