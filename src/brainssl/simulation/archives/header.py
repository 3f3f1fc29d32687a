"""Headers of DICOM images: what patient, study, scanner, series and image say of themselves.

Attributes are those that the standard (PS3.3) asks of an MR Image, types 1 and 2, and what scanners
usually add. Names and numbers are obviously made up, unique identifiers are UUIDs derived from the
population and from what they name.
"""

import hashlib
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from brainssl.simulation.archives.stack import Stack
from brainssl.simulation.archives.study import BITS, LOCALISER, Setting, Study

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

HERTZ_PER_TESLA = 42.577
"""Of the proton, MHz."""

MANUFACTURER = "Invented"
"""Programs know manufacturers by their first two letters: "Simulated" would pass for Siemens."""

_LPS = np.array([-1.0, -1.0, 1.0])  # DICOM's x runs to the left and its y to the back
_SIGNED_OFFSET, _SIGNED_SLOPE = 2048, 0.25


def unique(study: Study, *words: object) -> str:
    """A UUID as a unique identifier (PS3.5 B.2); the same words give the same one."""
    named = "|".join(map(str, (study.population, study.number, *words)))
    digest = hashlib.sha256(named.encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def patient_id(study: Study) -> str:
    """What the made-up hospital calls the patient."""
    return f"PHANTOM-{study.patient.name[1:]}"


def decimal(value: float) -> str:
    """A number as a decimal string, which has at most 16 characters."""
    return f"{value + 0.0:.9g}"


def decimals(values: Float64[np.ndarray, " n"]) -> list[str]:
    """Numbers as decimal strings."""
    return [decimal(float(value)) for value in values]


def clock(study: Study, minute: float) -> str:
    """Time of day, so many minutes after the study's beginning."""
    seconds = round((study.begun + minute) * 60)
    return f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"


def day(study: Study) -> str:
    """Date of the study: one patient a day, in 2001."""
    ordinal = (study.number - 1) % 336
    return f"2001{ordinal // 28 + 1:02d}{ordinal % 28 + 1:02d}"


def orientation(stack: Stack) -> list[str]:
    """Directions of a row and of a column of the image, LPS."""
    return decimals(np.concatenate([stack.frame[0] * _LPS, stack.frame[1] * _LPS]))


def position(stack: Stack, number: int) -> list[str]:
    """Middle of the first pixel of a slice, mm LPS."""
    place = stack.corner + stack.frame[2] * stack.spacing * number
    return decimals(place * _LPS)


def patient_and_study(study: Study) -> "Dataset":
    """What all images of a study share."""
    from pydicom.dataset import Dataset

    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 100"
    data.PatientName = f"Phantom^{study.patient.name.upper()}"
    data.PatientID = patient_id(study)
    data.PatientBirthDate = ""
    data.PatientSex = study.sex
    data.PatientAge = f"{study.age:03d}Y"
    data.StudyInstanceUID = unique(study, "study")
    data.StudyDate = day(study)
    data.StudyTime = clock(study, 0)
    data.StudyID = str(study.number)
    data.StudyDescription = "Brain, simulated"
    data.AccessionNumber = ""
    data.ReferringPhysicianName = ""
    data.FrameOfReferenceUID = unique(study, "frame of reference")
    data.PositionReferenceIndicator = ""
    data.Modality = "MR"
    data.Manufacturer = MANUFACTURER
    data.InstitutionName = f"Phantom {study.console.site}"
    data.ManufacturerModelName = study.console.model
    data.StationName = study.scanner.name
    data.DeviceSerialNumber = study.scanner.name
    data.SoftwareVersions = "1"
    data.BodyPartExamined = "BRAIN"
    data.PatientPosition = "HFS"
    data.MagneticFieldStrength = decimal(study.scanner.field)
    return data


def series(data: "Dataset", study: Study, setting: Setting, number: int) -> None:
    """Adds what the images of one series share.

    Args:
        data: Of `patient_and_study`.
        study: The patient and the scanner.
        setting: The series.
        number: Of the series in its study; the localiser is number 1.
    """
    scout = setting.sequence == LOCALISER
    data.SeriesInstanceUID = unique(study, "series", number)
    data.SeriesNumber = str(number)
    data.SeriesDate = data.AcquisitionDate = data.ContentDate = data.StudyDate
    data.SeriesTime = data.AcquisitionTime = data.ContentTime = clock(study, setting.minute)
    name = study.console.description
    data.SeriesDescription = (
        "LOCALIZER" if scout else name(setting.sequence, setting.stack.plane, number)
    )
    data.ProtocolName = data.SeriesDescription
    data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER" if scout else "OTHER"]
    data.AcquisitionNumber = str(number)


def place(data: "Dataset", stack: Stack, number: int) -> None:
    """Adds where the slice of a single-frame image lies."""
    data.ImageOrientationPatient = orientation(stack)
    data.ImagePositionPatient = position(stack, number)
    data.SliceLocation = decimal(float(stack.frame[2] @ stack.corner) + stack.spacing * number)
    data.PixelSpacing = [decimal(stack.pixel)] * 2
    data.SliceThickness = decimal(stack.thickness)
    data.SpacingBetweenSlices = decimal(stack.spacing)


def weighting(data: "Dataset", study: Study, setting: Setting) -> None:
    """Adds how the signal of a single-frame MR image came about."""
    timing = setting.timing
    data.ScanningSequence = "SE" if timing.ti is None else ["SE", "IR"]
    data.SequenceVariant = "NONE"
    data.ScanOptions = ""
    data.MRAcquisitionType = "2D"
    data.RepetitionTime = decimal(timing.tr)
    data.EchoTime = decimal(timing.te)
    if timing.ti is not None:
        data.InversionTime = decimal(timing.ti)
    data.EchoTrainLength = "1"
    data.EchoNumbers = "1"
    data.NumberOfAverages = "1"
    data.ImagingFrequency = decimal(HERTZ_PER_TESLA * study.scanner.field)
    data.ImagedNucleus = "1H"
    data.FlipAngle = "90"
    if timing.contrast and study.console.tells_agent:
        data.ContrastBolusAgent = "Gadobutrol, simulated"


def pixels(data: "Dataset", study: Study, setting: Setting) -> None:
    """Adds how samples are stored."""
    stack, signed = setting.stack, study.console.signed
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows = data.Columns = stack.size
    data.BitsAllocated = 16
    data.BitsStored = 16 if signed else BITS
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(signed)


def rescale(data: "Dataset", study: Study) -> None:
    """Adds how samples are had back from what is stored."""
    signed = study.console.signed
    data.RescaleIntercept = str(_SIGNED_OFFSET if signed else 0)
    data.RescaleSlope = decimal(_SIGNED_SLOPE if signed else 1)
    data.RescaleType = "US"


def window(data: "Dataset", setting: Setting) -> None:
    """Adds the window in which the series is to be shown."""
    data.WindowCenter = decimal(round(setting.brightness / 2))
    data.WindowWidth = decimal(round(setting.brightness))


def stored(study: Study, samples: "np.ndarray[Any, Any]") -> bytes:
    """Samples as this scanner stores them, 16 bits each, little endian."""
    if study.console.signed:
        kept = (samples.astype(np.int32) - _SIGNED_OFFSET) / _SIGNED_SLOPE
        return kept.astype("<i2").tobytes()
    return samples.astype("<u2").tobytes()
