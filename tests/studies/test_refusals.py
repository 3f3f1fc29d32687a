"""What would make steps fail is refused before any begins, and by a dry run."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from oracles.small_plan import FAST, small_plan

import brainssl
from brainssl.data.prepare import write_store
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.models.encoder import build_encoder
from brainssl.studies.refusals import refuse_unfit_views, refuse_unknown_patients

PAIRS = "pretrain.positives=patient"
FOR_ONE_SIZE = ("encoder.name=test_vit_relpos", "dino.local_scale=0.5")


@pytest.mark.parametrize("dry_run", [False, True])
def test_pairs_of_patients_that_nobody_knows_are_refused_before_anything_is_written(
    dry_run: bool, shared_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(BrainsslError, match=r"knows no patients: put patients\.csv") as raised:
        brainssl.study(
            shared_folder, out, methods="simclr", overrides=[*FAST, PAIRS], dry_run=dry_run
        )
    assert str(shared_folder) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not out.exists()


def without_patients(store: ImageStore, path: Path) -> ImageStore:
    manifest = store.manifest.assign(patient=pd.Series([None] * len(store.images), dtype=object))
    return write_store(path, manifest, store.images, size=store.size, facts={})


def test_a_store_and_extra_folders_are_asked_for_patients(
    shared_store: ImageStore, shared_folder: Path, tmp_path: Path
) -> None:
    refuse_unknown_patients(small_plan(shared_store.path, [*FAST, PAIRS]))
    for store in (without_patients(shared_store, tmp_path / "store").path, shared_folder):
        with pytest.raises(BrainsslError, match="knows no patients"):
            refuse_unknown_patients(small_plan(store, [*FAST, PAIRS]))
        refuse_unknown_patients(small_plan(store, [*FAST, "pretrain.positives=group"]))
        # What only another method has is not asked of a study without it.
        refuse_unknown_patients(small_plan(store, [*FAST, f"byol.{PAIRS}"]))
        with pytest.raises(BrainsslError, match="knows no patients"):
            refuse_unknown_patients(
                small_plan(store, [*FAST, f"byol.{PAIRS}"], methods=("simclr", "byol"))
            )
    extra = tmp_path / "extra"
    shutil.copytree(shared_folder / "Normal T1", extra / "images")
    (extra / "patients.csv").write_text("path,patient\nslice 0.png,anna\n")
    refuse_unknown_patients(small_plan(shared_folder, [*FAST, PAIRS], unlabelled=(extra,)))


def test_a_search_does_not_try_what_would_fail_every_time(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    store = without_patients(shared_store, tmp_path / "store").path
    for asked, told in (([PAIRS], "knows no patients"), ([], "no local crops")):
        own = [*FAST, *FOR_ONE_SIZE, *asked]
        with pytest.raises(BrainsslError, match=told):
            brainssl.tune(store, tmp_path / "out", method="dino", trials=2, overrides=own)
        assert not (tmp_path / "out").exists()


def test_views_that_a_network_does_not_take_are_refused(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    """Of the methods DINO alone has local crops."""
    settings = [*FAST, *FOR_ONE_SIZE]
    encoder = build_encoder("test_vit_relpos", image_size=32, seed=0)
    refuse_unfit_views(small_plan(shared_store.path, settings), encoder)
    both = small_plan(shared_store.path, settings, methods=("simclr", "dino"))
    with pytest.raises(BrainsslError, match=r"no local crops of .* set dino\.local_crops=0"):
        refuse_unfit_views(both, encoder)
    for dry_run in (False, True):
        more: dict[str, Any] = {"overrides": settings, "dry_run": dry_run}
        with pytest.raises(BrainsslError, match="no local crops"):
            brainssl.study(shared_store.path, tmp_path / "out", methods="dino", **more)
    assert not (tmp_path / "out").exists()
