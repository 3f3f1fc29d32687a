import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from brainssl.reporting.figures.curves import class_styles, pr_curves, roc_curves


def _traces(figure: object) -> list[dict[str, object]]:
    specified = json.loads(figure.specification)  # type: ignore[attr-defined]
    return [trace for trace in specified["data"] if trace.get("name")]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_curves_enclose_the_area_that_scikit_learn_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(3), rng.integers(0, 3, 80)])
    scores = rng.dirichlet(np.ones(3), len(labels)).round(2)
    roc = _traces(roc_curves(labels, scores, ["a", "b", "c"], "roc", "model"))
    pr = _traces(pr_curves(labels, scores, ["a", "b", "c"], "pr", "model"))
    for index, (first, second) in enumerate(zip(roc, pr, strict=True)):
        positive = labels == index
        area = roc_auc_score(positive, scores[:, index])
        assert auc(first["x"], first["y"]) == pytest.approx(area, abs=2e-3)
        assert float(str(first["name"]).split()[-1]) == pytest.approx(area, abs=5.1e-4)
        precision = average_precision_score(positive, scores[:, index])
        recall, height = np.array(second["x"]), np.array(second["y"])
        steps = -np.sum(np.diff(recall) * height[:-1])
        assert steps == pytest.approx(precision, abs=2e-3)
        assert float(str(second["name"]).split()[-1]) == pytest.approx(precision, abs=5.1e-4)


def test_long_curves_are_thinned_and_keep_their_area() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 20_000)
    first = 1 / (1 + np.exp(rng.normal(labels, 1.0)))
    scores = np.stack([first, 1 - first], axis=1)
    trace = _traces(roc_curves(labels, scores, ["a", "b"], "roc", "model"))[0]
    assert len(trace["x"]) <= 300  # type: ignore[arg-type]
    assert auc(trace["x"], trace["y"]) == pytest.approx(
        roc_auc_score(labels == 0, scores[:, 0]), abs=2e-3
    )


def test_a_class_without_images_has_no_curve() -> None:
    labels = np.array([0, 0, 1, 1])
    scores = np.full((4, 3), 1 / 3)
    assert len(_traces(roc_curves(labels, scores, ["a", "b", "c"], "roc", "model"))) == 2


def test_classes_are_told_apart_by_colour_and_dash() -> None:
    sequences = [f"{family} {s}" for family in ("A", "B") for s in ("T1", "T1C+", "T2")]
    styles = class_styles(sequences)
    assert styles[0]["color"] == styles[1]["color"] != styles[3]["color"]
    assert styles[0]["dash"] == styles[3]["dash"] != styles[1]["dash"]
    for names in (sequences, [f"class {i}" for i in range(30)]):
        assert len({tuple(style.items()) for style in class_styles(names)}) == len(names)


def test_a_table_and_all_sequences_tell_classes_apart() -> None:
    names = [f"c{i}" for i in range(10)]
    order = ["T1", "T1C+", "T2", "FLAIR", "PD", "DWI", "ADC"]
    told = {name: ["A", s] for name, s in zip(names, [*order, ""], strict=False)}
    told |= {"c8": ["B", "T1"], "c9": ["B", "FLAIR"]}
    styles = class_styles(names, told)
    assert len({tuple(style.items()) for style in styles}) == len(names)
    assert len({style["color"] for style in styles}) == 2
    assert (styles[8]["dash"], styles[9]["dash"]) == (styles[0]["dash"], styles[3]["dash"])
    # Two classes that a table makes the same pair are drawn apart all the same.
    same = class_styles(["x", "y"], {"x": ["A", "T1"], "y": ["A", "T1"]})
    assert same[0] != same[1]
