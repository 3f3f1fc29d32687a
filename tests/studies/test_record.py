"""The record: what is said of steps that machines computed differently."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainssl.data.dataset import Data
from brainssl.data.duplicates import Pairs
from brainssl.data.folds import make_folds
from brainssl.data.prepare import write_store
from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.settings import load_settings
from brainssl.studies.identity import differing, identity
from brainssl.studies.plan import Plan
from brainssl.studies.record import describe, environment


def plan_of(store: ImageStore, *overrides: str) -> Plan:
    settings, reasons = load_settings("quick", ["encoder.image_size=32", *overrides])
    return Plan(
        source=store.path,
        labels=None,
        methods=("simclr",),
        protocols=("grouped",),
        label_fractions=(1.0,),
        seeds=1,
        seed=0,
        preset="quick",
        settings=settings,
        reasons=reasons,
        command="brainssl study",
    )


def warnings(store: ImageStore, *places: dict[str, object]) -> list[str]:
    """Return what a record warns of whose steps ran at these places."""
    data = Data(store, make_split(store.manifest, protocol="grouped", seed=0))
    log = {
        f"step {number}": {"where": place, "seconds": 1.0} for number, place in enumerate(places)
    }
    told = describe(plan_of(store), {("grouped", None): data}, None, [], log)["warnings"]
    return [warning for warning in told if "log/" in warning]


def test_different_precisions_are_said_with_their_steps(shared_store: ImageStore) -> None:
    new = {"device": "CPU", "precision": "bf16-mixed"}
    old = {"device": "CPU", "precision": "32-true"}
    told = warnings(shared_store, new, old, new)
    assert any("2 in bf16-mixed, 1 in 32-true" in warning for warning in told)
    assert warnings(shared_store, new, new) == []
    assert warnings(shared_store, new, {**new, "device": "GPU"}) == [
        "Steps ran on different machines or versions: see log/."
    ]


def test_warnings_of_splits_name_their_folds(shared_store: ImageStore) -> None:
    plan = replace(plan_of(shared_store), folds=3)
    splits = make_folds(shared_store.manifest, folds=3)
    warned = [("all",), ("all", "two"), ("all", "one", "two")]
    shared = {
        ("grouped", fold): Data(shared_store, replace(split, warnings=own))
        for fold, split, own in zip(plan.divisions, splits, warned, strict=True)
    }
    told = describe(plan, shared, None, [], {})
    expected = ["all", "folds 2, 3: two", "fold 3: one"]
    assert told["warnings"] == told["splits"]["grouped"]["warnings"] == expected


def test_a_split_is_told_with_what_it_leaves(shared_store: ImageStore, tmp_path: Path) -> None:
    def left(store: ImageStore) -> int | None:
        told = describe(plan_of(store), {("grouped", None): Data(store, split)}, None, [], {})
        return told["splits"]["grouped"]["near_duplicates"]

    split = make_split(shared_store.manifest, protocol="grouped", seed=0)
    ends = [split.indices(shared_store.manifest, part)[0] for part in ("train", "test")]
    facts = {"manifest": shared_store.manifest, "pixels": iter(shared_store.images)}
    near = Pairs(np.array([min(ends)]), np.array([max(ends)]), np.array([0.9], np.float32))
    size = shared_store.size
    assert left(write_store(tmp_path / "near", **facts, size=size, facts={}, near=near)) == 1
    facts["pixels"] = iter(shared_store.images)
    assert left(write_store(tmp_path / "before", **facts, size=size, facts={})) is None


def test_the_classifier_that_is_handed_over_is_a_network(shared_store: ImageStore) -> None:
    """A classical baseline has no file, and may be the best all the same."""
    data = Data(shared_store, make_split(shared_store.manifest, protocol="grouped", seed=0))
    scores = {"random_labels": 0.9, "svm": 0.8, "decision_tree": 0.7, "simclr": 0.5, "byol": 0.4}
    rows = [
        {
            "method": method,
            "split": "val",
            "protocol": "grouped",
            "metrics": {"f1_macro": score},
            "step": f"steps/{method}",
        }
        for method, score in scores.items()
    ]
    best = describe(plan_of(shared_store), {("grouped", None): data}, None, rows, {})["best"]
    assert best["step"] == "steps/simclr"


def test_how_exactly_a_machine_computes_is_no_part_of_a_study(shared_store: ImageStore) -> None:
    plan = plan_of(shared_store)
    for override in ("run.precision=32-true", "run.accelerator=cpu", "run.devices=2"):
        other = plan_of(shared_store, override)
        assert identity(other) == identity(plan)
    assert identity(plan_of(shared_store, "pretrain.epochs=3")) != identity(plan)
    assert identity(replace(plan, seed=1)) != identity(plan)


def test_a_study_of_an_older_version_goes_on(shared_store: ImageStore) -> None:
    """Its identity still holds in which precision it was to compute."""
    own = identity(plan_of(shared_store))
    older = {**own, "settings": {**own["settings"], "run": {"precision": "bf16-mixed"}}}
    assert differing(older, own) == []


def test_a_model_that_lacks_a_fold_is_not_handed_over(shared_store: ImageStore) -> None:
    """It was judged on other images than those that have all."""
    data = Data(shared_store, make_split(shared_store.manifest, protocol="grouped", seed=0))
    scores = {"simclr": (0.9, 0.5, 0.9), "byol": (0.8,)}
    rows = [
        {"method": method, "stage": "linear", "label_fraction": 1.0, "seed": 0, "fold": fold}
        | {"split": "val", "protocol": "grouped", "metrics": {"f1_macro": score}}
        | {"step": f"steps/{method}-{fold}"}
        for method, own in scores.items()
        for fold, score in enumerate(own, start=1)
    ]
    best = describe(plan_of(shared_store), {("grouped", None): data}, None, rows, {})["best"]
    assert best["step"] == "steps/simclr-1"


def test_the_precision_that_is_recorded_is_that_of_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("brainssl.hardware.device.multiplies_bfloat16", lambda: True)
    told = {}
    for name in ("resnet10t", "mobilenetv3_small_100"):
        own = load_settings("quick", [f"encoder.name={name}", "run.accelerator=cpu"])[0]
        told[name] = environment(own)
    assert told["resnet10t"]["precision"] == "bf16-mixed"
    assert told["mobilenetv3_small_100"]["precision"] == "32-true"
    assert "depthwise" in told["mobilenetv3_small_100"]["precision_reason"]
