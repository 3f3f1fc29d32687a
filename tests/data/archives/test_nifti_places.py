"""What folders and names of volumes say."""

import pytest

from brainssl.data.archives.nifti_places import masks_of, read_places


@pytest.mark.parametrize(
    ("paths", "labels", "patients"),
    [
        (["Glioma/1.nii", "Normal/2.nii"], ("Glioma", "Normal"), (None, None)),
        (["all/Glioma/1.nii", "all/Normal/2.nii"], ("Glioma", "Normal"), (None, None)),
        (["Glioma/P1/1.nii", "Normal/P2/1.nii"], ("Glioma", "Normal"), ("P1", "P2")),
        (["P1/t1.nii", "P1/t2.nii", "P2/t1.nii"], (None,) * 3, ("P1", "P1", "P2")),
        (["case_001/t1.nii", "case_001/t2.nii"], (None, None), ("case_001",) * 2),
        (["Glioma/1.nii", "Glioma/2.nii"], (None, None), (None, None)),
        (["T1/1.nii", "T2/1.nii"], (None, None), (None, None)),
        (["axial/1.nii", "sagittal/1.nii"], (None, None), (None, None)),
        (["1.nii", "2.nii"], (None, None), (None, None)),
        (
            ["TCGA-FG-6692_t1.nii.gz", "TCGA-FG-6692_flair.nii.gz", "scan.nii"],
            (None,) * 3,
            ("TCGA-FG-6692", "TCGA-FG-6692", None),
        ),
        (["A/P1_t1.nii", "B/P2_t1.nii"], ("A", "B"), ("P1", "P2")),
        (["A/P1_t1.nii", "B/P1_t1.nii"], ("A", "B"), (None, None)),
    ],
)
def test_classes_and_patients(
    paths: list[str], labels: tuple[str | None, ...], patients: tuple[str | None, ...]
) -> None:
    places = read_places(paths)
    assert places.labels == labels
    assert places.patients == patients
    if any(patients):
        assert places.notes


@pytest.mark.parametrize(
    ("paths", "masks"),
    [
        (["x.nii.gz", "x_mask.nii.gz"], ["x_mask.nii.gz"]),
        (["c1_t1.nii", "c1_seg.nii"], ["c1_seg.nii"]),
        (["images/x.nii", "masks/x.nii"], ["masks/x.nii"]),
        (["imagesTr/x_0000.nii.gz", "labelsTr/x.nii.gz"], ["labelsTr/x.nii.gz"]),
        (["seg/x.nii"], []),
        (["segment.nii", "other.nii"], []),
    ],
)
def test_masks_by_their_names(paths: list[str], masks: list[str]) -> None:
    assert masks_of(paths) == masks
