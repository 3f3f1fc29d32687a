"""Names of BIDS, one by one."""

import pytest

from brainssl.data.archives.bids_names import excluded, fits, outlines_lesion, parsed, sidecars_of

ANAT = "sub-01/ses-a/anat/"


def test_a_name_is_taken_apart() -> None:
    name = parsed(f"{ANAT}sub-01_ses-a_ce-gadolinium_run-2_T1w.nii.gz")
    assert name is not None
    assert name.entities == {"sub": "01", "ses": "a", "ce": "gadolinium", "run": "2"}
    assert (name.suffix, name.patient, name.study) == ("T1w", "sub-01", "sub-01_ses-a")
    alone = parsed("sub-01/anat/sub-01_T2w.nii")
    assert alone is not None
    assert alone.study == "sub-01"


@pytest.mark.parametrize("name", ["T1w.nii.gz", "sub-01.nii.gz", "x_T1w.nii", "sub-_T1w.nii"])
def test_other_names_are_none(name: str) -> None:
    assert parsed(name) is None


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("anat/sub-01_T1w.nii.gz", None),
        ("anat/sub-01_FLAIR.nii.gz", None),
        ("swi/sub-01_swi.nii.gz", None),
        ("dwi/sub-01_dwi.nii.gz", None),
        ("dwi/sub-01_sbref.nii.gz", "reference"),
        ("func/sub-01_task-rest_bold.nii.gz", "functional"),
        ("fmap/sub-01_epi.nii.gz", "field map"),
        ("perf/sub-01_asl.nii.gz", "perfusion"),
        ("anat/sub-01_part-phase_T2starw.nii.gz", "phase"),
        ("anat/sub-01_part-mag_T2starw.nii.gz", None),
        ("anat/sub-01_T1map.nii.gz", "map"),
        ("anat/sub-01_inv-1_MP2RAGE.nii.gz", "several contrasts"),
        ("anat/sub-01_desc-brain_mask.nii.gz", "mask"),
        ("pet/sub-01_pet.nii.gz", "not MRI (pet)"),
        ("sub-01_T1w.nii.gz", "in no folder of images"),
    ],
)
def test_what_is_none_to_learn_from(path: str, why: str | None) -> None:
    name = parsed(path)
    assert name is not None
    assert excluded(f"sub-01/{path}", name) == why


@pytest.mark.parametrize(
    ("name", "lesion"),
    [
        ("sub-01_label-lesion_mask.nii.gz", True),
        ("sub-01_label-lesion_roi.nii.gz", True),
        ("sub-01_space-orig_desc-tumor_dseg.nii.gz", True),
        ("sub-01_desc-manual_mask.nii.gz", True),
        ("sub-01_label-L_desc-T1lesion_mask.nii.gz", True),
        ("sub-01_desc-brain_mask.nii.gz", False),
        ("sub-01_desc-brainmask_mask.nii.gz", False),
        ("sub-01_label-GM_mask.nii.gz", False),
        ("sub-01_desc-aparcaseg_dseg.nii.gz", False),
        ("sub-01_label-L_desc-hippocampus_mask.nii.gz", False),
        ("sub-01_dseg.nii.gz", False),
        ("sub-01_mask.nii.gz", False),
        ("sub-01_label-lesion_T1w.nii.gz", False),
    ],
)
def test_masks_of_lesions(name: str, lesion: bool) -> None:
    found = parsed(name)
    assert found is not None
    assert outlines_lesion(found) is lesion


@pytest.mark.parametrize(
    ("mask", "fitting"),
    [
        ("sub-01_ses-a_label-lesion_mask", True),
        ("sub-01_ses-a_run-1_label-lesion_mask", True),
        ("sub-01_label-lesion_mask", True),
        ("sub-01_ses-a_space-T1w_label-lesion_mask", True),
        ("sub-01_ses-a_T1w_label-lesion_mask", True),
        ("sub-01_ses-a_FLAIR_label-lesion_mask", False),
        ("sub-01_ses-a_run-2_label-lesion_mask", False),
        ("sub-01_ses-b_label-lesion_mask", False),
        ("sub-02_ses-a_label-lesion_mask", False),
    ],
)
def test_a_mask_fits_an_image_that_says_all_that_it_says(mask: str, fitting: bool) -> None:
    own, image = parsed(f"{mask}.nii.gz"), parsed("sub-01_ses-a_run-1_T1w.nii.gz")
    assert own is not None
    assert image is not None
    assert fits(own, image) is fitting


def test_sidecars_are_inherited_from_above() -> None:
    held = [
        "T1w.json",
        "acq-mprage_T1w.json",
        "acq-other_T1w.json",
        "T2w.json",
        "sub-01/sub-01_T1w.json",
        "sub-02/sub-02_T1w.json",
        f"{ANAT}sub-01_ses-a_acq-mprage_T1w.json",
        f"{ANAT}sub-01_ses-a_acq-mprage_run-1_T1w.json",
        f"{ANAT}sub-01_ses-a_acq-mprage_T1w.bval",
    ]
    image = f"{ANAT}sub-01_ses-a_acq-mprage_T1w.nii.gz"
    assert sidecars_of(image, held, ".json") == [
        "acq-mprage_T1w.json",
        "sub-01/sub-01_T1w.json",
        f"{ANAT}sub-01_ses-a_acq-mprage_T1w.json",
    ]
