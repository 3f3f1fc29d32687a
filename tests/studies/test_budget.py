"""A budget: the largest study that fits by the measured speed, what is decided stays, no toy."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from oracles.small_plan import small_plan

import brainssl
from brainssl.data.folds import Fold
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.hardware.speed import Speed
from brainssl.settings import Settings, load_settings
from brainssl.studies.budget import Asked, choose, keep, kept, seconds_of
from brainssl.studies.estimate import Measure, estimate, foresee
from brainssl.studies.ladder import LADDER, Rung
from brainssl.studies.plan import Plan
from brainssl.studies.workload import Images, Source

SOURCE = Source(tuple("abc"[i % 3] for i in range(2000)), ())


def plan_of(source: Path, *overrides: str) -> Plan:
    return small_plan(source, list(overrides), label_fractions=(0.1, 1.0), seeds=2, explained=40)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(tmp_path)


def machine(factor: float = 1.0) -> Measure:
    """Return the speed of a machine, by the pixels of an image and the weights of a network."""
    weights = {"resnet10t": 5.0, "resnet18": 11.0, "resnet50": 25.0}

    def measure(settings: Settings, jobs: int) -> Speed:
        size = weights[settings.encoder.name] * settings.encoder.image_size**2
        training = 4e-7 * size * jobs / factor
        return Speed(training, training, 1e-7 * size / factor)

    return measure


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400), (" 1D ", 86400)],
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "10 minutes", "-5m", "10m5", "ten"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadUseError, match="give a time such as 10m"):
        seconds_of(text)


@pytest.mark.parametrize("budget", ["10m", "30m", "2h", "12h"])
def test_what_is_chosen_fits_and_the_next_one_would_not(plan: Plan, budget: str) -> None:
    choice = choose(plan, budget, Asked(), measure=machine(), source=SOURCE)
    chosen = choice.applied(plan, ())
    seconds = foresee(chosen, SOURCE, None, measure=machine()).seconds
    assert seconds <= seconds_of(budget)
    assert chosen.settings.encoder.name == LADDER[choice.rung - 1].encoder
    assert chosen.label_fractions == LADDER[choice.rung - 1].label_fractions
    assert "→" in choice.table
    if choice.rung < len(LADDER):
        assert "The next one up takes" in choice.table


def test_more_time_and_a_faster_machine_climb_higher(plan: Plan) -> None:
    def rung(budget: str, factor: float = 1.0) -> int:
        return choose(plan, budget, Asked(), measure=machine(factor), source=SOURCE).rung

    rungs = [rung(budget) for budget in ("10m", "30m", "2h", "12h", "30d")]
    assert rungs == sorted(set(rungs))
    assert rungs[-1] == len(LADDER)
    assert rung("10m", 4.0) > rung("10m")


def test_too_little_time_is_refused_with_the_time_that_would_do(plan: Plan) -> None:
    with pytest.raises(BadUseError, match=r"takes about (\d+) min") as refused:
        choose(plan, "1m", Asked(), measure=machine(0.2), source=SOURCE)
    told = str(refused.value).partition("about ")[2].partition(" min")[0]
    assert choose(plan, f"{told}m", Asked(), measure=machine(0.2), source=SOURCE).rung == 1
    with pytest.raises(BadUseError, match="too short"):
        choose(plan, f"{int(told) - 1}m", Asked(), measure=machine(0.2), source=SOURCE)


def test_every_rung_costs_more_than_the_one_below(plan: Plan) -> None:
    choice = choose(plan, "300d", Asked(), measure=machine(), source=SOURCE)
    costs = []
    for number in range(1, len(LADDER) + 1):
        low = replace(choice, rung=number, overrides=_overrides(plan, number))
        rung = LADDER[number - 1]
        folds = rung.trainings if rung.trainings > 1 else None
        own = replace(low, label_fractions=rung.label_fractions, seeds=1, folds=folds)
        costs.append(foresee(own.applied(plan, ()), SOURCE, None, measure=machine()).seconds)
    assert costs == sorted(costs)


def _overrides(plan: Plan, number: int) -> tuple[str, ...]:
    images = Images.of(SOURCE.labels, "grouped", plan.settings.split)
    return tuple(f"{k}={v}" for k, v in LADDER[number - 1].overrides(images).items())


def test_what_is_decided_by_hand_stays(tmp_path: Path) -> None:
    by_hand = ("encoder.name=resnet18", "simclr.pretrain.epochs=7", "split.test_fraction=0.3")
    plan = plan_of(tmp_path, *by_hand)
    asked = Asked(by_hand, label_fractions=(0.5,), seeds=3, explained=0, divided=True)
    chosen = choose(plan, "1h", asked, measure=machine(), source=SOURCE).applied(plan, by_hand)
    assert chosen.settings.encoder.name == "resnet18"
    assert chosen.settings.of("simclr").pretrain.epochs == 7
    assert chosen.settings.split.test_fraction == 0.3
    assert (chosen.label_fractions, chosen.seeds, chosen.explained) == ((0.5,), 3, 0)
    assert chosen.reasons["encoder.name"] == "set by hand"
    assert chosen.reasons["finetune.epochs"].startswith("budget 1h: rung ")


def test_several_trainings_are_folds_or_seeds_of_one_split(plan: Plan) -> None:
    def divided(budget: str, asked: Asked, of: Plan = plan) -> tuple[int | None, int, int]:
        choice = choose(of, budget, asked, measure=machine(), source=SOURCE)
        chosen = choice.applied(of, ())
        assert (chosen.folds, chosen.seeds) == (choice.folds, choice.seeds)
        return chosen.folds, chosen.seeds, LADDER[choice.rung - 1].trainings

    assert divided("10m", Asked()) == (None, 1, 1)
    assert divided("300d", Asked()) == (5, 1, 5)
    assert divided("300d", Asked(divided=True)) == (None, 5, 5)
    assert divided("300d", Asked(seeds=2, divided=True)) == (None, 2, 5)
    assert divided("300d", Asked(divided=True), replace(plan, folds=4)) == (4, 1, 5)


def test_a_store_keeps_the_size_of_its_images(shared_store: ImageStore) -> None:
    plan = plan_of(shared_store.path)
    settings = plan.settings.with_image_size(32)
    reason = "the store holds images of 32 px"
    plan = replace(plan, settings=settings, reasons=plan.reasons | {"encoder.image_size": reason})
    chosen = choose(plan, "12h", Asked(), measure=machine()).applied(plan, ())
    assert chosen.settings.encoder.image_size == 32
    assert chosen.reasons["encoder.image_size"] == reason
    assert estimate(chosen, shared_store.path / "no", measure=machine()).seconds > 0


def test_small_collections_are_not_gone_through_for_ever(plan: Plan) -> None:
    few = Source(SOURCE.labels[:60], ())
    chosen = choose(plan, "300d", Asked(), measure=machine(), source=few).applied(plan, ())
    assert chosen.settings.pretrain.epochs <= 200
    assert chosen.settings.finetune.epochs <= 60


def test_a_study_goes_on_with_what_was_chosen(plan: Plan, tmp_path: Path) -> None:
    choice = choose(plan, "30m", Asked(), measure=machine(), source=SOURCE)
    assert kept(tmp_path, "30m", plan, Asked()) is None
    keep(tmp_path, choice.applied(plan, ()))
    assert kept(tmp_path, "30m", plan, Asked()) == choice
    with pytest.raises(BrainsslError, match="begun with --budget 30m: give that"):
        kept(tmp_path, "2h", plan, Asked())


def test_what_is_decided_goes_before_what_was_chosen(plan: Plan, tmp_path: Path) -> None:
    """Begun with the ladder's folds: they stay unless the images are divided by hand."""
    choice = choose(plan, "300d", Asked(), measure=machine(), source=SOURCE)
    assert choice.folds == 5
    keep(tmp_path, choice.applied(plan, ()))

    def again(asked: Asked, **changes: Any) -> Plan:
        own = replace(plan, **changes)
        held = kept(tmp_path, "300d", own, asked)
        assert held
        return held.applied(own, ())

    assert again(Asked()).folds == 5
    assert again(Asked(divided=True)).folds is None
    assert again(Asked(divided=True), folds=3).folds == 3
    assert again(Asked(divided=True), folds=4, leave_out="site").divisions[0] == Fold(1, 4, "site")
    more = again(Asked(label_fractions=(0.5,), seeds=3, explained=0))
    assert (more.label_fractions, more.seeds, more.explained) == ((0.5,), 3, 0)


def test_an_older_choice_knew_neither_folds_nor_trials(plan: Plan, tmp_path: Path) -> None:
    keep(tmp_path, choose(plan, "30m", Asked(), measure=machine(), source=SOURCE).applied(plan, ()))
    file = tmp_path / "budget.json"
    held = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in held.items() if k not in ("folds", "trials")}))
    for folds in (None, 5):
        own = replace(plan, folds=folds, trials=3)
        choice = kept(tmp_path, "30m", own, Asked(divided=folds is not None))
        assert choice
        assert (choice.applied(own, ()).folds, choice.trials) == (folds, 3)


@pytest.mark.parametrize(
    ("begun", "asked", "told"),
    [(1, 3, "without --tune: leave it out"), (3, 1, "--tune 3: give that"), (3, 5, "--tune 3")],
)
def test_a_search_that_was_not_planned_for_is_refused(
    plan: Plan, tmp_path: Path, begun: int, asked: int, told: str
) -> None:
    own = replace(plan, trials=begun)
    keep(tmp_path, choose(own, "2h", Asked(), measure=machine(), source=SOURCE).applied(own, ()))
    with pytest.raises(BrainsslError, match=f"{told}.*, or a new folder"):
        kept(tmp_path, "2h", replace(plan, trials=asked), Asked())


def test_the_preset_gives_the_same_settings_elsewhere(plan: Plan, tmp_path: Path) -> None:
    hand = ("dino.pretrain.epochs=3", "byol.momentum=0.99", "run.precision=32-true")
    plan = plan_of(tmp_path, *hand)
    chosen = choose(plan, "30m", Asked(hand), measure=machine(), source=SOURCE).applied(plan, hand)
    keep(tmp_path, chosen)
    again, reasons = load_settings(str(tmp_path / "budget.toml"))
    assert again.model_copy(update={"run": chosen.settings.run}) == chosen.settings
    assert "# budget 30m: rung" in (tmp_path / "budget.toml").read_text()
    assert json.loads((tmp_path / "budget.json").read_text())["budget"] == "30m"
    # Where and how exactly to compute is the other machine's own affair.
    assert reasons["run.precision"] == "default"


@pytest.mark.thorough
def test_a_study_with_a_budget_from_start_to_end(
    shared_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what it chose, keeps it, and goes on with it without measuring anew."""
    small = (Rung("test_resnet", 32, 30, 30, (1.0,), 1, 2, 1.0), LADDER[-1])
    monkeypatch.setattr("brainssl.studies.budget.LADDER", small)
    monkeypatch.setattr("brainssl.hardware.speed.settle_threads", lambda *_: None)
    out, own = tmp_path / "out", ["split.test_fraction=0.3", "split.val_fraction=0.3"]
    more = {"methods": "simclr", "overrides": own, "classical": False, "quiet": True}
    # Every image of the folder is one of its own, so that every class has enough groups.
    done = brainssl.study(shared_folder, out, budget="1h", **more)
    assert done["study"]["budget"]["rung"] == 1
    assert done["study"]["settings"]["encoder"]["name"] == "test_resnet"
    assert done["study"]["label_fractions"] == [1.0]
    assert "1h: rung 1 of 2" in (out / "report.html").read_text("utf-8")

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was chosen again")

    monkeypatch.setattr("brainssl.studies.budget.choose", never)
    again = brainssl.study(shared_folder, out, budget="1h", **more)
    assert again["rows"] == done["rows"]
    with pytest.raises(BrainsslError, match="begun with --budget 1h"):
        brainssl.study(shared_folder, out, budget="2h", **more)
    with pytest.raises(BadUseError, match="leave out one of them"):
        brainssl.study(shared_folder, tmp_path / "other", budget="1h", preset="paper", **more)
