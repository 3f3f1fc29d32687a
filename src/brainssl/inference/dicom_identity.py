"""Whose a derived DICOM object is: elements of its source that make it of one study with it.

An allow-list. They go from a source into the objects that are asked for, and nowhere else.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.dicom_values import text

_CHARACTERS = "SpecificCharacterSet"
_UTF_8 = "ISO_IR 192"
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_OURS = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
)
"""Elements that are there in any object, empty where the source has none."""
_FURTHER = (
    "StudyDescription",
    "IssuerOfPatientID",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
"""Elements that are there where the source has them."""
_VISIBLE = ("BurnedInAnnotation", "RecognizableVisualFeatures")
"""What is to be seen in the source's pixels, and so in a picture that is made of them."""


def refuse_nameless(headers: Sequence[Any], name: str) -> None:
    """Raise UnreadableImage unless files say what study, series and frame of reference they are of.

    Args:
        headers: of the files of a volume.
        name: what to call it in errors.
    """
    for header in headers:
        for word in (*_NEEDED, "FrameOfReferenceUID"):
            if not text(header, word):
                raise UnreadableImage(name, f"has no {word}: no DICOM object can be made of it")
    if len({text(header, "FrameOfReferenceUID") for header in headers}) > 1:
        raise UnreadableImage(name, "has slices in several frames of reference")


def give_identity(derived: Any, header: Any, *, of_pixels: bool) -> None:
    """Make a derived object one of the same patient and study as its source.

    Values are copied as they are, in the character set of the source. Where the object's own text
    needs more, all is written as UTF-8.

    Args:
        derived: a `pydicom.Dataset` whose own text is there; changed in place.
        header: of the source.
        of_pixels: whether it shows what the source shows.
    """
    plain = all(value.isascii() for value in _texts(derived))
    kept = text(header, _CHARACTERS)
    for word in (*_OURS, *_FURTHER, *(_VISIBLE if of_pixels else ())):
        if word in header:
            derived[word] = deepcopy(header[word])
        elif word in _OURS:
            setattr(derived, word, None)
    if not plain:
        derived.SpecificCharacterSet = _UTF_8
    elif kept:
        derived[_CHARACTERS] = deepcopy(header[_CHARACTERS])
    elif _CHARACTERS in derived:
        del derived[_CHARACTERS]


def _texts(derived: Any) -> list[str]:
    return [str(one.value) for one in derived.iterall() if one.VR in ("LO", "LT", "SH", "ST", "UT")]
