"""Cases as BraTS has them."""

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brainssl.simulation.archives.brats import ENHANCING, NAMES, NECROTIC, OEDEMA


@pytest.fixture(scope="module")
def brats(archives: dict[str, Path]) -> Path:
    return archives["brats"]


def volume(case: Path, name: str) -> np.ndarray:
    return np.asarray(nib.load(case / f"{case.name}-{name}.nii.gz").dataobj)


def test_each_case_has_four_sequences_and_a_segmentation_on_one_grid(brats: Path) -> None:
    cases = sorted(brats.glob("BraTS-*"))
    assert len(cases) == 6
    for case in cases:
        assert {p.name for p in case.iterdir()} == {
            f"{case.name}-{name}.nii.gz" for name in (*NAMES.values(), "seg")
        }
        images = [nib.load(case / f"{case.name}-{n}.nii.gz") for n in (*NAMES.values(), "seg")]
        for image in images:
            assert image.shape == (64, 64, 10)
            np.testing.assert_array_equal(image.affine, images[0].affine)
            assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
            off = image.affine[:3, :3] - np.diag(np.diag(image.affine[:3, :3]))
            np.testing.assert_allclose(off, 0, atol=1e-6)  # level with the scanner


def test_there_are_zeros_outside_the_brain_and_nowhere_else(brats: Path) -> None:
    for case in brats.glob("BraTS-*"):
        volumes = [volume(case, name) for name in NAMES.values()]
        outside = volumes[0] == 0
        for other in volumes[1:]:
            np.testing.assert_array_equal(other == 0, outside)
        assert outside[[0, -1]].all()
        zooms = nib.load(case / f"{case.name}-t1n.nii.gz").header.get_zooms()
        litres = (~outside).sum() * np.prod(zooms) / 1e6
        assert 1.0 < litres < 2.2
        assert not volume(case, "seg")[outside].any()


def test_labels_are_what_they_are_called(brats: Path) -> None:
    """The enhancing part is brighter after contrast agent, in units of the brain around it."""
    seen = set()
    for case in brats.glob("BraTS-*"):
        labels = volume(case, "seg")
        seen |= set(np.unique(labels))
        assert ("NOR" in case.name) == (not labels.any())
        healthy = (labels == 0) & (volume(case, "t1n") > 0)
        ratio = {}
        for label in (NECROTIC, ENHANCING):
            if (labels == label).sum() >= 20:
                before, after = (
                    np.median(volume(case, name)[labels == label])
                    / np.median(volume(case, name)[healthy])
                    for name in ("t1n", "t1c")
                )
                ratio[label] = after / before
        if ENHANCING in ratio:
            assert ratio[ENHANCING] > 1.15
            assert ratio.get(NECROTIC, 0) < ratio[ENHANCING]
        wet = labels == OEDEMA
        if wet.sum() >= 20:
            t2 = volume(case, "t2f")
            assert np.median(t2[wet]) > np.median(t2[healthy])
    assert seen == {0, NECROTIC, OEDEMA, ENHANCING}


def test_labels_are_by_patient(brats: Path) -> None:
    with (brats / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["patient"] + "-000" for row in rows} == {p.name for p in brats.glob("BraTS-*")}
    for row in rows:
        assert ("-GLI-" in row["patient"]) == (row["label"] == "Glioma")
