"""Which mask is which image's."""

from pathlib import Path

import numpy as np
from oracles.nifti_volumes import placed, write_nifti

from brainssl.data.archives.bids_masks import lesion_masks, matched
from brainssl.data.archives.bids_names import parsed
from brainssl.data.volumes.nifti import nifti_header


def test_the_mask_that_says_most_is_taken(tmp_path: Path) -> None:
    cube, affine = np.zeros((5, 5, 5), np.uint8), placed((1, 1, 1))
    general, special = "sub-01_label-lesion_mask.nii", "sub-01_run-1_label-lesion_mask.nii"
    names = ("sub-01_run-1_T1w.nii", "sub-01_run-2_T1w.nii", general, special)
    for name in names:
        write_nifti(tmp_path / name, cube, affine)
    headers = {name: nifti_header(tmp_path / name) for name in names}
    masks = lesion_masks(names)
    assert masks == [general, special]
    images = {n: (own, headers[n]) for n in names[:2] if (own := parsed(n))}
    found, notes = matched(images, {name: headers[name] for name in masks})
    assert found == {names[0]: special, names[1]: general}
    assert "1 of them have several masks; one was taken by its name." in notes
