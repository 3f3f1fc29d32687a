"""A whole study from two starts, in folds: each is measured as it is, fine-tuned and pretrained."""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from oracles.small_plan import FAST, small_plan
from oracles.starts import any_start
from oracles.steps_alone import work

from brainssl.data.store import ImageStore
from brainssl.foundation.progress import Terminal
from brainssl.reporting.findings.starts import said, worths
from brainssl.reporting.study import read_study
from brainssl.studies.grid import grid
from brainssl.studies.plan import Plan
from brainssl.studies.run import Study

STARTS = ("random", "imagenet")
ARMS = {
    ("untrained", "linear"),
    ("simclr", "linear"),
    ("simclr", "finetune"),
    ("supervised", "supervised"),
}


@pytest.fixture(scope="module", autouse=True)
def _weights() -> Iterator[None]:
    with any_start():
        yield


@pytest.fixture(scope="module")
def plan(shared_store: ImageStore) -> Plan:
    return small_plan(shared_store.path, FAST, folds=2, explained=2, starts=STARTS, classical=True)


@pytest.fixture(scope="module")
def grown(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Path, int]]:
    """A study that began with one start and was given the other; and the steps of the first."""
    out = tmp_path_factory.mktemp("starts") / "out"
    work(replace(plan, starts=("random",)), out)
    before = {step: step.stat().st_mtime_ns for step in (out / "steps").iterdir()}
    Study(plan, out, Terminal(quiet=True)).run()
    return out, before


@pytest.fixture(scope="module")
def out(grown: tuple[Path, dict[Path, int]]) -> Path:
    return grown[0]


def held(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text("utf-8"))
    return found


def predictions(out: Path, name: str) -> pd.DataFrame:
    frame = pd.read_parquet(out / "pooled" / name / "predictions.parquet")
    return frame[frame["split"] == "test"].set_index("image_id").sort_index()


def test_a_begun_study_grows_by_a_start(plan: Plan, grown: tuple[Path, dict[Path, int]]) -> None:
    out, before = grown
    after = {step: step.stat().st_mtime_ns for step in (out / "steps").iterdir()}
    assert {step: after[step] for step in before} == before
    assert {step.name for step in after.keys() - before.keys()} == {
        step.name for step in grid(plan) if "-from-imagenet-" in step.name
    }


def test_each_start_has_its_rows(out: Path) -> None:
    pooled = [row for row in held(out)["rows"] if (row["fold"], row["split"]) == ("all", "test")]
    own = [row for row in pooled if row["start"]]
    assert sorted((row["start"], row["method"], row["stage"]) for row in own) == sorted(
        (start, *arm) for start, arm in product(STARTS, ARMS)
    )
    assert len({row["step"] for row in pooled}) == len(pooled)
    # Hand-made features begin with no weights, and one control tells whether labels leak.
    classical = [row for row in pooled if not row["start"]]
    assert sorted(row["method"] for row in classical) == ["decision_tree", "knn", "lda", "svm"]
    control = {r["start"] for r in held(out)["rows"] if r["method"] == "random_labels"}
    assert control == {"random"}


def test_the_starts_differ_and_their_names_are_kept(out: Path) -> None:
    told = held(out)["study"]["starts"]
    assert told == [{"name": name, "weights": name, "digest": None} for name in STARTS]
    one, other = (
        predictions(out, f"untrained-linear{mark}-grouped-f1-s0") for mark in ("", "-from-imagenet")
    )
    logits = [column for column in one if str(column).startswith("logit")]
    assert not np.allclose(one[logits], other[logits])


def test_every_pair_of_models_is_compared_across_starts(out: Path) -> None:
    analysis = held(out)["analysis"]
    sides = {
        tuple(sorted("/".join(pair[side].values()) for side in ("first", "second")))
        for pair in analysis["comparisons"]
    }
    models = 2 * len(ARMS) + 2  # one classical baseline, and one ensemble
    assert len(sides) == models * (models - 1) // 2
    assert {m["start"] for row in analysis["ensembles"] for m in row["members"]} <= set(STARTS)
    assert {m["start"] for m in analysis["explanations"]["models"]} == set(STARTS)


def test_differences_are_those_of_the_pooled_predictions(out: Path) -> None:
    """Accuracy from the logits, one image each; and Holm's correction by its definition."""

    def accuracy(method: str, stage: str, start: str) -> float:
        mark = "" if start == "random" else f"-from-{start}"
        frame = predictions(out, f"{method}-{stage}{mark}-grouped-f1-s0")
        logits = frame[[c for c in frame if str(c).startswith("logit")]].to_numpy()
        classes = held(out)["study"]["classes"]
        named = np.array(classes)[logits.argmax(1)]
        return float((named == frame["label"].to_numpy()).mean())

    found = worths(read_study(out))
    assert [one.start for one in found] == list(STARTS)
    contrasts = []
    for one in found:
        assert one.frozen is not None
        assert one.trained is not None
        pairs = [
            (one.frozen, ("simclr", "linear"), ("untrained", "linear")),
            (one.trained, ("simclr", "finetune"), ("supervised", "supervised")),
        ]
        for contrast, first, second in pairs:
            gap = accuracy(*first, one.start) - accuracy(*second, one.start)
            assert contrast.difference == pytest.approx(gap)
            contrasts.append(contrast)
        contrasts += [one.itself] if one.itself else []
    assert found[0].itself is None
    assert found[1].itself is not None
    start_alone = accuracy("supervised", "supervised", "imagenet")
    start_alone -= accuracy("supervised", "supervised", "random")
    assert found[1].itself.difference == pytest.approx(start_alone)
    assert len(contrasts) == 5
    ranked = sorted(contrasts, key=lambda one: one.p_value)
    for place, one in enumerate(ranked):
        least = [(5 - i) * ranked[i].p_value for i in range(place + 1)]
        assert one.p_holm == pytest.approx(min(1.0, max(least)))


def test_the_report_tells_what_self_supervision_adds(out: Path) -> None:
    page = (out / "report.html").read_text("utf-8")
    for sentence in said(worths(read_study(out))):
        assert sentence in html.unescape(page)
    assert "What self-supervision adds" in page
    assert "SimCLR from ImageNet, fine-tuned" in page
    assert "ImageNet weights as they are" in page
    anchors = re.findall(r' id="([^"]*(?:simclr|start|untrained)[^"]*)"', page)
    assert any("-from-imagenet" in anchor for anchor in anchors)
    assert len(set(anchors)) == len(anchors)


def test_with_one_start_nothing_is_said_of_it(plan: Plan, out: Path, tmp_path: Path) -> None:
    """A study asked for one start again reports that one alone, in the words of before."""
    Study(replace(plan, starts=("random",)), out, Terminal(quiet=True)).run()
    page = (out / "report.html").read_text("utf-8")
    assert "from ImageNet" not in page
    assert "What self-supervision adds" not in page
    assert {row["start"] for row in held(out)["rows"]} == {"random", None}
    assert "Supervised baseline" in page
