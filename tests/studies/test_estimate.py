"""The estimate: arithmetic by hand, finished steps first, and nothing written."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from oracles.small_plan import FORESEEN, small_plan

from brainssl.data.store import ImageStore
from brainssl.explanation.measure import BRIEF
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import write_json
from brainssl.hardware.speed import Speed
from brainssl.settings import Settings, load_settings
from brainssl.studies.estimate import duration, estimate
from brainssl.studies.grid import Step, grid
from brainssl.studies.identity import digest_of, identity
from brainssl.studies.journal import Journal
from brainssl.studies.plan import Plan
from brainssl.studies.workload import Images, work

STEP = 1.5  # of whatever step, in seconds
SPEED = Speed(pretraining=0.5, finetuning=0.6, forward=0.1)  # seconds of an image


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings("quick", list(FORESEEN))[0]


@pytest.fixture
def plan(shared_store: ImageStore, settings: Settings) -> Plan:
    """A plan on 60 images in three classes, six of them without a label."""
    return small_plan(
        shared_store.path, label_fractions=(0.5, 1.0), seeds=2, settings=settings, reasons={}
    )


def fixed(_settings: Settings, _jobs: int) -> Speed:
    return SPEED


def never(_settings: Settings, _jobs: int) -> Speed:
    raise AssertionError("the speed was measured")


def finish(plan: Plan, out: Path, seconds: dict[str, float]) -> None:
    """Leave what a study leaves that has done these steps."""
    own = identity(plan)
    write_json(out / "study.json", own)
    for name, took in seconds.items():
        (out / "steps" / name).mkdir(parents=True)
        Journal(out, digest_of(own), 0.0).finish(name, took, {})


def test_classical_baselines_take_their_time(plan: Plan, tmp_path: Path) -> None:
    with_them, without = (
        estimate(replace(plan, classical=classical), tmp_path / "out", measure=fixed)
        for classical in (True, False)
    )
    own = [one.seconds for one in with_them.steps if one.step.stage == "classical"]
    assert len(own) == 4 * 2 * 2
    assert min(own) > STEP
    assert with_them.around["hand-made features"] > 0
    assert with_them.seconds > without.seconds + sum(own)


def test_a_finished_classical_baseline_speaks_for_its_like_alone(
    plan: Plan, tmp_path: Path
) -> None:
    out, classical = tmp_path / "out", replace(plan, classical=True)
    finish(classical, out, {"classical-svm-grouped-f1-s0": 50.0})
    found = {one.step.name: one.seconds for one in estimate(classical, out, measure=fixed).steps}
    assert found["classical-svm-grouped-f1-s1"] == 50.0
    assert found["classical-knn-grouped-f1-s0"] < 2 * STEP


def test_the_time_is_work_over_speed(plan: Plan, tmp_path: Path) -> None:
    found = estimate(plan, tmp_path / "out", measure=fixed)
    assert [foreseen.step for foreseen in found.steps] == grid(plan)
    images = Images(train=27, val=10.8, test=16.2, unlabelled=6)  # of 54 with a label
    done = [work(step, images, plan.settings) for step in grid(plan)]
    expected = [
        STEP + 0.5 * own.pretraining + 0.6 * own.finetuning + 0.1 * own.forward for own in done
    ]
    assert [foreseen.seconds for foreseen in found.steps] == pytest.approx(expected)
    assert found.seconds == pytest.approx(sum(expected) + sum(found.around.values()))
    assert (found.images, found.counted) == (60, False)


def test_processes_share_steps_but_no_single_one(plan: Plan, tmp_path: Path) -> None:
    alone = estimate(plan, tmp_path / "out", measure=fixed)
    around = sum(alone.around.values())
    shared = estimate(plan, tmp_path / "out", jobs=2, measure=fixed)
    own = sum(shared.around.values())
    assert own < around  # fixed costs, and the rest in half of the time
    assert shared.seconds == pytest.approx((alone.seconds - around) / 2 + own)
    took = {foreseen.step.name: foreseen.seconds for foreseen in alone.steps}
    longest = took["pretrain-simclr-grouped-s0"] + took["finetune-simclr-grouped-f1-s0"]
    crowd = estimate(plan, tmp_path / "out", jobs=99, measure=fixed)
    assert crowd.seconds == pytest.approx(longest + sum(crowd.around.values()))


def test_finished_steps_tell_how_long_others_take(plan: Plan, tmp_path: Path) -> None:
    out = tmp_path / "out"
    finish(plan, out, {"linear-untrained-grouped-f0.5-s0": 11.0, "pretrain-simclr-grouped-s0": 70})
    found = {one.step.name: one for one in estimate(plan, out, measure=fixed).steps}
    # A step like it, but for the seed.
    assert found["linear-untrained-grouped-f0.5-s1"].seconds == 11.0
    assert found["pretrain-simclr-grouped-s1"].seconds == 70
    # A step of the same stage: by the images; the features of 60, and 27 or 13.5 + 27 measured.
    other = found["linear-simclr-grouped-f1-s0"].seconds
    assert other == pytest.approx(11.0 * (60 + 27 + 27) / (60 + 13.5 + 27))
    # No step of that stage is finished.
    images = Images(train=27, val=10.8, test=16.2, unlabelled=6)
    step = Step("supervised", "supervised", "grouped", 0, 1.0)
    own = work(step, images, plan.settings)
    assert found[step.name].seconds == pytest.approx(STEP + own.seconds(SPEED))
    assert {name for name, one in found.items() if one.finished} == {
        "linear-untrained-grouped-f0.5-s0",
        "pretrain-simclr-grouped-s0",
    }


def test_a_finished_study_has_nothing_left(plan: Plan, tmp_path: Path) -> None:
    out = tmp_path / "out"
    finish(plan, out, {step.name: 2.0 for step in grid(plan)})
    found = estimate(plan, out, measure=never)
    assert found.seconds == 0
    assert "20 steps, 20 finished" in found.text()


def test_before_preparation_files_are_counted(
    plan: Plan, shared_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = estimate(replace(plan, source=shared_folder), out, measure=fixed)
    assert (found.images, found.counted) == (24, True)
    assert "on about 24 images" in found.text()
    assert not out.exists()


def test_nothing_is_written(plan: Plan, tmp_path: Path) -> None:
    out = tmp_path / "out"
    finish(plan, out, {"pretrain-simclr-grouped-s0": 70.0})
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    estimate(plan, out, measure=fixed)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before


def test_another_study_is_refused_here_too(plan: Plan, tmp_path: Path) -> None:
    finish(plan, tmp_path / "out", {"pretrain-simclr-grouped-s0": 70.0})
    with pytest.raises(BrainsslError, match="another seed"):
        estimate(replace(plan, seed=1), tmp_path / "out", measure=never)


def test_the_table_has_a_line_for_each_stage_and_method(plan: Plan, tmp_path: Path) -> None:
    finish(plan, tmp_path / "out", {"pretrain-simclr-grouped-s0": 7000.0})
    found = estimate(plan, tmp_path / "out", measure=fixed)
    lines = found.text().splitlines()
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[1:7]]
    assert [row[:8] for row in cells] == [
        ["linear", "untrained", "grouped", "0.5, 1", "0, 1", "1", "4", "0"],
        ["linear", "random_labels", "grouped", "1", "0, 1", "1", "2", "0"],
        ["pretrain", "simclr", "grouped", "0, 1", "1", "2", "1", "1 h 57 min"],
        ["linear", "simclr", "grouped", "0.5, 1", "0, 1", "1", "4", "0"],
        ["finetune", "simclr", "grouped", "0.5, 1", "0, 1", "1", "4", "0"],
        ["supervised", "supervised", "grouped", "0.5, 1", "0, 1", "1", "4", "0"],
    ]
    assert "20 steps, 1 finished, on 60 images." in lines
    assert "estimate" in found.text()
    facts = json.loads(json.dumps(found.facts()))
    assert [step["step"] for step in facts["steps"]] == [step.name for step in grid(plan)]
    assert sum(step["finished"] for step in facts["steps"]) == 1


def test_every_start_takes_its_time(plan: Plan, tmp_path: Path) -> None:
    """The control of leakage is one step a seed, and the only one that is not done twice."""
    both = replace(plan, starts=("random", "imagenet"), explained=5)
    one = estimate(replace(plan, explained=5), tmp_path / "out", measure=fixed)
    two = estimate(both, tmp_path / "out", measure=fixed)
    control = sum(f.seconds for f in one.steps if f.step.method == "random_labels")
    of_one, of_two = (sum(f.seconds for f in found.steps) for found in (one, two))
    assert of_two == pytest.approx(2 * of_one - control)
    for what in ("explanations", "maps of features"):
        assert two.around[what] == pytest.approx(2 * one.around[what])
    lines = two.text().splitlines()
    assert any(line.split()[1:4] == ["simclr", "from", "imagenet"] for line in lines)
    assert " from " not in "".join(line for line in one.text().splitlines()[:8])
    # What another start took is what this one takes.
    finish(both, tmp_path / "out", {"pretrain-simclr-grouped-s0": 70.0})
    found = {f.step.name: f.seconds for f in estimate(both, tmp_path / "out", measure=fixed).steps}
    assert found["pretrain-simclr-from-imagenet-grouped-s1"] == 70


def test_around_the_steps(plan: Plan, shared_folder: Path, tmp_path: Path) -> None:
    """Maps and explanations by the images that they run through the network."""
    explained = replace(plan, source=shared_folder, explained=5)
    around = estimate(explained, tmp_path / "out", measure=fixed).around
    images = Images.of([None] * 0 + ["a"] * 24, "grouped", plan.settings.split)
    assert around["explanations"] == pytest.approx(3 * (5 * BRIEF.passes + images.train) * 0.1)
    assert around["maps of features"] >= 4 * images.test * 0.1
    assert around["reading"] > 0
    assert "explanations" not in estimate(plan, tmp_path / "out", measure=fixed).around
    assert "reading" not in estimate(plan, tmp_path / "out", measure=fixed).around


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (61, "1 min"),
        (156, "2 min 40 s"),
        (294, "4 min 50 s"),
        (296, "5 min"),
        (3569, "59 min"),
        (3571, "1 h 0 min"),
        (12000, "3 h 20 min"),
    ],
)
def test_times_are_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_trials_take_as_long_as_the_settings_given_and_a_choice_its_measuring(
    plan: Plan, tmp_path: Path
) -> None:
    plain = estimate(plan, tmp_path / "out", measure=fixed)
    found = estimate(replace(plan, trials=3), tmp_path / "out", measure=fixed)
    took = {one.step.name: one.seconds for one in found.steps}
    for one in plain.steps:
        assert took[one.step.name] == one.seconds
        if one.step.tunable or one.step.stage == "pretrain":
            assert took[f"{one.step.name}-t3"] == one.seconds
    # Labelled images that are learnt from, and those of validation and test.
    choice = took["tuned3-finetune-simclr-grouped-f1-s0"]
    assert choice == pytest.approx(STEP + 0.1 * (27 + 10.8 + 16.2))
    assert "choice" in found.text()


def test_a_choice_speaks_for_choices_alone(plan: Plan, tmp_path: Path) -> None:
    out, searched = tmp_path / "out", replace(plan, trials=2)
    finish(searched, out, {"tuned2-supervised-grouped-f1-s0": 3.0, "supervised-grouped-f1-s0": 90})
    found = {one.step.name: one.seconds for one in estimate(searched, out, measure=fixed).steps}
    assert found["tuned2-supervised-grouped-f1-s1"] == 3.0
    assert found["supervised-grouped-f1-s0-t2"] == pytest.approx(90)


def test_what_failed_in_a_search_that_chose_is_not_foreseen_again(
    plan: Plan, tmp_path: Path
) -> None:
    out, searched = tmp_path / "out", replace(plan, trials=2)
    lost = "supervised-grouped-f1-s0-t2"
    finish(searched, out, {step.name: 2.0 for step in grid(searched) if step.name != lost})
    assert estimate(searched, out, measure=fixed).seconds > 0
    tried = [{"trial": 1, "val_nll": 0.5}, {"trial": 2, "val_nll": None}]
    record = {"chosen": 1, "tried": tried}
    write_json(out / "steps" / "tuned2-supervised-grouped-f1-s0" / "tuning.json", record)
    assert estimate(searched, out, measure=never).seconds == 0
