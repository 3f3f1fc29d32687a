"""The figshare collection: a slice a file, told without its pixels."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from oracles.cheng_files import write_cheng

from brainssl.data.archives.figshare import figshare_archive, is_figshare
from brainssl.data.volumes.masks import read_mask
from brainssl.data.volumes.matlab import read_matlab


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three slices of two patients in two folders, the folds of the authors, a broken file."""
    image = np.arange(48, dtype=np.int16).reshape(6, 8)
    for number, (label, patient) in enumerate([(1, "100360"), (2, "100361"), (3, "100361")]):
        folder = tmp_path / f"brainTumorDataPublic_{number // 2}"
        write_cheng(
            folder / f"{number}.mat", image + number, image > 40, label=label, patient=patient
        )
    scipy.io.savemat(tmp_path / "cvind.mat", {"cvind": np.ones(3)})
    (tmp_path / "brainTumorDataPublic_0" / "9.mat").write_bytes(b"MATLAB 7.3" + bytes(90))
    return tmp_path


def test_what_the_collection_holds(source: Path) -> None:
    done: list[tuple[int, int]] = []
    archive = figshare_archive(source, progress=lambda *told: done.append(told), workers=1)
    assert archive is not None
    assert archive.kind == "figshare"
    assert done[-1] == (4, 4)
    assert [(one.name, one.label, one.patient) for one in archive.series] == [
        ("brainTumorDataPublic_0/0", "meningioma", "100360"),
        ("brainTumorDataPublic_0/1", "glioma", "100361"),
        ("brainTumorDataPublic_1/2", "pituitary tumour", "100361"),
    ]
    assert {one.sequence.value for one in archive.series} == {"T1C+"}
    assert {one.plane.value for one in archive.series} == {"unknown"}
    assert [path for path, _ in archive.unreadable] == ["brainTumorDataPublic_0/9.mat"]
    assert any(note.startswith("cvind.mat was not read") for note in archive.notes)


def test_slices_and_masks_are_read(source: Path) -> None:
    archive = figshare_archive(source, workers=1)
    assert archive is not None
    for number, one in enumerate(archive.series):
        volume = read_matlab(one.volume)
        assert volume.samples.shape == one.shape == (1, 6, 8)
        assert volume.samples.min() == number
        assert one.mask is not None
        assert read_mask(one.mask, volume).sum() == 7


def test_other_matlab_files_are_none(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "results.mat", {"x": 1})
    (tmp_path / "1.mat").write_bytes(b"something else")
    assert not is_figshare(tmp_path)
    assert figshare_archive(tmp_path) is None


def test_files_of_older_matlab_are_told_with_the_mend(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "1.mat", {"cjdata": {"image": 1}})
    archive = figshare_archive(tmp_path, workers=1)
    assert archive is not None
    ((path, reason),) = archive.unreadable
    assert path == "1.mat"
    assert "-v7.3" in reason
