"""An archive becomes a manifest, a store and a split that no patient crosses."""

import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from oracles.heads import SHAPE, ball, bids, brats, head, save

from brainssl.data import pool
from brainssl.data.archives.archive import BURNED_IN, Archive, Series
from brainssl.data.archives.find import find_archive
from brainssl.data.archives.reading import Reading
from brainssl.data.archives.scan_archive import read_archive
from brainssl.data.audit import audit_scan
from brainssl.data.audit_text import text_report
from brainssl.data.dataset import Data
from brainssl.data.letterbox import letterbox
from brainssl.data.lettering import TEXT
from brainssl.data.manifest import MANIFEST_COLUMNS
from brainssl.data.normalisation import READER
from brainssl.data.prepare import prepare
from brainssl.data.scan import scan
from brainssl.data.scanned import Scan
from brainssl.data.split import make_split
from brainssl.data.store import ImageStore, is_store
from brainssl.data.volumes.choice import Choice, read_choice
from brainssl.data.volumes.slices import volume_slices
from brainssl.data.volumes.square import NOT_SQUARE, SQUARED
from brainssl.data.volumes.volume import VolumeRef
from brainssl.foundation.errors import BadUseError, BrainsslError

FEW = Reading(slices=Choice(4), label_by="sequence")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six patients with a T1 and a T2 each."""
    return bids(tmp_path_factory.mktemp("archive") / "bids")


@pytest.fixture(scope="module")
def found(folder: Path) -> Scan:
    return scan(folder, reading=FEW)


def test_each_chosen_slice_is_a_row(found: Scan) -> None:
    manifest = found.manifest
    assert list(manifest)[: len(MANIFEST_COLUMNS)] == list(MANIFEST_COLUMNS)
    assert len(manifest) == 6 * 2 * 4
    assert manifest["path"].is_monotonic_increasing
    assert manifest["path"].str.fullmatch(r"sub-\d\d/anat/sub-\d\d_T[12]w/\d{4}").all()
    assert manifest["image_id"].is_unique
    assert set(manifest["label"]) == set(manifest["sequence"]) == {"T1", "T2"}
    assert (manifest["plane"] == "axial").all()
    assert (manifest["row_mm"] == 5).all()
    assert (manifest["column_mm"] == 5).all()
    assert manifest["lesion"].isna().all()
    assert manifest["age"].nunique() == 6
    assert len(set(found.file_digests)) == len(manifest)
    assert (manifest[["width", "height"]] == (SHAPE[2], SHAPE[1])).all(axis=None)


def test_a_store_tells_the_plane_to_which_volumes_were_resampled(
    folder: Path, found: Scan, tmp_path: Path
) -> None:
    assert "plane" not in prepare(found, tmp_path / "native", size=16).facts
    turned = scan(folder, reading=Reading(Choice(1), "sagittal", "sequence"))
    prepare(turned, tmp_path / "turned", size=16)
    store = ImageStore.open(tmp_path / "turned")
    assert (store.plane, store.facts["plane"]) == ("sagittal", "sagittal")
    split = make_split(store.manifest, protocol="grouped", seed=0, val_fraction=0.2)
    assert Data(store, split).facts()["plane"] == "sagittal"


@pytest.mark.parametrize(("reader", "flag"), [(2, NOT_SQUARE), (READER, SQUARED)])
def test_pixels_that_are_not_square_are_told(
    found: Scan, tmp_path: Path, reader: int, flag: str
) -> None:
    assert not any("square" in note for note in found.notes)
    for name, rows in (("a", 5.2), ("b", 5.4), ("c", 2.5)):
        save(tmp_path / "in" / f"{name}.nii.gz", head(ord(name)), (6.0, rows, 5.0))
    told = scan(tmp_path / "in", reading=Reading(Choice(1)), reader=reader)
    flagged = told.manifest["flags"].str.contains(flag)
    assert dict(zip(told.manifest["path"].str[0], flagged, strict=True)) == {
        "a": False,
        "b": True,
        "c": True,
    }
    assert any("pixels of 2 of 3 volumes are not square" in note for note in told.notes)
    square = np.isclose(told.manifest["row_mm"], told.manifest["column_mm"])
    assert square.sum() == (0 if flag == NOT_SQUARE else 2)
    store = prepare(told, tmp_path / "store", size=32)
    store.require_reader(reader)
    with pytest.raises(BrainsslError, match=f"with --reader {5 - reader}"):
        store.require_reader(5 - reader)


def test_text_is_told_by_the_header_and_by_the_slices(tmp_path: Path) -> None:
    stamp = np.zeros((7, 40), bool)  # four bars of a letter's size, where every slice has air
    stamp[:, 2:30:8] = stamp[:, 3:30:8] = stamp[3, 2:36:4] = True
    values = np.stack([np.kron(one, np.ones((3, 3), np.int16)) for one in head(1)])
    values[:, 2:9, 2:42][:, stamp] = 520
    save(tmp_path / "in" / "sub-a_T1w.nii.gz", values, (6.0, 2.0, 2.0))
    save(tmp_path / "in" / "sub-b_T1w.nii.gz", head(2))
    archive = by_hand(tmp_path / "in")
    archive.series[1] = replace(archive.series[1], flags=(BURNED_IN,))
    part = read_archive(archive, reading=Reading(Choice(5)))
    flags = part.manifest["flags"].groupby(part.manifest["path"].str[:5]).agg(set)
    assert flags.to_dict() == {"sub-a": {TEXT}, "sub-b": {BURNED_IN}}
    told = text_report(part.manifest)
    assert (told["images"], told["by_picture"], told["by_header"]) == (10, 5, 5)


def test_groups_are_patients(found: Scan) -> None:
    assert not (found.manifest.groupby("patient")["group"].nunique() != 1).any()
    assert found.manifest["group"].nunique() == 6


def test_a_store_holds_the_pixels_of_the_one_way_and_no_patient_crosses_a_split(
    found: Scan, tmp_path: Path
) -> None:
    store = prepare(found, tmp_path / "store", size=32)
    row = 0
    for origin in found.origins:
        for _, image in volume_slices(origin.volume, origin.numbers):  # type: ignore[attr-defined]
            assert (store.images[row] == letterbox(image.pixels, 32)).all()
            row += 1
    assert row == len(store.images)
    split = make_split(store.manifest, protocol="grouped", seed=0, val_fraction=0.2)
    patients = store.manifest.set_index("image_id")["patient"]
    sets = [set(patients[list(part)]) for part in (split.train, split.val, split.test)]
    assert all(sets)
    assert sum(map(len, sets)) == len(set.union(*sets)) == 6
    assert store.lesions(np.arange(3)) is None


def test_processes_change_nothing(
    folder: Path, found: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    alone = scan(folder, reading=FEW, workers=1, progress=lambda *call: told.append(call))
    monkeypatch.setattr(pool, "MANY_LARGE", 2)
    together = scan(folder, reading=FEW, workers=3)
    pd.testing.assert_frame_equal(alone.manifest, together.manifest)
    pd.testing.assert_frame_equal(alone.manifest, found.manifest)
    assert told[-12:] == [(done, 12) for done in range(1, 13)]
    one, two = (
        prepare(which, tmp_path / str(workers), size=16, workers=workers)
        for which, workers in ((alone, 1), (together, 3))
    )
    assert one.checksum == two.checksum


# Lesions


def test_masks_go_into_the_store_and_say_which_slices_show_the_lesion(tmp_path: Path) -> None:
    found = scan(brats(tmp_path / "brats", 2), reading=Reading(label_by="sequence"))
    shown = found.manifest["lesion"] > 0
    numbers = found.manifest["path"].str[-4:].astype(int)
    expected = ball().mean((1, 2))[numbers - 1]
    assert found.manifest["lesion"].to_numpy() == pytest.approx(expected)
    store = prepare(found, tmp_path / "store", size=48)
    lesions = ImageStore.open(store.path).lesions(np.arange(len(shown)))
    assert lesions is not None
    for image, lesion, share in zip(store.images, lesions, expected, strict=True):
        assert lesion is not None
        assert lesion.any() == (share > 0)
        if share > 0.01:
            assert image[lesion].mean() > image[~lesion].mean() + 40
    (store.path / "lesions.npy").unlink()
    with pytest.raises(BrainsslError, match="altered"):
        ImageStore.open(store.path)


def test_slices_without_lesion_can_lose_their_label(tmp_path: Path) -> None:
    source = brats(tmp_path / "brats", 2)
    plain = scan(source, reading=Reading(label_by="sequence")).manifest
    asked = scan(source, reading=Reading(label_by="sequence", lesion_slices=True)).manifest
    assert plain["label"].notna().all()
    assert (asked["label"].notna() == (plain["lesion"] > 0)).all()


def test_who_has_no_lesion_at_all_keeps_the_label(tmp_path: Path) -> None:
    """Nor does one lose it whose few chosen slices happen to miss the lesion."""
    source = brats(tmp_path / "brats", 2)
    save(min(source.rglob("*-seg.nii.gz")), np.zeros(SHAPE, np.uint8))
    reading = Reading(read_choice("2"), label_by="sequence", lesion_slices=True)
    manifest = scan(source, reading=reading).manifest
    healthy = manifest["patient"] == min(manifest["patient"])
    assert manifest["label"][healthy].notna().all()
    kept = manifest["label"][~healthy].notna()
    assert (kept == (manifest["lesion"][~healthy] > 0)).all()


# What is not known, excluded or broken


def by_hand(folder: Path, **changes: object) -> Archive:
    """The archive of a folder, each series changed."""
    archive = find_archive(folder)
    assert archive is not None
    archive.series = [replace(one, **changes) for one in archive.series]  # type: ignore[arg-type]
    return archive


def test_slices_of_a_series_stay_together_where_the_patient_is_unknown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = by_hand(folder, patient=None, study=None)
    monkeypatch.setattr("brainssl.data.sources.open_archive", lambda *_, **__: archive)
    manifest = scan(folder, reading=FEW).manifest
    assert (manifest.groupby("series")["group"].nunique() == 1).all()
    archive = by_hand(folder, patient=None)
    manifest = scan(folder, reading=FEW).manifest
    assert (manifest.groupby("study")["group"].nunique() == 1).all()


def test_excluded_series_are_counted_and_never_read(folder: Path) -> None:
    archive = by_hand(folder)
    archive.series[0] = replace(
        archive.series[0],
        exclusion="localiser",
        volume=VolumeRef("nifti", (folder / "not there.nii",), "gone"),
    )
    part = read_archive(archive, reading=FEW)
    assert part.excluded == [(archive.series[0].name, "localiser")]
    assert "1 series were not read: 1 localiser." in part.notes
    assert not part.unreadable
    assert len(part.manifest) == 11 * 4


def test_what_cannot_be_read_is_left_out_with_its_reason(folder: Path, tmp_path: Path) -> None:
    archive = by_hand(folder)
    broken: Series = archive.series[1]
    (tmp_path / "broken.nii.gz").write_bytes(broken.volume.files[0].read_bytes()[:900])
    archive.series[1] = replace(
        broken, volume=VolumeRef("nifti", (tmp_path / "broken.nii.gz",), broken.name)
    )
    part = read_archive(archive, reading=FEW)
    ((name, reason),) = part.unreadable
    assert name == broken.name
    assert str(tmp_path) not in reason
    archive.series = [archive.series[1]]
    with pytest.raises(BrainsslError, match="none of its volumes can be read"):
        read_archive(archive, reading=FEW)
    archive.series = [replace(broken, exclusion="derived")]
    with pytest.raises(BrainsslError, match=r"no series to learn from \(1 derived\)"):
        read_archive(archive, reading=FEW)


def test_bad_options_are_one_line(folder: Path, image_folder: Path) -> None:
    for source, options, told in [
        (folder, {"classes_at": 1}, "--classes-at is of folders of pictures"),
        (folder, {"reader": 1}, "volumes are read by version 2"),
        (image_folder, {"reading": FEW}, "--slices is of volumes"),
        (image_folder, {"reading": Reading(lesion_slices=True)}, "--lesion-slices is of volumes"),
    ]:
        with pytest.raises(BadUseError, match=told) as fault:
            scan(source, **options)  # type: ignore[arg-type]
        assert "\n" not in str(fault.value)
    with pytest.raises(BrainsslError, match="has the column site"):
        scan(folder, columns=["site"])


# Labels, extra folders, the audit


def test_labels_of_a_table_reach_the_slices_with_their_columns(
    folder: Path, tmp_path: Path
) -> None:
    rows = "".join(f"sub-{n:02},{'AB'[n % 2]},{'xyz'[n % 3]}\n" for n in range(1, 6))
    (tmp_path / "labels.csv").write_text(f"patient,label,site\n{rows}")
    found = scan(
        folder, labels=tmp_path / "labels.csv", reading=Reading(Choice(2)), columns=["site"]
    )
    own = found.manifest.groupby("patient")[["label", "site"]].first()
    assert own.loc["sub-01"].tolist() == ["B", "y"]
    assert own.loc["sub-06"].isna().all()
    assert "2 series have no row in labels.csv: unlabelled." in found.notes


def test_an_archive_joins_pictures_for_pretraining_alone(folder: Path, image_folder: Path) -> None:
    found = scan(image_folder, unlabelled=[folder])
    extra = found.manifest["unlabelled_from"].notna()
    assert found.manifest["label"][extra].isna().all()
    assert found.manifest["path"][extra].str.startswith("unlabelled:bids/sub-").all()
    assert sum(origin.count for origin in found.origins) == len(found.manifest)
    own = found.own
    assert len(own.manifest) == sum(origin.count for origin in own.origins) == 24


def test_the_audit_shows_slices_of_volumes(found: Scan, tmp_path: Path) -> None:
    report = audit_scan(found, out=tmp_path / "audit")
    assert report["patients"] == 6
    assert report["sequences"] == {"T1": 24, "T2": 24}
    pairs = report["worst_pairs"]
    page = (tmp_path / "audit" / "audit.html").read_text("utf-8")
    assert page.count("data:image/jpeg") == 2 * len(pairs)


# Constant memory, and kills


def test_memory_does_not_grow_with_the_number_of_volumes(found: Scan, tmp_path: Path) -> None:
    peaks = []
    for times in (1, 6):
        origins = list(found.origins) * times
        rows = pd.concat([found.manifest] * times, ignore_index=True)
        tracemalloc.start()
        prepare(
            Scan(found.root, rows, [], [], origins=origins),
            tmp_path / f"{times}",
            size=96,
            workers=1,
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The additional images take 240 × 96 × 96 bytes: 2.1 MiB.
    assert peaks[1] - peaks[0] < 2**20


KILLED = """
import os, signal, sys
from pathlib import Path
from brainssl.data.archives.reading import Reading
from brainssl.data.scan import scan
from brainssl.data.prepare import prepare
from brainssl.data.volumes.choice import Choice, read_choice

def count(done, total):
    if done == 20:
        os.kill(os.getpid(), signal.SIGKILL)

found = scan(Path(sys.argv[1]), reading=Reading(Choice(4)))
prepare(found, Path(sys.argv[2]), size=16, progress=count)
"""


def test_a_killed_prepare_leaves_no_store(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, folder, out],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert ended.returncode == -9
    assert not is_store(out)
    assert not out.exists()
    whole = prepare(scan(folder, reading=Reading(Choice(4))), out, size=16)
    assert len(whole.images) == 48


def test_one_slice_of_a_file_is_a_volume_too(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / "flat" / f"case{number}.nii.gz", head(number)[12:13])
    found = scan(tmp_path / "flat")
    assert len(found.manifest) == 4
