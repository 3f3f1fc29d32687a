"""A population as a BIDS dataset: raw series, and lesions as a derivative of it.

Names follow the Brain Imaging Data Structure 1.9: anatomy, and masks among the derivatives. T1 and
T2 have no name of their own for a mask, which keeps the entities of its source and loses the
suffix; `desc` says the suffix here, and `Sources` in the sidecar names the file.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from brainssl.simulation.archives.header import MANUFACTURER
from brainssl.simulation.archives.nifti import write_nifti
from brainssl.simulation.archives.study import Study, Taken, take
from brainssl.simulation.archives.tables import write_table

BIDS_VERSION = "1.9.0"
SUFFIXES = {
    "T1": ("", "T1w"),
    "T1C+": ("_ce-gadolinium", "T1w"),
    "T2": ("", "T2w"),
    "FLAIR": ("", "FLAIR"),
}
"""Entity and suffix of each sequence."""

Row = dict[str, object]

_README = """Simulated patients
==================

Nobody was scanned. Anatomy, lesions and signals are simulated; `code/phantom.json` says how.
Each series covers the brain. `derivatives/lesions` holds, on the grid of each series, where the
lesion is, without oedema; the mask of a healthy patient is empty.
"""
_COLUMNS: dict[str, object] = {
    "sex": {
        "Description": "Drawn; the anatomy does not depend on it",
        "Levels": {"F": "", "M": ""},
    },
    "age": {"Description": "By which sulci and ventricles are wide", "Units": "year"},
    "label": {"Description": "Family of the lesion, or Normal"},
    "site": {"Description": "Made-up hospital; each has its own scanners"},
    "scanner": {"Description": "Made-up scanner; its constants are in code/phantom.json"},
}


def write_patient(out: Path, study: Study) -> Row:
    """Writes one patient's series and masks; returns the row of `participants.tsv`."""
    subject = f"sub-{study.patient.name}"
    for taken in take(study):
        entity, suffix = SUFFIXES[taken.setting.sequence]
        stack = taken.setting.stack
        raw = f"{subject}/anat/{subject}{entity}_{suffix}"
        write_nifti(out / f"{raw}.nii.gz", taken.samples, stack.affine)
        _write_json(out / f"{raw}.json", _sidecar(study, taken))
        mask = f"{subject}/anat/{subject}{entity}_label-lesion_desc-{suffix}_mask"
        lesions = out / "derivatives" / "lesions"
        write_nifti(lesions / f"{mask}.nii.gz", taken.mask, stack.affine)
        about = {"Type": "Lesion", "Manual": False, "Sources": [f"bids::{raw}.nii.gz"]}
        _write_json(lesions / f"{mask}.json", about)
    return {
        "participant_id": subject,
        "sex": study.sex,
        "age": study.age,
        "label": study.patient.family,
        "site": study.console.site,
        "scanner": study.scanner.name,
    }


def write_dataset(out: Path, rows: list[Row], version: int) -> Path:
    """Writes what belongs to the dataset as a whole; returns where its record belongs."""
    made = [{"Name": "brainssl phantom", "Version": str(version)}]
    about: dict[str, object] = {
        "Name": "Simulated patients",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "raw",
        "GeneratedBy": made,
    }
    _write_json(out / "dataset_description.json", about)
    about |= {"Name": "Lesions of simulated patients", "DatasetType": "derivative"}
    _write_json(out / "derivatives" / "lesions" / "dataset_description.json", about)
    (out / "README").write_text(_README, encoding="utf-8")
    write_table(out / "participants.tsv", rows, separator="\t")
    _write_json(out / "participants.json", _COLUMNS)
    return out / "code" / "phantom.json"


def _sidecar(study: Study, taken: Taken) -> dict[str, object]:
    setting, stack = taken.setting, taken.setting.stack
    timing = setting.timing
    minute = study.begun + setting.minute
    about: dict[str, object] = {
        "Modality": "MR",
        "Manufacturer": MANUFACTURER,
        "ManufacturersModelName": study.console.model,
        "DeviceSerialNumber": study.scanner.name,
        "InstitutionName": f"Phantom {study.console.site}",
        "MagneticFieldStrength": study.scanner.field,
        "SeriesDescription": study.console.description(
            setting.sequence, stack.plane, study.settings.index(setting) + 2
        ),
        "AcquisitionTime": f"{minute // 60:02d}:{minute % 60:02d}:00.000000",
        "MRAcquisitionType": "2D",
        "ScanningSequence": "SE" if timing.ti is None else "SE_IR",
        "RepetitionTime": round(timing.tr / 1000, 6),
        "EchoTime": round(timing.te / 1000, 6),
        "FlipAngle": 90,
        "SliceThickness": round(stack.thickness, 4),
        "SpacingBetweenSlices": round(stack.spacing, 4),
        "BodyPart": "BRAIN",
    }
    if timing.ti is not None:
        about["InversionTime"] = round(timing.ti / 1000, 6)
    if timing.contrast:
        about["ContrastBolusIngredient"] = "GADOLINIUM"
    return about


def _write_json(file: Path, about: Mapping[str, object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    file.write_text(text, encoding="utf-8")
