"""Subgroups: their scores and intervals, which are told apart, and that chance tells none apart."""

import json
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brainssl.evaluation.draws import group_weights, strata_of
from brainssl.evaluation.intervals import bootstrap
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.subgroups import LEAST_GROUPS, by_subgroup

CLASSES = ("a", "b", "c")
AGES = {"age": [40.0, 60.0]}


def simulated(
    seed: int, *, patients: int = 40, lost: float = 0.0, slices: int = 3
) -> tuple[Predictions, pd.DataFrame]:
    """Patients of four sites, of whom some are harder than others; one site loses accuracy."""
    generator = np.random.default_rng(seed)
    of = np.repeat(np.arange(patients), slices)
    site, age, label = (generator.integers(low, high, patients) for low, high in _RANGES)
    skill = np.clip(generator.beta(8, 2, patients) - lost * (site == 0), 0, 1)
    labels = label[of]
    said = np.where(generator.random(len(of)) < skill[of], labels, (labels + 1) % 3)
    names = [f"i{at}" for at in range(len(of))]
    model = Predictions.build(
        names, of.astype(np.int64), ["test"] * len(of), labels, np.eye(3)[said], CLASSES
    )
    manifest = pd.DataFrame(
        {
            "image_id": names,
            "patient": [f"p{at}" for at in of],
            "group": of,
            "site": [f"site {one}" for one in site[of]],
            "age": [str(one) for one in age[of]],
            "plane": [("axial", "coronal", None)[at % 3] for at in range(len(of))],
        }
    )
    return model, manifest.sample(frac=1, random_state=seed)


_RANGES = ((0, 4), (20, 90), (0, 3))


def values_of(found: dict[str, Any], column: str) -> dict[str | None, dict[str, Any]]:
    (own,) = (one for one in found["columns"] if one["column"] == column)
    return {value["value"]: value for value in own["values"]}


def smallest_p(found: dict[str, Any]) -> float:
    told = [v["difference"] for c in found["columns"] for v in c["values"] if v["difference"]]
    return min(float(one["p_holm"]) for one in told)


def test_a_subgroup_has_the_scores_and_the_interval_of_its_images_alone() -> None:
    model, manifest = simulated(0)
    found = by_subgroup(model, manifest, AGES, draws=200)
    json.dumps(found, allow_nan=False)
    sites = manifest.set_index("image_id")["site"].reindex(model.frame["image_id"])
    for value, told in values_of(found, "site").items():
        rows = (sites == value).to_numpy()
        alone = Predictions(model.frame[rows].reset_index(drop=True), CLASSES)
        limits = bootstrap(alone, draws=200)
        assert told["n"] == len(alone)
        assert told["groups"] == told["patients"] == len(set(alone.groups))
        assert told["accuracy"] == (alone.predicted == alone.labels).mean()
        for name in ("accuracy", "balanced_accuracy"):
            assert told["intervals"][name] == pytest.approx(limits[name])


def test_the_difference_is_that_of_each_draw_of_groups() -> None:
    """A second way: images are weighed one by one, where the planes of a patient come together."""
    model, manifest = simulated(1)
    told = values_of(by_subgroup(model, manifest, {}, draws=1800), "plane")["axial"]["difference"]
    plane = manifest.set_index("image_id")["plane"].reindex(model.frame["image_id"]).to_numpy()
    known = np.isin(plane, ["axial", "coronal"])
    right = (model.predicted == model.labels)[known]
    ours, of = plane[known] == "axial", model.groups[known]
    expected = []
    for _, weights in group_weights(strata_of(model.labels[known], of), 1800, 0, 100):
        for row in weights:
            image = row[of]
            expected.append(
                np.average(right[ours], weights=image[ours])
                - np.average(right[~ours], weights=image[~ours])
            )
    assert told["difference"] == pytest.approx(right[ours].mean() - right[~ours].mean())
    assert told["interval"] == pytest.approx(np.quantile(expected, [0.025, 0.975]))


def test_few_groups_that_agree_by_chance_are_not_told_apart() -> None:
    """Five groups are all right: no draw of them errs, but dealing all groups anew often does."""
    right = np.array([1] * 5 + [1, 1, 1, 0, 1, 1, 0, 1])
    n = len(right)
    names = [f"i{at}" for at in range(n)]
    labels = np.zeros(n, np.int64)
    model = Predictions.build(
        names, np.arange(n), ["test"] * n, labels, np.eye(3)[1 - right], CLASSES
    )
    manifest = pd.DataFrame({"image_id": names, "site": ["x"] * 5 + ["y"] * 8})
    told = values_of(by_subgroup(model, manifest, {}, draws=4000), "site")["x"]["difference"]
    dealt = [
        right[list(own)].mean() - np.delete(right, list(own)).mean()
        for own in combinations(range(n), 5)
    ]
    exact = 2 * np.mean(np.array(dealt) >= told["difference"] - 1e-9)
    assert told["p_value"] == pytest.approx(exact, abs=0.03)
    assert told["interval"][0] >= 0


def test_too_few_groups_are_named_and_not_scored_and_the_unknown_stand_apart() -> None:
    model, manifest = simulated(2)
    owner = manifest["patient"].str.removeprefix("p").astype(int)
    manifest["site"] = np.select([owner < 3, owner < 20, owner < 36], ["few", "b", "c"], "")
    found = by_subgroup(model, manifest, AGES, draws=100)
    told = values_of(found, "site")
    assert list(told) == ["b", "c", "few", None]
    assert told["few"]["n"] == 9
    assert told["few"]["accuracy"] is None
    assert told["few"]["why"] == f"3 groups, fewer than {LEAST_GROUPS}"
    assert told[None]["groups"] == 4
    assert told[None]["accuracy"] is None
    assert [told[name]["difference"] is not None for name in told] == [True, True, False, False]
    (site,) = (one for one in found["columns"] if one["column"] == "site")
    assert site["unknown"] == 12
    planes = values_of(found, "plane")
    assert planes[None]["accuracy"] is not None
    assert planes[None]["difference"] is None


def test_two_values_are_one_comparison_seen_from_both_sides() -> None:
    model, manifest = simulated(3)
    one, other = (
        by_subgroup(model, manifest.drop(columns=leave), {}, draws=100)
        for leave in (["site", "age"], ["age"])
    )
    assert one["compared"] == 1
    assert other["compared"] == 1 + 4
    axial, coronal = (values_of(one, "plane")[name]["difference"] for name in ("axial", "coronal"))
    assert axial["difference"] == -coronal["difference"]
    assert axial["interval"] == [-end for end in reversed(coronal["interval"])]
    assert axial["p_holm"] == coronal["p_holm"] == axial["p_value"]
    assert values_of(other, "plane")["axial"]["difference"]["p_holm"] >= axial["p_value"]


def test_an_effect_is_found_and_chance_finds_none() -> None:
    """Of 16 data sets without an effect, at 5 %, four are hit less than once in 100 times."""

    def found(seed: int, lost: float = 0.0) -> dict[str, Any]:
        model, manifest = simulated(seed, lost=lost)
        return by_subgroup(model, manifest.drop(columns="age"), {}, draws=100)

    assert sum(smallest_p(found(seed)) < 0.05 for seed in range(16)) <= 3
    told = [values_of(found(seed, 0.55), "site")["site 0"]["difference"] for seed in range(5)]
    assert sum(one["p_holm"] < 0.05 and one["interval"][1] < 0 for one in told) >= 4


def test_nothing_known_is_nothing_told() -> None:
    model, manifest = simulated(4)
    assert by_subgroup(model, manifest[["image_id", "patient", "group"]], {}) == {}
    assert by_subgroup(model, pd.DataFrame({"image_id": []}), {}) == {}
