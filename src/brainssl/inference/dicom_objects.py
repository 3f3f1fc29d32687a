"""DICOM objects that bring a map into a viewer: a parametric map, and a picture of each slice."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from brainssl import __version__
from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.dicom_files import silenced
from brainssl.data.volumes.dicom_frames import Frame
from brainssl.data.volumes.dicom_sources import Sources, SourceSlice
from brainssl.data.volumes.dicom_values import text, whole
from brainssl.inference.dicom_identity import give_identity

NOTICE = "for research, not a medical device"
"""In the description of each series that is made, and in each picture."""

_MR_IMAGE, _OURS = "1.2.840.10008.5.1.4.1.1.4", "brainssl"
_MAP_NUMBERS, _OVERLAY_NUMBERS, _NUMBERS = 20_000, 10_000, 10_000
_LONGEST = 64  # characters of a short description


@dataclass(frozen=True)
class Series:
    """A series that is made.

    Attributes:
        uid: its own.
        number: likewise.
    """

    uid: str
    number: int


@dataclass(frozen=True, eq=False)
class Frames:
    """Maps of slices, as their files store them.

    Attributes:
        slices: where they lie.
        values: raw, in units of the logit's evidence.
        label: the class whose evidence they are.
        method: such as `gradcam`.
    """

    slices: Sequence[SourceSlice]
    values: Float32[np.ndarray, "n rows columns"]
    label: str
    method: str

    @property
    def told(self) -> str:
        """What they show."""
        return f"{self.method} of {self.label}"


def new_series(sources: Sources, *, of_map: bool) -> Series:
    """Return a series for a map, or for pictures, of the slices of a volume."""
    from pydicom.uid import generate_uid

    number = (whole(sources.headers[0], "SeriesNumber") or 0) % _NUMBERS
    beyond = _MAP_NUMBERS if of_map else _OVERLAY_NUMBERS
    return Series(str(generate_uid(prefix=None)), beyond + number)


def parametric_map(sources: Sources, frames: Frames, series: Series) -> Any:
    """Return the raw map of slices as a Parametric Map of floats, where the slices lie.

    Rows, columns, positions, orientation and spacing are those of the files. The standard's object
    (PS3.3, A.75) is made by highdicom; references name each frame's own file and frame.

    Args:
        sources: the files.
        frames: what is in it.
        series: that it is of.

    Raises:
        UnreadableImage: highdicom refuses what the source holds.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    first = frames.slices[0].lies
    top = float(max(frames.values.max(), np.finfo(np.float32).tiny))
    with _made(sources.name):
        derived: Any = hd.pm.ParametricMap(
            source_images=[_stand_in(sources, first, frames.values.shape[1:])],
            pixel_array=frames.values,
            series_instance_uid=series.uid,
            series_number=series.number,
            sop_instance_uid=str(generate_uid(prefix=None)),
            instance_number=1,
            manufacturer=_OURS,
            manufacturer_model_name=_OURS,
            software_versions=__version__,
            device_serial_number=_OURS,
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[
                hd.pm.RealWorldValueMapping(
                    lut_label="evidence",
                    lut_explanation=_short(frames.told),
                    unit=codes.UCUM.NoUnits,
                    value_range=(float(min(frames.values.min(), 0)), top),
                    slope=1.0,
                    intercept=0.0,
                )
            ],
            voi_lut_transformations=[
                hd.VOILUTTransformation(
                    window_center=top / 2, window_width=top, voi_lut_function="LINEAR_EXACT"
                )
            ],
            content_label="SALIENCY",
            content_description=_short(frames.told),
            series_description=f"Saliency map: {NOTICE}",
            pixel_measures=hd.PixelMeasuresSequence(
                pixel_spacing=_spacing(first),
                slice_thickness=_thickness(frames.slices),
            ),
            plane_orientation=hd.PlaneOrientationSequence("PATIENT", first.orientation or ()),
            plane_positions=[
                hd.PlanePositionSequence("PATIENT", one.lies.position or ())
                for one in frames.slices
            ],
        )
        _refer_frames(derived, sources, frames.slices)
        derived.BodyPartExamined = "BRAIN"
        give_identity(derived, sources.headers[0], of_pixels=False)
    return derived


def secondary_capture(
    sources: Sources,
    slice_: SourceSlice,
    picture: UInt8[np.ndarray, "rows columns 3"],
    series: Series,
    number: int,
    told: str,
    *,
    enlarged: int,
) -> Any:
    """Return a picture that was made of a slice as a Secondary Capture.

    Args:
        sources: the files.
        slice_: that it shows, with rows and columns as they are stored.
        picture: RGB.
        series: that it is of.
        number: of the picture within.
        told: what it shows.
        enlarged: how many of its pixels lie along the side of one of the file.

    Raises:
        UnreadableImage: highdicom refuses what the source holds.
    """
    import highdicom as hd
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    with _made(sources.name):
        derived: Any = hd.sc.SCImage(
            pixel_array=picture,
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            study_instance_uid=text(sources.headers[0], "StudyInstanceUID"),
            series_instance_uid=series.uid,
            series_number=series.number,
            sop_instance_uid=str(generate_uid(prefix=None)),
            instance_number=number,
            manufacturer=_OURS,
            manufacturer_model_name=_OURS,
            software_versions=__version__,
            series_description=f"Saliency overlay: {NOTICE}",
            patient_orientation=orientation_letters(slice_.lies.orientation or ()),
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
        spacing = [each / enlarged for each in _spacing(slice_.lies)]
        # Of pixels that are not square it tells a viewer the shape, too.
        derived.PixelSpacing = [f"{each:.10g}" for each in spacing]
        derived.PixelSpacingCalibrationType = "GEOMETRY"
        derived.PixelSpacingCalibrationDescription = "As in the source image"
        derived.BurnedInAnnotation = "NO"  # none that says who it is, unless the source has it
        derived.DerivationDescription = told
        derived.ImageComments = f"{told}; {NOTICE}"
        derived.SourceImageSequence = [_reference(sources, slice_)]
        derived.ReferencedSeriesSequence = _series_of(sources, [slice_.file])
        derived.BodyPartExamined = "BRAIN"
        give_identity(derived, sources.headers[slice_.file], of_pixels=True)
    return derived


def orientation_letters(orientation: Sequence[float]) -> tuple[str, str]:
    """Return the side of the patient to which rows and columns run, the nearest, as a letter."""
    ends = ("RL", "AP", "FH")  # of the axes of LPS, the lower end first
    named = []
    for direction in (orientation[:3], orientation[3:]):
        axis = int(np.argmax(np.abs(direction)))
        named.append(ends[axis][direction[axis] > 0])
    return named[0], named[1]


@contextmanager
def _made(name: str) -> Iterator[None]:
    """Make an object: what is said meanwhile may quote the source, so it is not told."""
    logging.getLogger("highdicom").setLevel(logging.CRITICAL + 1)
    try:
        with silenced():
            yield
    except Exception as error:  # noqa: BLE001 - of a damaged header nearly anything is raised
        told = f"has a header of which no DICOM object can be made ({type(error).__name__})"
        raise UnreadableImage(name, told) from None


def _stand_in(sources: Sources, lies: Frame, shape: tuple[int, ...]) -> Any:
    """Return what highdicom is told of the source: where it lies, and nothing of whose it is."""
    from pydicom import Dataset

    header, source = sources.headers[0], Dataset()
    source.SOPClassUID, source.SOPInstanceUID = _MR_IMAGE, text(header, "SOPInstanceUID")
    for word in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(source, word, text(header, word))
    source.PositionReferenceIndicator = None
    for word in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID"):
        setattr(source, word, None)
    source.AccessionNumber = source.StudyDate = source.StudyTime = None
    source.Rows, source.Columns = shape
    source.PixelSpacing = [f"{each:.10g}" for each in _spacing(lies)]
    source.SliceThickness = None
    source.ImageOrientationPatient = [f"{each:.10g}" for each in lies.orientation or ()]
    source.ImagePositionPatient = [f"{each:.10g}" for each in lies.position or ()]
    return source


def _refer_frames(derived: Any, sources: Sources, slices: Sequence[SourceSlice]) -> None:
    """Name the file and frame of each frame; highdicom may have changed their order."""
    from highdicom.sr import CodedConcept
    from pydicom import Dataset
    from pydicom.sr.codedict import codes

    left = list(slices)
    for item in derived.PerFrameFunctionalGroupsSequence:
        place = np.array(item.PlanePositionSequence[0].ImagePositionPatient, np.float64)
        own = min(left, key=lambda one: float(np.abs(place - np.array(one.lies.position)).max()))
        left.remove(own)
        derivation = Dataset()
        derivation.DerivationCodeSequence = [
            CodedConcept.from_code(codes.DCM.UnspecifiedMethodOfCalculation)
        ]
        derivation.SourceImageSequence = [_reference(sources, own)]
        item.DerivationImageSequence = [derivation]
    of_files = {one.file: one for one in slices}
    derived.SourceImageSequence = [
        _reference(sources, SourceSlice(file, None, one.lies)) for file, one in of_files.items()
    ]
    derived.ReferencedSeriesSequence = _series_of(sources, list(of_files))


def _reference(sources: Sources, slice_: SourceSlice) -> Any:
    """Name a file, and the frame of one that has several, as what a picture was made of."""
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes

    named = _instance(sources, slice_.file)
    if slice_.frame is not None:
        named.ReferencedFrameNumber = slice_.frame
    named.PurposeOfReferenceCodeSequence = [
        CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)
    ]
    return named


def _instance(sources: Sources, file: int) -> Any:
    from pydicom import Dataset

    named = Dataset()
    named.ReferencedSOPClassUID = text(sources.headers[file], "SOPClassUID")
    named.ReferencedSOPInstanceUID = text(sources.headers[file], "SOPInstanceUID")
    return named


def _series_of(sources: Sources, files: Sequence[int]) -> list[Any]:
    from pydicom import Dataset

    of_series: dict[str, list[Any]] = {}
    for file in files:
        uid = text(sources.headers[file], "SeriesInstanceUID")
        of_series.setdefault(uid, []).append(_instance(sources, file))
    listed = []
    for uid, named in of_series.items():
        item = Dataset()
        item.SeriesInstanceUID, item.ReferencedInstanceSequence = uid, named
        listed.append(item)
    return listed


def _spacing(lies: Frame) -> tuple[float, float]:
    assert lies.spacing is not None  # slices of which it is not known are refused
    return lies.spacing[0], lies.spacing[1]


def _thickness(slices: Sequence[SourceSlice]) -> float:
    """Return the millimetres of a slice; of one of which nothing says it, those to the next."""
    first = slices[0].lies
    if said := first.thickness or first.between:
        return abs(said)
    places = [np.array(one.lies.position) for one in slices[:2]]
    return float(np.linalg.norm(places[-1] - places[0])) or 1.0


def _short(told: str) -> str:
    return told[:_LONGEST]
