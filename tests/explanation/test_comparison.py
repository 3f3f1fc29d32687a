"""Maps of two models on the same slices: by hand, and where nothing is to be found."""

import numpy as np
import pandas as pd
import pytest

from brainssl.explanation.comparison import compare_maps


def measured(values: np.ndarray, *, groups: np.ndarray | None = None) -> pd.DataFrame:
    """Grad-CAM with these values of a measure, and a random map with none of their quality."""
    n = len(values)
    keys = {
        "image_id": [f"i{number}" for number in range(n)],
        "group": np.arange(n) // 2 if groups is None else groups,
    }
    frames = [
        pd.DataFrame(keys | {"map": kind, "energy_inside": own})
        for kind, own in (("gradcam", values), ("random", np.zeros(n)))
    ]
    return pd.concat(frames, ignore_index=True)


def test_a_difference_is_that_of_the_same_slices() -> None:
    rng = np.random.default_rng(0)
    hard = rng.uniform(0, 1, 40)  # what makes a slice hard is hard for both
    models = {"a": measured(hard + 0.05), "b": measured(hard + rng.normal(0, 0.01, 40))}
    (pair,) = compare_maps(models, [("a", "b")], "energy_inside", draws=500)
    first, second = (own[own["map"] == "gradcam"]["energy_inside"] for own in models.values())
    assert pair.difference == pytest.approx((first.to_numpy() - second.to_numpy()).mean())
    assert pair.interval[0] <= pair.difference <= pair.interval[1]
    assert pair.interval[1] - pair.interval[0] < 0.02  # of each alone it would be 0.3 wide
    assert pair.p_value < 0.05


def test_slices_that_one_model_lacks_are_left_out() -> None:
    values = np.linspace(0, 1, 20)
    lacking = values.copy()
    lacking[:4] = np.nan
    (pair,) = compare_maps(
        {"a": measured(values), "b": measured(lacking - 0.25)}, [("a", "b")], "energy_inside"
    )
    assert pair.difference == pytest.approx(0.25)


def test_p_values_are_corrected_for_all_pairs() -> None:
    rng = np.random.default_rng(1)
    models = {name: measured(rng.uniform(0, 1, 60)) for name in "abcd"}
    pairs = [("a", "b"), ("c", "d"), ("a", "c")]
    found = compare_maps(models, pairs, "energy_inside", draws=400)
    assert [(pair.first, pair.second) for pair in found] == pairs
    smallest = min(found, key=lambda pair: pair.p_value)
    assert smallest.p_holm == pytest.approx(min(1, 3 * smallest.p_value))


def test_what_pixels_do_to_a_sure_model_counts_by_what_it_has_over_the_random_map() -> None:
    rng = np.random.default_rng(2)
    gain, unsure = rng.uniform(0, 0.2, 40), rng.uniform(0.1, 0.3, 40)

    def inserted(level: np.ndarray) -> pd.DataFrame:
        frame = measured(level + gain).rename(columns={"energy_inside": "insertion_blurred"})
        frame.loc[frame["map"] == "random", "insertion_blurred"] = level
        return frame

    models = {"unsure": inserted(unsure), "sure": inserted(unsure + 0.5)}
    (pair,) = compare_maps(models, [("unsure", "sure")], "insertion_blurred")
    assert pair.difference == pytest.approx(0, abs=1e-12)


def test_few_groups_cannot_have_a_small_p_value() -> None:
    values = np.linspace(0.5, 0.9, 6)
    models = {"a": measured(values), "b": measured(values - 0.4)}
    (pair,) = compare_maps(models, [("a", "b")], "energy_inside", draws=2000)
    assert pair.interval[0] > 0.3
    assert pair.p_value == pytest.approx(2 / 2**3)  # three groups that agree


def test_without_a_common_measure_or_second_group_nothing_is_claimed() -> None:
    values = np.linspace(0, 1, 10)
    models = {"a": measured(values), "b": measured(values)}
    assert compare_maps(models, [("a", "b")], "iou_best") == []
    one = np.zeros(10, int)
    alone = {name: measured(values, groups=one) for name in "ab"}
    (pair,) = compare_maps(alone, [("a", "b")], "energy_inside")
    assert np.isnan([pair.p_value, *pair.interval]).all()
    assert pair.to_dict()["interval"] is None
