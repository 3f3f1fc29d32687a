"""Plans: when finished steps may be used again, and what to do when they may not."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from oracles.small_plan import small_plan

from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import write_json
from brainssl.settings import load_settings
from brainssl.studies.identity import (
    differing,
    digest_of,
    finished_steps,
    identity,
    is_begun,
)
from brainssl.studies.journal import Journal
from brainssl.studies.plan import Plan


@pytest.fixture
def plan(image_folder: Path) -> Plan:
    return small_plan(image_folder)


@pytest.fixture
def out(plan: Plan, tmp_path: Path) -> Path:
    """The folder of that study, with one finished step and its note."""
    own, out = identity(plan), tmp_path / "out"
    write_json(out / "study.json", own)
    (out / "steps" / "pretrain").mkdir(parents=True)
    (out / "steps" / ".linear.partial").mkdir()
    Journal(out, digest_of(own), 0.0).finish("pretrain", 1.0, {})
    return out


def test_a_study_knows_its_folder(plan: Plan, out: Path) -> None:
    assert finished_steps(out) == {"pretrain"}
    assert is_begun(out, identity(plan))


def test_the_grid_may_grow(plan: Plan, out: Path) -> None:
    more = replace(
        plan, methods=("simclr", "byol"), protocols=("image",), label_fractions=(0.5,), seeds=4
    )
    assert is_begun(out, identity(more))


def test_what_differs_is_named(plan: Plan, out: Path) -> None:
    settings, _ = load_settings("quick", ["pretrain.epochs=7"])
    with pytest.raises(BrainsslError, match=r"another pretrain\.epochs: choose another folder"):
        is_begun(out, identity(replace(plan, settings=settings)))
    with pytest.raises(BrainsslError, match="another seed"):
        is_begun(out, identity(replace(plan, seed=1)))
    next(plan.source.rglob("*.png")).unlink()
    with pytest.raises(BrainsslError, match="another source"):
        is_begun(out, identity(plan))


def test_old_and_new_steps_do_not_stand_side_by_side(plan: Plan, out: Path) -> None:
    """The untrained control and the choice of epochs were others before there were such rules."""
    own = identity(plan)
    older = {name: value for name, value in own.items() if name != "rules"}
    assert differing(older, own) == ["rules"]
    write_json(out / "study.json", older)
    with pytest.raises(BrainsslError, match=r"another version of brainssl, .* choose"):
        is_begun(out, own)
    shutil.rmtree(out / "steps" / "pretrain")
    assert not is_begun(out, own)


def test_settings_of_a_method_that_came_later_are_no_difference(plan: Plan) -> None:
    own = identity(plan)
    older = own | {"settings": {k: v for k, v in own["settings"].items() if k != "fixmatch"}}
    changed = replace(plan, settings=load_settings("reference")[0])
    assert differing(older, own) == []
    assert not [key for key in differing(older, identity(changed)) if key.startswith("fixmatch")]
    assert "fixmatch.ratio" in differing(own, identity(changed))


def test_weights_that_were_taken_otherwise_do_not_stand_beside_those_of_now(
    plan: Plan, out: Path
) -> None:
    """Of three channels one was made otherwise; nothing changed for random weights."""
    own = identity(replace(plan, settings=plan.settings.with_weights("imagenet")))
    assert "rules_of_weights" not in identity(plan)
    older = {name: value for name, value in own.items() if name != "rules_of_weights"}
    write_json(out / "study.json", older)
    with pytest.raises(BrainsslError, match=r"another version of brainssl, .* choose"):
        is_begun(out, own)
    write_json(out / "study.json", own)
    assert is_begun(out, own)
    with pytest.raises(BrainsslError, match=r"another encoder\.weights: "):
        is_begun(out, identity(plan))


def test_of_many_differences_a_few_are_named(plan: Plan, out: Path) -> None:
    write_json(out / "study.json", {"rules": identity(plan)["rules"]})
    with pytest.raises(BrainsslError) as raised:
        is_begun(out, identity(plan))
    differ = len(differing({}, identity(plan))) - 1
    assert "another source, tables, seed" in str(raised.value)
    assert f" and {differ - 5} more: " in str(raised.value)


def test_another_study_that_finished_nothing_is_in_nobodys_way(plan: Plan, out: Path) -> None:
    shutil.rmtree(out / "steps" / "pretrain")
    assert not is_begun(out, identity(replace(plan, seed=1)))


def test_absent_and_empty_folders_are_free_and_locks_are_nothing(
    plan: Plan, tmp_path: Path
) -> None:
    out = tmp_path / "free"
    assert not is_begun(out, identity(plan))
    out.mkdir()
    assert not is_begun(out, identity(plan))
    for name in (".set-up.lock", ".running.lock", ".study.1a2b.json"):
        (out / name).touch()
        assert not is_begun(out, identity(plan))
    (out / "thesis.tex").touch()
    with pytest.raises(BrainsslError, match="exists already"):
        is_begun(out, identity(plan))
    with pytest.raises(BrainsslError, match="exists already"):
        is_begun(out / "thesis.tex", identity(plan))


def test_a_folder_of_something_else_is_refused(plan: Plan) -> None:
    with pytest.raises(BrainsslError, match="exists already"):
        is_begun(plan.source, identity(plan))


@pytest.mark.parametrize("content", ["{", "[]", '{"settings": 3}'])
def test_a_damaged_identity_says_how_to_mend_it(plan: Plan, out: Path, content: str) -> None:
    (out / "study.json").write_text(content)
    with pytest.raises(BrainsslError, match=r"study\.json is damaged: delete it.*new folder"):
        is_begun(out, identity(plan))


def test_without_finished_steps_a_damaged_identity_costs_nothing(plan: Plan, out: Path) -> None:
    shutil.rmtree(out / "steps" / "pretrain")
    (out / "study.json").write_text("{")
    assert not is_begun(out, identity(plan))


def test_a_deleted_identity_is_known_again_by_the_notes(plan: Plan, out: Path) -> None:
    (out / "study.json").unlink()
    assert is_begun(out, identity(plan))
    with pytest.raises(BrainsslError, match="exists already"):
        is_begun(out, identity(replace(plan, seed=1)))
    (out / "steps" / "unknown").mkdir()
    with pytest.raises(BrainsslError, match="exists already"):
        is_begun(out, identity(plan))


@pytest.mark.parametrize("name", ["patients.csv", "table.csv"])
def test_a_table_rewritten_in_the_same_size_makes_another_study(
    name: str, image_folder: Path, tmp_path: Path
) -> None:
    table = image_folder / name
    table.write_text("path,label,patient\nGlioma T1/slice 0.png,Glioma T1,p1\n")
    plan = small_plan(image_folder)
    own, out = identity(plan), tmp_path / "out"
    write_json(out / "study.json", own)
    (out / "steps" / "pretrain").mkdir(parents=True)
    assert is_begun(out, identity(plan))
    table.write_text(table.read_text().replace("p1", "p2"))
    with pytest.raises(BrainsslError, match="another tables"):
        is_begun(out, identity(plan))


def test_litter_in_a_source_makes_it_no_other_source(plan: Plan) -> None:
    before = identity(plan)
    for name in (".DS_Store", "Thumbs.db", "@eaDir/a.png"):
        (plan.source / name).parent.mkdir(exist_ok=True)
        (plan.source / name).write_bytes(b"litter")
    assert identity(plan) == before
    (plan.source / "one.png").write_bytes(b"an image")
    assert identity(plan) != before


def test_a_study_goes_on_after_an_upgrade_that_adds_a_method(plan: Plan, out: Path) -> None:
    """Its own settings in a preset are not those by default."""
    held = identity(plan)
    del held["settings"]["supcon"]
    write_json(out / "study.json", held)
    assert is_begun(out, identity(plan))
    settings, _ = load_settings("quick", ["supcon.temperature=0.3"])
    assert differing(identity(plan), identity(replace(plan, settings=settings))) == [
        "supcon.temperature"
    ]


def test_extra_folders_are_part_of_a_study(plan: Plan, out: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    shutil.copytree(plan.source / "Glioma T1", more)
    without, extra = identity(plan), replace(plan, unlabelled=(more,))
    assert "unlabelled" not in without
    assert differing(without, identity(extra)) == ["unlabelled"]
    with pytest.raises(BrainsslError, match="another unlabelled"):
        is_begun(out, identity(extra))
    whole = identity(extra)
    (more / "patients.csv").write_text("path,patient\nslice 0.png,a\n")
    told = identity(extra)
    next(more.glob("*.png")).unlink()
    assert differing(whole, told) == differing(told, identity(extra)) == ["unlabelled"]


def test_a_store_has_its_extra_images(shared_store: ImageStore, tmp_path: Path) -> None:
    plan = small_plan(shared_store.path, unlabelled=(tmp_path,))
    with pytest.raises(BrainsslError, match="has its extra images: leave out --unlabelled"):
        identity(plan)
