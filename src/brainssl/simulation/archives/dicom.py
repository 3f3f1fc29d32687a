"""A population as a DICOM archive: a file a slice, or for every fifth patient a file a series.

What real archives do is done here too: a localiser precedes each study; files have names that say
nothing; in a third of the series, instance numbers and frames have no order; one scanner stores
signed numbers that need rescaling; not every scanner says what it took, or notes the contrast
agent.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from brainssl.simulation.archives import header
from brainssl.simulation.archives.enhanced import enhance
from brainssl.simulation.archives.nifti import write_nifti
from brainssl.simulation.archives.study import Study, Taken, take, take_localiser
from brainssl.simulation.archives.tables import write_table

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4.1"
_EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_IMPLEMENTATION = "2.25.211917283341083651190286264613914836471"  # a UUID drawn once

EVERY = 5
"""Of the patients whose number is a multiple of this, series are enhanced multi-frame images."""

_SHUFFLED_SHARE = 1 / 3

Row = dict[str, object]


def write_patient(out: Path, study: Study) -> Row:
    """Writes one patient's study, and masks named by series; returns the rows of the tables.

    Returns:
        Columns of `labels.csv`, and below `series` the rows of `series.csv`.
    """
    folder = out / "dicom" / study.patient.name.upper() / "ST0001"
    generator = np.random.default_rng(study.chance)
    _write_single_frames(folder / "SE0001", study, 1, take_localiser(study), generator, mixed=True)
    rows = []
    for number, taken in enumerate(take(study), start=2):
        setting = taken.setting
        mixed = bool(generator.random() < _SHUFFLED_SHARE)
        series = folder / f"SE{number:04d}"
        write = _write_multi_frame if study.number % EVERY == 0 else _write_single_frames
        write(series, study, number, [taken], generator, mixed=mixed)
        name = header.unique(study, "series", number)
        write_nifti(out / "lesions" / f"{name}.nii.gz", taken.mask, setting.stack.affine)
        rows.append(
            {
                "series": name,
                "label": f"{study.patient.family} {setting.sequence}",
                "family": study.patient.family,
                "sequence": setting.sequence,
                "plane": setting.stack.plane,
            }
        )
    return {
        "patient": header.patient_id(study),
        "label": study.patient.family,
        "site": study.console.site,
        "scanner": study.scanner.name,
        "age": study.age,
        "sex": study.sex,
        "series": rows,
    }


def write_dataset(out: Path, rows: list[Row], version: int) -> Path:
    """Writes `labels.csv` and `series.csv`; returns where the record belongs."""
    del version
    lists = [row["series"] for row in rows]
    every = [one for held in lists if isinstance(held, list) for one in held]
    write_table(out / "series.csv", every)
    patients = [{key: row[key] for key in row if key != "series"} for row in rows]
    write_table(out / "labels.csv", patients)
    return out / "phantom.json"


def _order(count: int, generator: np.random.Generator, mixed: bool) -> Int[np.ndarray, " count"]:
    """Which slice comes at each place of a series."""
    return generator.permutation(count) if mixed else np.arange(count)


def _write_single_frames(
    folder: Path,
    study: Study,
    number: int,
    blocks: list[Taken],
    generator: np.random.Generator,
    *,
    mixed: bool,
) -> None:
    """Writes an MR Image for each slice of a series, which may have several blocks of slices."""
    slices = [(block, n) for block in blocks for n in range(len(block.samples))]
    setting = blocks[0].setting
    data = header.patient_and_study(study)
    header.series(data, study, setting, number)
    header.weighting(data, study, setting)
    header.pixels(data, study, setting)
    if study.console.signed:
        header.rescale(data, study)
    header.window(data, setting)
    data.SOPClassUID = MR_IMAGE
    for instance, place in enumerate(_order(len(slices), generator, mixed), start=1):
        block, n = slices[place]
        data.SOPInstanceUID = header.unique(study, "instance", number, instance)
        data.InstanceNumber = str(instance)
        header.place(data, block.setting.stack, n)
        data.PixelData = header.stored(study, block.samples[n])
        _save(data, folder / f"IM{instance:06d}")


def _write_multi_frame(
    folder: Path,
    study: Study,
    number: int,
    blocks: list[Taken],
    generator: np.random.Generator,
    *,
    mixed: bool,
) -> None:
    """Writes one Enhanced MR Image that holds a series."""
    (taken,) = blocks
    order = _order(len(taken.samples), generator, mixed)
    data = header.patient_and_study(study)
    header.series(data, study, taken.setting, number)
    header.pixels(data, study, taken.setting)
    data.SOPClassUID = ENHANCED_MR_IMAGE
    data.SOPInstanceUID = header.unique(study, "instance", number, 1)
    data.InstanceNumber = "1"
    enhance(data, study, taken.setting, order)
    data.PixelData = header.stored(study, taken.samples[order])
    _save(data, folder / "IM000001")


def _save(data: "Dataset", file: Path) -> None:
    from pydicom import dcmwrite
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    data["PixelData"].VR = "OW"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = data.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    meta.TransferSyntaxUID = UID(_EXPLICIT_LITTLE_ENDIAN)
    meta.ImplementationClassUID = UID(_IMPLEMENTATION)
    meta.ImplementationVersionName = "BRAINSSL_PHANTOM"
    data.file_meta = meta
    file.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(file, data, enforce_file_format=True)
