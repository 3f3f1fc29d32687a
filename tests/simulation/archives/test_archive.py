"""Archives as a whole: complete or absent, the same bytes, one truth in every format."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brainssl.simulation import simulate_archive
from brainssl.simulation.archives import archive

TINY = {"patients": 2, "size": 64, "slices": 8, "seed": 1}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def truth(folder: Path) -> dict[str, dict]:
    (file,) = folder.rglob("phantom.json")
    return {row["patient"]: row for row in json.loads(file.read_text("utf-8"))["truth"]}


def centre_mm(file: Path) -> np.ndarray:
    """Centre of mass of a mask, by nibabel's affine; BraTS' oedema does not count."""
    image = nib.load(file)
    data = np.asarray(image.dataobj)
    voxels = np.argwhere((data > 0) & (data != 2)).mean(axis=0)
    return image.affine[:3, :3] @ voxels + image.affine[:3, 3]


@pytest.mark.parametrize("name", archive.FORMATS)
def test_the_same_bytes_with_two_workers(name: str, tmp_path: Path) -> None:
    one, two = (
        contents(simulate_archive(tmp_path / str(n), format=name, workers=n, **TINY))
        for n in (1, 2)
    )
    assert one == two


def test_a_lesion_has_one_place_in_every_series_and_format(archives: dict[str, Path]) -> None:
    known = truth(archives["dicom"])
    assert known == truth(archives["bids"]) == truth(archives["brats"])
    files = [
        *(archives["bids"] / "derivatives").rglob("*_mask.nii.gz"),
        *archives["brats"].rglob("*-seg.nii.gz"),
    ]
    checked = 0
    for file in files:
        number = file.parents[1].name[-3:] if "mask" in file.name else file.name.split("-")[2][-3:]
        expected = known[f"p{number}"]["lesion_centre_mm_ras"]
        if expected is None:
            assert not np.asarray(nib.load(file).dataobj).any()
            continue
        # Slices are 14 to 18 mm apart here: the centre of the voxels is not that of the lesion.
        assert np.linalg.norm(centre_mm(file) - expected) < 3.5
        checked += 1
    assert checked >= 12


def test_progress_counts_patients(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    out = tmp_path / "out"
    simulate_archive(out, format="brats", workers=1, progress=lambda *c: calls.append(c), **TINY)
    assert calls == [(1, 2), (2, 2)]


def test_a_failed_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = archive._write_patient

    def fail_on_the_second(kind: str, out: Path, patient: object, number: int, *rest: object):
        if number == 2:
            raise KeyboardInterrupt
        return original(kind, out, patient, number, *rest)

    monkeypatch.setattr(archive, "_write_patient", fail_on_the_second)
    with pytest.raises(KeyboardInterrupt):
        simulate_archive(tmp_path / "out", format="bids", workers=1, **TINY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("bad", "needle"),
    [
        ({"format": "nrrd"}, "dicom, bids, brats"),
        ({"slices": 3}, "slices is 3"),
        ({"size": 32}, "size is 32"),
        ({"patients": 0}, "patients is 0"),
    ],
)
def test_arguments_out_of_range_are_refused(bad: dict, needle: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=needle):
        simulate_archive(tmp_path / "out", **{"format": "bids", **TINY, **bad})
    assert list(tmp_path.iterdir()) == []
