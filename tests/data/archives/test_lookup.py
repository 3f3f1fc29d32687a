"""A pseudonym leads back to its patient with the key, and an identifier to its pseudonym."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from oracles.dicom_files import AXIAL, CORONAL, made, positions, write
from oracles.heads import head
from oracles.scans import NUMBER, scan

import brainssl
from brainssl.data.archives.dicom import dicom_archive
from brainssl.data.archives.lookup import is_pseudonym, traced
from brainssl.data.archives.pseudonyms import Pseudonyms, make_key
from brainssl.data.volumes.slices import open_volume
from brainssl.foundation.errors import BadUseError, BrainsslError

KEY = b"a key of thirty-two random bytes"


def test_a_pseudonym_leads_to_its_patient_and_back(tmp_path: Path) -> None:
    own = scan(tmp_path / "a", seed=1)
    scan(tmp_path / "b", seed=2, series="1.2.3.9", PatientID="other", StudyInstanceUID="1.9")
    archive = dicom_archive(tmp_path, KEY, workers=1)
    of = Pseudonyms(KEY).of
    for unit, names in (("patient", ("", NUMBER)), ("series", ("1.2.3.4",))):
        pseudonym = of(unit, *names)
        [found] = traced(archive, pseudonym)
        assert (found.unit, found.pseudonym, found.identifiers) == (unit, pseudonym, (names[-1],))
        assert found.files == tuple(sorted(map(str, own)))
        assert traced(archive, names[-1]) == [found]
        assert f"24 files in {tmp_path / 'a'}" in str(found)
    for name in (of("patient", "", "nobody"), f"{of('patient', '', NUMBER)}/x", "nobody", ""):
        with pytest.raises(BrainsslError, match="holds nothing that is called"):
            traced(archive, name)


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL])
def test_the_name_of_a_slice_leads_to_the_file_with_its_pixels(
    orientation: tuple[float, ...], tmp_path: Path
) -> None:
    """Coronal slices are hung from back to front: numbers run against the order of files."""
    values = np.clip(head(0), 0, None).astype(np.uint16)[4:12]
    for at, place in enumerate(positions(orientation, len(values))):
        facts = {"ImagePositionPatient": place, "ImageOrientationPatient": list(orientation)}
        write(made(values[at], **facts), tmp_path / f"{(at * 3) % 8}.dcm")
    archive = dicom_archive(tmp_path, KEY, workers=1)
    [series] = archive.series
    opened = open_volume(series.volume, reader=2)  # as stored: pixels that are not square stay so
    for number in (1, 3, 8):
        [found] = traced(archive, f"{series.name}/{number:04}")
        [file] = found.files
        stored = pydicom.dcmread(file).pixel_array
        np.testing.assert_array_equal(
            np.sort(opened.volume.samples[number - 1], None), np.sort(stored.astype(float), None)
        )
    with pytest.raises(BrainsslError, match="has 8 slices and no 9"):
        traced(archive, f"{series.name}/0009")


def test_scan_looks_up_with_the_key_alone(tmp_path: Path) -> None:
    scan(tmp_path / "in")
    key = tmp_path / "key"
    make_key(key)
    [found] = brainssl.scan(tmp_path / "in", key=key, locate=NUMBER, quiet=True)["found"]
    again = brainssl.scan(tmp_path / "in", key=key, locate=found["pseudonym"], quiet=True)
    assert again["found"] == [found]
    assert again.text.startswith(f"patient {found['pseudonym']}: {NUMBER}; 24 files in ")
    assert brainssl.scan(tmp_path / "in", locate="file-2")["file"].endswith("001.dcm")
    with pytest.raises(BadUseError, match="give --key FILE"):
        brainssl.scan(tmp_path / "in", locate=found["pseudonym"])
    with pytest.raises(BrainsslError, match="should hold the key"):
        brainssl.scan(tmp_path / "in", key=tmp_path / "gone", locate=NUMBER)
    make_key(tmp_path / "another")
    with pytest.raises(BrainsslError, match="under this key"):
        brainssl.scan(tmp_path / "in", key=tmp_path / "another", locate=found["pseudonym"])


def test_what_is_a_pseudonym() -> None:
    one = Pseudonyms(KEY).of("series", "x")
    assert is_pseudonym(one)
    assert is_pseudonym(f"{one}-2")
    assert not any(map(is_pseudonym, ("", "12", "file-12", "p-12", NUMBER, "1.2.3", one.upper())))
