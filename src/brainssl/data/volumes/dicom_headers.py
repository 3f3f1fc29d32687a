"""What a header says of the sequence, the patient and the scanner, as plain values by keyword.

The same keywords stand for classic and for enhanced files: what those keep in functional groups
is looked up for a frame and given the name that it has in a classic header.
"""

from typing import Any

from brainssl.data.volumes.dicom_frames import b_value
from brainssl.data.volumes.dicom_values import first, items, number, plain, text

_SAME = (
    "AcquisitionContrast",
    "AngioFlag",
    "BodyPartExamined",
    "BurnedInAnnotation",
    "ContrastBolusAgent",
    "ContrastBolusIngredient",
    "ContrastBolusVolume",
    "EchoNumbers",
    "EchoPlanarPulseSequence",
    "EchoPulseSequence",
    "EchoTime",
    "EchoTrainLength",
    "FlipAngle",
    "ImageOrientationPatient",
    "ImageType",
    "InstitutionName",
    "InversionRecovery",
    "InversionTime",
    "MRAcquisitionType",
    "MagneticFieldStrength",
    "Manufacturer",
    "ManufacturerModelName",
    "Modality",
    "PatientAge",
    "PatientSex",
    "ProtocolName",
    "PulseSequenceName",
    "RepetitionTime",
    "RequestedProcedureDescription",
    "SOPClassUID",
    "ScanOptions",
    "ScanningSequence",
    "SequenceName",
    "SequenceVariant",
    "SeriesDescription",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SteadyStatePulseSequence",
    "StudyDescription",
)
_MEANINGS = ("ContrastBolusAgentSequence", "AnatomicRegionSequence", "DerivationCodeSequence")

IDENTIFIERS = (
    "AccessionNumber",
    "IssuerOfPatientID",
    "PatientID",
    "PatientBirthDate",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
)
"""Elements that name patients and studies: they are hashed, compared, and never given on."""

_PLACE = (
    "AcquisitionDate",
    "AcquisitionDateTime",
    "AcquisitionNumber",
    "AcquisitionTime",
    "BitsAllocated",
    "BitsStored",
    "Columns",
    "ComplexImageComponent",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "ImagePositionPatient",
    "InstanceNumber",
    "NumberOfFrames",
    "PerFrameFunctionalGroupsSequence",
    "PhotometricInterpretation",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
    "Rows",
    "SamplesPerPixel",
    "SharedFunctionalGroupsSequence",
    "SliceLocation",
    "TemporalPositionIdentifier",
    "TriggerTime",
)
_PRIVATE = ((0x0019, 0x0C), (0x2001, 0x03), (0x0043, 0x39), (0x0043, 0x2F))
_BLOCKS = range(0x10, 0x13)  # where vendors put their private elements, unless moved by others


def wanted_tags() -> list[int]:
    """Return the tags of all elements that an archive is read for, and of no other."""
    from pydicom.datadict import tag_for_keyword

    words = (*_SAME, *_MEANINGS, *IDENTIFIERS, *_PLACE)
    tags = {int(tag) for tag in map(tag_for_keyword, words) if tag is not None}
    for group, element in _PRIVATE:
        for block in _BLOCKS:
            tags |= {group << 16 | block, group << 16 | block << 8 | element}
    return sorted(tags)


def header_of(dataset: Any, frame: int = 0) -> dict[str, object]:
    """Return what a header says, by DICOM keyword, for one frame.

    Values are text, numbers or lists of them; what is absent or damaged has no entry. Of coded
    sequences each item is told as `{"CodeMeaning": ...}`.
    """
    found: dict[str, object] = {word: plain(dataset, word) for word in _SAME}
    for word in _MEANINGS:
        found[word] = _meanings(dataset, word)
    found["DiffusionBValue"] = b_value(dataset, dataset)
    shared = first(dataset, "SharedFunctionalGroupsSequence")
    try:
        own = dataset.PerFrameFunctionalGroupsSequence[frame]
    except (AttributeError, IndexError, TypeError):
        own = None
    if own is not None or shared is not None:
        found |= {k: v for k, v in _of_groups(dataset, own, shared).items() if v is not None}
    return {word: value for word, value in found.items() if value is not None}


def _of_groups(dataset: Any, own: Any, shared: Any) -> dict[str, object]:
    """Return what the functional groups of a frame say, under the names of a classic header."""

    def group(name: str) -> Any:
        found = first(own, name)
        return first(shared, name) if found is None else found

    timing, measures = (
        group("MRTimingAndRelatedParametersSequence"),
        group("PixelMeasuresSequence"),
    )
    contrast = group("MRImageFrameTypeSequence")
    diffusion = group("MRDiffusionSequence")
    return {
        "AcquisitionContrast": plain(contrast, "AcquisitionContrast"),
        "AnatomicRegionSequence": _meanings(
            group("FrameAnatomySequence"), "AnatomicRegionSequence"
        ),
        "DiffusionBValue": b_value(dataset, diffusion),
        "DiffusionDirectionality": plain(diffusion, "DiffusionDirectionality"),
        "EchoTime": number(group("MREchoSequence"), "EffectiveEchoTime"),
        "EchoTrainLength": number(timing, "RFEchoTrainLength") or number(timing, "EchoTrainLength"),
        "FlipAngle": number(timing, "FlipAngle"),
        "ImageOrientationPatient": plain(
            group("PlaneOrientationSequence"), "ImageOrientationPatient"
        ),
        "ImageType": plain(contrast, "FrameType"),
        "InversionTime": number(group("MRModifierSequence"), "InversionTimes"),
        "RepetitionTime": number(timing, "RepetitionTime"),
        "SliceThickness": number(measures, "SliceThickness"),
        "SpacingBetweenSlices": number(measures, "SpacingBetweenSlices"),
    }


def _meanings(dataset: Any, word: str) -> list[dict[str, str]] | None:
    return [{"CodeMeaning": text(item, "CodeMeaning")} for item in items(dataset, word)] or None
