"""Means, intervals that respect groups, and gains over maps that know nothing."""

import numpy as np
import pandas as pd
import pytest

from brainssl.evaluation.draws import group_weights
from brainssl.explanation.scorecard import mean_of, scorecard


def measured(n: int = 40, per_group: int = 4) -> pd.DataFrame:
    """A map that is better than random by 0.2 in pointing, and by 0.1 in deletion."""
    rng = np.random.default_rng(0)
    base = rng.uniform(0.2, 0.6, n)
    frames = []
    for name, gain in (("gradcam", 0.2), ("random", 0.0), ("centre", 0.3)):
        frames.append(
            pd.DataFrame(
                {
                    "image_id": [f"i{i}" for i in range(n)],
                    "group": np.arange(n) // per_group,
                    "map": name,
                    "pointing": base + gain,
                    "deletion_blurred": base - gain / 2,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def test_means_and_gains_are_those_of_the_images() -> None:
    frame = measured()
    scores = {(s.map, s.measure): s for s in scorecard(frame, draws=200)}
    own = frame[frame["map"] == "gradcam"]
    pointing, deletion = scores["gradcam", "pointing"], scores["gradcam", "deletion_blurred"]
    assert pointing.mean == pytest.approx(own["pointing"].mean())
    assert (pointing.n, pointing.groups) == (40, 10)
    assert pointing.over["random"]["difference"] == pytest.approx(0.2)
    assert pointing.over["random"]["interval"] == pytest.approx((0.2, 0.2))
    assert pointing.over["centre"]["difference"] == pytest.approx(-0.1)
    # Less is better: the gain is positive all the same.
    assert deletion.over["random"]["difference"] == pytest.approx(0.1)
    assert set(scores["random", "pointing"].over) == {"centre"}


def test_images_without_a_value_are_left_out_on_both_sides() -> None:
    frame = measured()
    frame.loc[(frame["map"] == "gradcam") & (frame["group"] == 0), "pointing"] = np.nan
    frame.loc[(frame["map"] == "random") & (frame["group"] == 1), "pointing"] = np.nan
    score = next(s for s in scorecard(frame, draws=50) if s.measure == "pointing")
    assert score.map == "gradcam"
    assert (score.n, score.groups) == (36, 9)
    assert score.over["random"]["difference"] == pytest.approx(0.2)


def test_the_interval_is_that_of_drawing_groups_by_hand() -> None:
    frame = measured(30, per_group=5)
    values = frame[frame["map"] == "gradcam"].set_index(["group", "image_id"])["pointing"]
    mean, interval = mean_of(values, 300, 3)
    means = []
    for _, weights in group_weights(np.zeros(6, np.int64), 300, 3, 64):
        for drawn in weights.astype(int):
            chosen = [values.loc[g].to_numpy() for g in range(6) for _ in range(drawn[g])]
            means.append(np.concatenate(chosen).mean())
    assert mean == pytest.approx(values.mean())
    assert interval == pytest.approx(tuple(np.quantile(means, (0.025, 0.975))))


def test_one_group_has_no_interval() -> None:
    frame = measured(4, per_group=4)
    assert all(score.interval is None for score in scorecard(frame, draws=50))


def test_a_measure_that_no_image_has_is_not_reported() -> None:
    frame = measured().assign(energy_inside=np.nan)
    assert "energy_inside" not in {score.measure for score in scorecard(frame, draws=50)}


def test_slices_of_one_patient_count_as_one() -> None:
    """The same values in one group each, or in few groups of equal images."""
    rng = np.random.default_rng(1)
    few = np.repeat(rng.uniform(0, 1, 10), 8)
    index = [
        pd.MultiIndex.from_arrays([g, np.arange(80)], names=["group", "image_id"])
        for g in (np.arange(80), np.arange(80) // 8)
    ]
    _, alone = mean_of(pd.Series(few, index[0]), 500, 0)
    _, clustered = mean_of(pd.Series(few, index[1]), 500, 0)
    assert alone
    assert clustered
    assert clustered[1] - clustered[0] > 2 * (alone[1] - alone[0])
