"""The grid: every cell once, each step after the one whose encoder it takes."""

from dataclasses import replace
from pathlib import Path

import pytest
from oracles.small_plan import small_plan

from brainssl.data.shots import Shots
from brainssl.studies.grid import Step, grid, reported
from brainssl.studies.plan import Plan
from brainssl.training.classical import FAMILIES


@pytest.fixture
def plan() -> Plan:
    return small_plan(
        Path("images"),
        methods=("simclr", "byol"),
        protocols=("grouped", "image"),
        label_fractions=(0.1, 1.0),
        seeds=3,
        seed=5,
        reasons={},
    )


def test_there_is_one_step_for_each_cell(plan: Plan) -> None:
    steps = grid(plan)
    kinds = [("linear", "untrained"), ("supervised", "supervised")]
    kinds += [(stage, method) for stage in ("linear", "finetune") for method in plan.methods]
    expected = {
        (stage, method, protocol, seed, fraction)
        for stage, method in kinds
        for protocol in ("grouped", "image")
        for seed in (5, 6, 7)
        for fraction in (0.1, 1.0)
    } | {
        ("pretrain", method, protocol, seed, None)
        for method in plan.methods
        for protocol in ("grouped", "image")
        for seed in (5, 6, 7)
    }
    expected |= {
        ("linear", "random_labels", protocol, seed, 1.0)
        for protocol in ("grouped", "image")
        for seed in (5, 6, 7)
    }
    assert {(s.stage, s.method, s.protocol, s.seed, s.label_fraction) for s in steps} == expected
    assert len(steps) == len(expected) == len({step.name for step in steps})


def test_a_method_that_learns_from_labels_is_pretrained_once_for_each_fraction(plan: Plan) -> None:
    taught = grid(replace(plan, methods=("supcon",), protocols=("grouped",), seeds=1))
    names = [step.name for step in taught if step.stage == "pretrain"]
    assert names == [f"pretrain-supcon-grouped-f{fraction}-s5" for fraction in ("0.1", "1")]
    after = {step.name: step.pretraining for step in taught if step.method == "supcon"}
    assert after["linear-supcon-grouped-f0.1-s5"] == names[0]
    assert after["finetune-supcon-grouped-f1-s5"] == names[1]


def test_a_semi_supervised_method_is_trained_once_for_each_fraction(plan: Plan) -> None:
    """Beside the baseline, of which it has the stage; the names of other steps stay."""
    few = replace(plan, methods=("simclr",), protocols=("grouped",), seeds=1)
    both = replace(few, methods=("simclr", "fixmatch"), folds=2, starts=("random", "imagenet"))
    own = [step for step in grid(both) if step.method == "fixmatch"]
    assert [(step.stage, step.pretraining) for step in own] == [("supervised", None)] * 8
    assert [step.name for step in own[:3]] == [
        "supervised-fixmatch-grouped-k1of2-f0.1-s5",
        "supervised-fixmatch-grouped-k1of2-f1-s5",
        "supervised-fixmatch-from-imagenet-grouped-k1of2-f0.1-s5",
    ]
    others = replace(both, methods=("simclr",))
    assert [step for step in grid(both) if step.method != "fixmatch"] == grid(others)
    tuned = [s for s in grid(replace(few, methods=("fixmatch",), trials=2)) if s.tuned]
    assert {step.name for step in tuned} == {
        f"tuned2-supervised{method}-grouped-f{fraction}-s5"
        for method in ("", "-fixmatch")
        for fraction in ("0.1", "1")
    }


def test_classical_baselines_come_last_and_need_no_encoder(plan: Plan) -> None:
    with_them = grid(replace(plan, classical=True, protocols=("grouped",), seeds=1))
    own = [step for step in with_them if step.stage == "classical"]
    assert with_them[-len(own) :] == own
    assert {(step.method, step.label_fraction) for step in own} == {
        (family, fraction) for family in FAMILIES for fraction in (0.1, 1.0)
    }
    assert own[-1].name == "classical-knn-grouped-f1-s5"
    assert all(step.measured and step.pretraining is None for step in own)


def test_shots_are_steps_like_shares(plan: Plan) -> None:
    steps = grid(replace(plan, label_fractions=(Shots(8), 0.1)))
    names = {step.name for step in steps}
    assert {"finetune-byol-image-f8-shot-s5", "supervised-grouped-f0.1-s6"} <= names
    assert "linear-random_labels-grouped-f0.1-s5" in names
    assert len(names) == len(steps)


def test_a_pretraining_comes_before_those_that_need_it(plan: Plan) -> None:
    names = [step.name for step in grid(plan)]
    needs = {step.name: step.pretraining for step in grid(plan)}
    for name, pretraining in needs.items():
        fresh = "untrained" in name or "random_labels" in name
        trained = name.startswith(("linear-", "finetune-")) and not fresh
        assert (pretraining is not None) == trained
        if pretraining:
            assert names.index(pretraining) < names.index(name)


def test_names_tell_the_cell() -> None:
    step = Step("linear", "byol", "grouped", 2, 0.1)
    assert step.name == "linear-byol-grouped-f0.1-s2"
    assert step.pretraining == "pretrain-byol-grouped-s2"
    assert step.measured
    assert not Step("pretrain", "byol", "grouped", 2).measured
    assert Step("supervised", "supervised", "image", 0, 1.0).name == "supervised-image-f1-s0"


def test_more_methods_and_seeds_keep_the_names_of_the_others(plan: Plan) -> None:
    few = {step.name for step in grid(replace(plan, methods=("byol",), seeds=1))}
    assert few < {step.name for step in grid(plan)}


def test_every_fold_has_its_own_steps(plan: Plan) -> None:
    few = replace(plan, protocols=("grouped",), seeds=1, methods=("byol",), label_fractions=(1.0,))
    steps = grid(replace(few, folds=3))
    assert {step.fold.number for step in steps if step.fold} == {1, 2, 3}
    byol = [step for step in steps if step.method == "byol"]
    assert [step.name for step in byol[:3]] == [
        "pretrain-byol-grouped-k1of3-s5",
        "linear-byol-grouped-k1of3-f1-s5",
        "finetune-byol-grouped-k1of3-f1-s5",
    ]
    for step in byol:
        if step.pretraining:
            assert step.pretraining == f"pretrain-byol-grouped-{step.fold.name}-s5"
    assert len([step for step in steps if step.method == "random_labels"]) == 1
    assert not {step.name for step in steps} & {step.name for step in grid(few)}
    left_out = grid(replace(few, folds=2, leave_out="site"))
    assert left_out[0].name == "linear-untrained-grouped-site-1of2-f1-s5"


def test_every_method_and_the_baseline_have_as_many_trials(plan: Plan) -> None:
    few = replace(plan, protocols=("grouped",), seeds=1, classical=True)
    steps = grid(replace(few, trials=3))
    tried: dict[tuple[str, str], list[int]] = {}
    for step in steps:
        if not step.tuned and step.label_fraction in (None, 1.0):
            tried.setdefault((step.stage, step.method), []).append(step.trial)
    searched = {key for key, own in tried.items() if own == [1, 2, 3]}
    stages = ("pretrain", "linear", "finetune")
    assert searched == {(stage, method) for stage in stages for method in plan.methods} | {
        ("supervised", "supervised")
    }
    assert all(own == [1] for key, own in tried.items() if key not in searched)
    assert len({step.name for step in steps}) == len(steps)
    assert grid(replace(few, trials=1)) == grid(few)


def test_a_choice_comes_after_all_that_it_chooses_from(plan: Plan) -> None:
    names = [step.name for step in grid(replace(plan, trials=2))]
    choices = [step for step in grid(replace(plan, trials=2)) if step.tuned]
    assert len(choices) == 5 * 2 * 3 * 2  # arms × protocols × seeds × label fractions
    for step in choices:
        assert len(step.candidates) == 2
        assert all(names.index(one.name) < names.index(step.name) for one in step.candidates)
        assert step.pretraining is None


def test_names_tell_the_trial_and_how_many_there_were() -> None:
    step = Step("finetune", "byol", "grouped", 2, 0.1, trial=3)
    assert step.name == "finetune-byol-grouped-f0.1-s2-t3"
    assert step.pretraining == "pretrain-byol-grouped-s2-t3"
    chosen = Step("finetune", "byol", "grouped", 2, 0.1, trials=4)
    assert chosen.name == "tuned4-finetune-byol-grouped-f0.1-s2"
    assert [one.name[-3:] for one in chosen.candidates] == ["-s2", "-t2", "-t3", "-t4"]
    assert Step("supervised", "supervised", "image", 0, 1.0, trials=2).name.startswith("tuned2-sup")


def test_what_is_reported_is_what_was_chosen_and_what_had_no_choice(plan: Plan) -> None:
    few = replace(plan, protocols=("grouped",), seeds=1, label_fractions=(1.0,), classical=True)
    plain = reported(few)
    assert plain == [step for step in grid(few) if step.measured]
    searched = reported(replace(few, trials=2))
    assert len(searched) == len(plain)
    controls = {"untrained", "random_labels", *FAMILIES}
    assert all(step.tuned == (step.method not in controls) for step in searched)
    assert all(step.trial == 1 for step in searched)


def test_every_start_has_the_steps_of_one(plan: Plan) -> None:
    few = replace(plan, protocols=("grouped",), seeds=1, trials=2, classical=True, folds=2)
    one, three = grid(few), grid(replace(few, starts=("random", "imagenet", "w/rad net.pth")))
    names = [step.name for step in three]
    assert len(set(names)) == len(names)
    # The start of the settings has the names of a study without others.
    plain = [step for step in three if step.start is None]
    assert [step.name for step in plain] == [step.name for step in one]
    shared = [step for step in one if step.stage == "classical" or step.method == "random_labels"]
    for mark in ("-from-imagenet", "-from-rad_net"):
        own = [name.replace(mark, "") for name in names if mark in name]
        assert sorted(own) == sorted(step.name for step in one if step not in shared)


def test_a_step_needs_the_pretraining_of_its_start(plan: Plan) -> None:
    steps = grid(replace(plan, starts=("random", "imagenet"), trials=2))
    by_name = {step.name: step for step in steps}
    for step in steps:
        if step.pretraining:
            assert by_name[step.pretraining].start == step.start
        if step.tuned:
            assert {one.start for one in step.candidates} == {step.start}
            assert {one.name for one in step.candidates} <= by_name.keys()
    named = [name for name in by_name if name.startswith("supervised-from-imagenet-grouped-f0.1")]
    assert len(named) == 3 * 2


def test_without_the_start_of_the_settings_all_names_tell_theirs(plan: Plan) -> None:
    """So that a study can be given the other later, and leakage is still tested."""
    few = replace(plan, protocols=("grouped",), seeds=1)
    steps = grid(replace(few, starts=("imagenet",)))
    assert all("-from-imagenet-" in step.name for step in steps)
    assert len(steps) == len(grid(few))
    assert {step.name for step in steps} - {
        step.name for step in grid(replace(few, starts=("imagenet", "random")))
    } == {"linear-random_labels-from-imagenet-grouped-f1-s5"}


def test_begin_with_the_weights_of_the_settings(plan: Plan) -> None:
    assert plan.starts == ("random",)
    pretrained = replace(plan, settings=plan.settings.with_weights("imagenet"), starts=())
    assert pretrained.starts == ("imagenet",)
    assert [step.name for step in grid(pretrained)] == [step.name for step in grid(plan)]
