"""Series whose header and picture disagree are found, told and left as they are."""

import json
from pathlib import Path

import pytest
from oracles.heads import bids

from brainssl.data.appearance.check import COLLECTION
from brainssl.data.archives.archive import Told
from brainssl.data.archives.reading import Reading
from brainssl.data.audit import audit_scan
from brainssl.data.scan import scan
from brainssl.data.scanned import Scan

PATIENTS = 12
SWAPPED = "sub-04"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """Patients with a T1 and a T2 each, whose T2 has other greys; of one the names are swapped."""
    root = bids(tmp_path_factory.mktemp("archive") / "bids", PATIENTS)
    folder = root / SWAPPED / "anat"
    one, other = (folder / f"{SWAPPED}_{name}.nii.gz" for name in ("T1w", "T2w"))
    one.rename(folder / "aside")
    other.rename(one)
    (folder / "aside").rename(other)
    return scan(root, reading=Reading(label_by="sequence"), workers=1)


def test_what_looks_like_another_sequence_is_a_finding(found: Scan, tmp_path: Path) -> None:
    report = audit_scan(found, out=tmp_path)
    told = report["series"]
    assert told["checked"] == {"sequence": 2 * PATIENTS, "plane": 2 * PATIENTS}
    flagged = [one for one in told["flagged"] if one["what"] == "sequence"]
    assert {
        (one["series"].rpartition("_")[2], one["told"], one["looks_like"]) for one in flagged
    } == {
        ("T1w", "T1", "T2"),
        ("T2w", "T2", "T1"),
    }
    assert all(one["series"].startswith(SWAPPED) for one in flagged)
    assert all(one["by"] == COLLECTION and one["slices"] <= 12 for one in flagged)
    assert all(one["told_probability"] < 0.08 < 0.5 < one["probability"] for one in flagged)
    assert all(one["evidence"] for one in flagged)
    (finding,) = [one for one in report["findings"] if "another sequence" in one["text"]]
    assert finding["severity"] == "caution"
    assert f"2 of {2 * PATIENTS} series" in finding["text"]
    assert "Nothing was changed" in finding["text"]
    # It only flags: labels and sequences are those of the names.
    rows = found.manifest[found.manifest["path"].str.startswith(f"{SWAPPED}/anat/{SWAPPED}_T1w/")]
    assert set(rows["label"]) == set(rows["sequence"]) == {"T1"}
    assert json.loads((tmp_path / "audit.json").read_text())["series"] == told
    page = (tmp_path / "audit.html").read_text("utf-8")
    assert "Series to look at" in page
    assert page.count('alt="A middle slice of') == len(told["flagged"])


def test_what_could_not_be_judged_is_told(found: Scan, tmp_path: Path) -> None:
    report = audit_scan(found, out=tmp_path)
    (note,) = [one for one in report["series"]["notes"] if "plane" in one]
    assert "axial: no other plane of 10 patients to tell it from" in note
    assert note in (tmp_path / "audit.html").read_text("utf-8")


def test_contradictions_are_findings(tmp_path: Path) -> None:
    bids(tmp_path / "bids", 3)
    found = scan(tmp_path / "bids", reading=Reading(label_by="sequence"), workers=1)
    assert audit_scan(found)["series"]["contradictions"] == []
    doubted = Told("T2", 0.6, ("echo time 12 ms",), ("the word T1",))
    object.__setattr__(found.series[0], "sequence", doubted)
    report = audit_scan(found, out=tmp_path / "audit")
    assert report["series"]["contradictions"] == [
        {
            "series": found.series[0].name,
            "what": "sequence",
            "value": "T2",
            "confidence": 0.6,
            "evidence": ["echo time 12 ms"],
            "against": ["the word T1"],
        }
    ]
    (finding,) = [one for one in report["findings"] if "contradicts itself" in one["text"]]
    assert "T2 by echo time 12 ms; against it the word T1" in finding["text"]
    assert "Headers that contradict themselves" in (tmp_path / "audit" / "audit.html").read_text()


def test_pictures_have_no_series(image_folder: Path) -> None:
    assert audit_scan(scan(image_folder, workers=1))["series"] is None
