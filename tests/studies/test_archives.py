"""A study of an archive: foreseen, prepared once, and known again by its options."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from oracles.heads import bids, brats
from oracles.small_plan import FORESEEN, small_plan

from brainssl.data.archives.reading import Reading
from brainssl.data.volumes.choice import Choice
from brainssl.explanation.folder import Request, choose_slices
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.progress import Terminal
from brainssl.hardware.speed import Speed
from brainssl.studies.estimate import estimate
from brainssl.studies.identity import differing, identity
from brainssl.studies.plan import count_values, gives_test_set
from brainssl.studies.preparation import prepared
from brainssl.studies.workload import look_at

pytestmark = pytest.mark.usefixtures("hasty")

READING = Reading(Choice(3), label_by="sequence")
QUIET = Terminal(quiet=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return bids(tmp_path / "bids")


def test_its_slices_are_foreseen_from_headers(source: Path, tmp_path: Path) -> None:
    plan = small_plan(source, FORESEEN, reading=READING)
    seen = look_at(plan)
    assert seen.counted
    assert len(seen.volumes) == 12
    assert sorted(set(seen.labels) - {None}) == ["T1", "T2"]
    assert len(seen.labels) == 36
    foreseen = estimate(plan, tmp_path / "out", measure=lambda *_: Speed(1e-3, 1e-3, 1e-3))
    assert foreseen.images == 36
    assert foreseen.around["reading"] > 0
    assert not (tmp_path / "out").exists()


def test_a_study_is_prepared_and_found_again(source: Path, tmp_path: Path) -> None:
    overrides = ["encoder.image_size=32", "split.val_fraction=0.2", "split.test_fraction=0.2"]
    plan = small_plan(source, overrides, reading=replace(READING, key=tmp_path / "out.key"))
    stores = []
    for _ in range(2):
        with prepared(plan, tmp_path / "out", QUIET) as ground:
            stores.append(ground.honest.store)
            assert ground.audit is not None
            assert ground.audit["patients"] == 6
    assert stores[0].checksum == stores[1].checksum
    assert len(stores[0].images) == 36
    assert not (tmp_path / "out.key").exists()  # a BIDS folder has pseudonyms


def test_the_options_are_part_of_the_identity(source: Path) -> None:
    plain = identity(small_plan(source))
    assert "volumes" not in plain
    own = identity(small_plan(source, reading=READING))
    assert json.loads(json.dumps(own)) == own
    assert differing(plain, own) == ["slices", "label-by"]
    other = identity(small_plan(source, reading=replace(READING, plane="axial")))
    assert differing(own, other) == ["plane"]


def test_a_store_has_its_slices(store, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BrainsslError, match="has its slices: leave out --slices"):
        identity(small_plan(store.path, reading=READING))


def test_values_to_leave_out_are_those_of_labelled_series(source: Path, tmp_path: Path) -> None:
    assert count_values(source, "sex", reading=READING) == 2
    assert count_values(source, "patient", reading=READING) == 6
    assert count_values(source, "sequence", reading=READING) == 2
    (tmp_path / "l.csv").write_text("patient,label,site\nsub-01,x,a\nsub-02,y,b\nsub-03,,c\n")
    assert count_values(source, "site", labels=tmp_path / "l.csv") == 2
    with pytest.raises(BrainsslError, match="has 0 values"):
        count_values(source, "scanner", reading=READING)
    assert not gives_test_set(source, reading=READING)


def test_lesions_of_the_source_are_explained_without_being_asked_for(tmp_path: Path) -> None:
    plan = small_plan(
        brats(tmp_path / "brats", 6),
        ["encoder.image_size=32", "split.val_fraction=0.2", "split.test_fraction=0.2"],
        reading=Reading(label_by="sequence"),
        protocols=("grouped", "paper"),
    )
    with prepared(plan, tmp_path / "out", QUIET) as ground:
        for (protocol, _), data in ground.data.items():
            rows, cases = choose_slices(data, Request(images=30))
            manifest = data.store.manifest.iloc[rows]
            known = manifest["lesion"].notna().tolist()
            assert [one is not None for one in cases.lesions] == known
            assert any(one is not None and one.any() for one in cases.lesions)
            copies = manifest["flags"].str.contains("augmented copy").to_numpy()
            assert not np.array(known)[copies].any()
            assert all(known) or protocol == "paper"
