"""Pictures or volumes: the folder says which, and options of the other are refused."""

from pathlib import Path

import pytest
from oracles.heads import bids

from brainssl.data.archives.archive import Archive
from brainssl.data.archives.reading import Reading
from brainssl.data.layout import Layout
from brainssl.data.sources import open_source
from brainssl.data.volumes.choice import Choice
from brainssl.foundation.errors import BadUseError


def test_a_folder_is_what_it_holds(image_folder: Path, tmp_path: Path) -> None:
    assert isinstance(open_source(image_folder), Layout)
    assert isinstance(open_source(bids(tmp_path / "bids", 1)), Archive)


@pytest.mark.parametrize(
    ("reading", "option"),
    [
        (Reading(Choice(every=2)), "--slices"),
        (Reading(plane="axial"), "--plane"),
        (Reading(label_by="plane"), "--label-by"),
        (Reading(lesion_slices=True), "--lesion-slices"),
    ],
)
def test_pictures_have_no_options_of_volumes(
    image_folder: Path, reading: Reading, option: str
) -> None:
    with pytest.raises(BadUseError, match=f"{option} is of volumes"):
        open_source(image_folder, reading=reading)


def test_volumes_have_no_folders_of_classes(tmp_path: Path) -> None:
    with pytest.raises(BadUseError, match="--classes-at is of folders of pictures"):
        open_source(bids(tmp_path / "bids", 1), classes_at=1)
