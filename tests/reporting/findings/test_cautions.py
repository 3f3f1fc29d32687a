import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brainssl.evaluation.predictions import Predictions
from brainssl.reporting.findings.caution import Caution
from brainssl.reporting.findings.cautions import cautions
from brainssl.reporting.findings.cautions_of_data import ENOUGH_GROUPS, from_validation
from brainssl.reporting.study import read_study


def _changed(folder: Path, **facts: Any) -> Path:
    path = folder / "results.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["study"] |= facts
    path.write_text(json.dumps(raw), encoding="utf-8")
    return folder


def _with(folder: Path, part: str) -> list[Caution]:
    return [caution for caution in cautions(read_study(folder)) if part in caution.text]


def test_cautions_name_what_the_study_knows(make_study: Callable[..., Path]) -> None:
    folder = make_study(protocols=["grouped", "image"])
    failed = [{"step": "finetune-byol-grouped-f1-s0", "error": "out of memory"}]
    found = cautions(read_study(_changed(folder, failed=failed)))
    text = "\n".join(f"{caution.severity}: {caution.text}" for caution in found)
    for said in (
        "serious: A step failed and its results are missing. finetune-byol-grouped-f1-s0: out of",
        "serious: Protocol “image”",
        "serious: Patients are not known",
        "serious: Audit: 1 picture stands under more than one label",
        "serious: Audit: A random split by image would leak",
        "note: Audit: 2 images are pixel-identical",
        "note: Split “grouped” and “image”: Class “Schwannoma T2”",
        "note: bf16 is slow",
        "note: Validation labels",
        "note: Only 2 seeds",
        "note: Fewer than 10 test images under “grouped” in",
    ):
        assert said in text
    assert text.count("it is not in the validation split") == 1
    severities = [caution.severity for caution in found]
    assert severities == sorted(severities, reverse=True)


def test_what_a_random_split_would_leak_is_no_fault_of_a_grouped_study(
    make_study: Callable[..., Path],
) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, extras=False, patients=True)
    found = _with(folder, "Audit: A random split by image")
    assert [caution.severity for caution in found] == ["note", "note"]
    assert _with(folder, "more than one label")[0].severity == "serious"


def test_good_findings_of_the_audit_are_no_cautions(make_study: Callable[..., Path]) -> None:
    audit = {"patients": 3, "findings": [{"severity": "good", "text": "No group crosses."}]}
    folder = make_study(classes=["a", "b"], seeds=1, extras=False)
    assert _with(_changed(folder, audit=audit), "No group crosses") == []


@pytest.mark.parametrize("patients", [False, True])
def test_unknown_patients_are_serious(make_study: Callable[..., Path], patients: bool) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, extras=False, patients=patients)
    found = _with(folder, "Patients are not known")
    assert [caution.severity for caution in found] == ([] if patients else ["serious"])


def test_only_the_study_itself_says_that_it_is_simulated(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, extras=False, source="phantom-120")
    assert not _with(folder, "simulated")
    (found,) = _with(_changed(folder, simulated=True), "The images are simulated")
    assert found.severity == "serious"


def test_few_test_groups_are_serious(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, fractions=[1.0], group_size=12)
    (found,) = _with(folder, "intervals are somewhat too narrow")
    assert found.severity == "serious"
    assert found.text.startswith("The test set of protocol “grouped” has only 10 groups")
    assert "single group" not in found.text
    enough = make_study(
        classes=["a", "b"], seeds=1, fractions=[1.0], group_size=120 // ENOUGH_GROUPS
    )
    assert not _with(enough, "intervals are somewhat too narrow")


@pytest.mark.parametrize(("group_size", "severity"), [(12, "serious"), (4, "note")])
def test_classes_whose_test_images_are_of_one_group_are_named(
    make_study: Callable[..., Path], group_size: int, severity: str
) -> None:
    folder = make_study(classes=["a", "b", "c"], seeds=1, fractions=[1.0], group_size=group_size)
    assert not _with(folder, "a single group each")
    for path in folder.glob("steps/*/predictions.parquet"):
        predictions = Predictions.load(path)
        # The groups of other splits must not count.
        alike = predictions.frame["label"].eq("c") & predictions.frame["split"].eq("test")
        predictions.frame.loc[alike, "group"] = 1_000
        predictions.save(path)
    (found,) = _with(folder, "a single group each")
    assert found.severity == severity
    assert "the test images of 1 of 3 classes come from" in found.text
    assert found.text.endswith(": c.")


def test_lost_predictions_are_told(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, fractions=[1.0], extras=False)
    assert _with(folder, "Predictions of 4 models")


def test_a_collapse_is_serious_and_names_its_pretraining(grid: Path, study: Path) -> None:
    (found,) = _with(grid, "Pretraining has collapsed")
    assert found.severity == "serious"
    assert "DINO, seed 1, protocol “grouped”: since epoch 4, all images get nearly" in found.text
    assert _with(study, "collapsed") == []


def test_steps_that_were_not_done_are_told_with_their_cause(
    make_study: Callable[..., Path],
) -> None:
    cause = {"step": "pretrain-dino-grouped-s0", "error": "pretraining has diverged"}
    told = "not done, because pretrain-dino-grouped-s0 failed"
    undone = [{"step": f"linear-dino-grouped-f{f}-s0", "error": told} for f in (0.1, 1)]
    folder = make_study(classes=["a", "b"], seeds=1, extras=False)
    found = _with(_changed(folder, failed=[cause, *undone]), "dino")
    assert [caution.text for caution in found] == [
        "A step failed and its results are missing. pretrain-dino-grouped-s0: pretraining has "
        "diverged",
        f"2 steps {told}: linear-dino-grouped-f0.1-s0, linear-dino-grouped-f1-s0",
    ]
    assert {caution.severity for caution in found} == {"serious"}


def test_random_labels_that_were_learnt_are_serious(study: Path) -> None:
    control = {"protocol": "image", "accuracy": 0.463, "guessing": 0.17}
    leaking = {"random_labels": [control | {"learnt": True}]}
    told = cautions(replace(read_study(study), analysis=leaking))
    (found,) = (caution for caution in told if "drawn at random" in caution.text)
    assert found.severity == "serious"
    assert "“image” leaks" in found.text
    assert "46.3 % right, guessing 17.0 %" in found.text
    clean = {"random_labels": [control | {"learnt": False}]}
    told = cautions(replace(read_study(study), analysis=clean))
    assert not [caution for caution in told if "drawn at random" in caution.text]
    wide = {"random_labels": [control | {"learnt": False, "interval": [-0.02, 0.31]}]}
    told = cautions(replace(read_study(study), analysis=wide))
    (found,) = (caution for caution in told if "drawn at random" in caution.text)
    assert found.severity == "note"
    assert "cannot tell whether protocol “image” leaks" in found.text


@pytest.mark.parametrize(("draws", "warned"), [(1, True), (1999, True), (2000, False)])
def test_few_draws_of_the_bootstrap_are_told(
    make_study: Callable[..., Path], draws: int, warned: bool
) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, fractions=[1.0], extras=False)
    settings = json.loads((folder / "results.json").read_text("utf-8"))["study"]["settings"]
    changed = _changed(folder, settings={**settings, "evaluation": {"draws": draws}})
    found = _with(changed, "of the bootstrap")
    assert [caution.severity for caution in found] == ["note"] * warned
    assert _with(changed, "1 draw of") == found * (draws == 1)


def _trained(folder: Path, **facts: Any) -> Path:
    """Add facts to the rows of the supervised baseline, in which it is one step a seed."""
    path = folder / "results.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    for row in raw["rows"]:
        if row["method"] == "supervised":
            row |= facts
        elif row["stage"] == "finetune":
            row |= {"val_loss": 0.5, "uniform_loss": 0.69}
    path.write_text(json.dumps(raw), encoding="utf-8")
    return folder


@pytest.mark.parametrize(("loss", "warned"), [(0.75, True), (0.69, False), (0.2, False)])
def test_a_training_that_is_worse_than_the_uniform_answer_is_an_alarm(
    make_study: Callable[..., Path], loss: float, warned: bool
) -> None:
    folder = make_study(classes=["a", "b"], seeds=2, fractions=[0.1])
    assert not _with(folder, "same probability")
    found = _with(_trained(folder, val_loss=loss, uniform_loss=0.69), "same probability")
    assert [caution.severity for caution in found] == ["serious"] * warned
    if warned:
        assert "validation loss of 2 of 4 trainings" in found[0].text
        first = "Supervised baseline, 10\u00a0% of labels, “grouped”, seed 0 (0.75 against 0.69)"
        assert f": {first}, Supervised" in found[0].text


def test_a_longer_baseline_is_asked_for_its_own_epochs(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, fractions=[1.0])
    settings = json.loads((folder / "results.json").read_text("utf-8"))["study"]["settings"]
    _changed(folder, settings=settings | {"finetune": {"epochs": 20}})
    (found,) = _with(_trained(folder, epochs=31), "Patience")
    assert "seed 0 (20 of 31 epochs)." in found.text


def test_trainings_that_patience_ended_are_named(make_study: Callable[..., Path]) -> None:
    """All were trained for 20 epochs; SimCLR was to be fine-tuned for 23."""
    folder = make_study(classes=["a", "b"], seeds=1, fractions=[1.0])
    settings = json.loads((folder / "results.json").read_text("utf-8"))["study"]["settings"]
    settings |= {"finetune": {"epochs": 20}}
    assert not _with(_changed(folder, settings=settings), "Patience")
    longer = {"simclr": {"temperature": 0.2, "finetune": {"epochs": 23}}}
    (found,) = _with(_changed(folder, settings=settings | longer), "Patience")
    assert found.severity == "note"
    assert "1 of 2 trainings with labels before their last epoch" in found.text
    assert ": SimCLR, 100\u00a0% of labels, seed 0 (20 of 23 epochs). Fresh" in found.text


def _search(method: str, stage: str, *losses: float | None) -> dict[str, Any]:
    tried = [
        {"trial": n, "changed": {}, "val_nll": loss, "error": "diverged"}
        for n, loss in enumerate(losses, start=1)
    ]
    place = {"protocol": "grouped", "fold": None, "label_fraction": 1.0, "seed": 0}
    own = {"method": method, "stage": stage, "step": f"steps/{method}"}
    return own | place | {"chosen": 1, "val_images": 50, "tried": tried}


def test_searches_that_lost_trials_on_one_side_are_serious(
    make_study: Callable[..., Path],
) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, fractions=[1.0], extras=False)
    baseline = _search("supervised", "supervised", 0.5, 0.4, None)
    for lost, told in ((0.6, 1), (None, 0)):
        searches = [_search("simclr", "finetune", 0.7, 0.5, lost), baseline]
        _changed(folder, tuning={"trials": 3, "searches": searches})
        found = _with(folder, "as many settings to choose from")
        assert [caution.severity for caution in found] == ["serious"] * told
        if found:
            assert found[0].brief == "trials of some models failed"
            assert "SimCLR, fine-tuned 3 of 3 and Supervised baseline 2 of 3" in found[0].text


def test_settings_that_were_chosen_on_another_split_are_serious(
    make_study: Callable[..., Path],
) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, fractions=[1.0], extras=False)
    own = read_study(folder).split("grouped")["digest"]
    for digest, told in ((own, 0), ("another", 1)):
        chosen_on = {"protocol": "grouped", "seed": 3, "digest": digest}
        found = _with(_changed(folder, chosen_on=chosen_on), "validation set of another split")
        assert [caution.severity for caution in found] == ["serious"] * told
        if found:
            assert found[0].brief == "settings were chosen on images tested here"
            assert "--folds 1 --protocols grouped --seed 3" in found[0].text


@pytest.mark.parametrize(
    ("groups", "severity"), [(3, "serious"), (9, "note"), (10, None), (None, None)]
)
def test_few_patients_of_validation_choose_badly(
    study: Path, groups: int | None, severity: str | None
) -> None:
    read = read_study(study)
    one = {"groups": {"val": groups, "test": 40}}
    for split in (one, {"groups": {"val": 30}, "folds": [{"groups": {"val": 30}}, one]}):
        changed = replace(read, facts={**read.facts, "splits": {"grouped": split}})
        found = list(from_validation(changed))
        assert [caution.severity for caution in found] == ([severity] if severity else [])
        assert all(f"has only {groups} groups" in caution.text for caution in found)
        assert all(bool(c.brief) == (severity == "serious") for c in found)
        assert all(("of one fold" in c.text) == ("folds" in split) for c in found)
