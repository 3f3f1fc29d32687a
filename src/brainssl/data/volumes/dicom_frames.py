"""Where each frame of a DICOM file lies, how its values are rescaled, and what tells it apart."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

from brainssl.data.volumes.dicom_values import (
    first,
    items,
    number,
    numbers,
    private,
    text,
    whole,
)

MAX_FRAMES = 2**16
"""A file that claims more is refused."""

Triple = tuple[float, ...]

_FAR = 1e6  # mm
_GE_MOST = 10**9  # GE adds this to a b-value to mark how it was measured


class Frame(NamedTuple):
    """Facts of one frame, as small as they can be kept for each of a million.

    Attributes:
        position: of the centre of the first voxel, mm in LPS; None where the file does not say.
        orientation: directions of rising column and of rising row, 3 + 3 numbers.
        spacing: mm from row to row and from column to column.
        thickness: mm of a slice.
        between: mm from slice to slice, as the header says.
        slope: of the modality rescaling.
        intercept: likewise.
        kind: what frames of one volume share: type, echo, b-value, stack.
        times: what tells frames of one place apart, the strongest first; None where not said.
    """

    position: Triple | None
    orientation: Triple | None
    spacing: Triple | None
    thickness: float | None
    between: float | None
    slope: float
    intercept: float
    kind: tuple[object, ...]
    times: tuple[object, ...]


def frame_count(dataset: Any) -> int:
    """Return how many frames a file says that it has; at least one.

    Raises:
        ValueError: it says a number that cannot be.
    """
    count = whole(dataset, "NumberOfFrames")
    count = 1 if count is None else count
    if not 1 <= count <= MAX_FRAMES:
        raise ValueError("number of frames")
    return count


def frames_of(dataset: Any) -> tuple[Frame, ...]:
    """Return the facts of each frame of a file.

    Of an enhanced multi-frame file they come from the functional groups, those of the frame before
    those that frames share (PS3.3, C.7.6.16); of any other from the file's own header.

    Raises:
        ValueError: the file claims a number of frames that cannot be.
    """
    count = frame_count(dataset)
    own = items(dataset, "PerFrameFunctionalGroupsSequence")
    shared = first(dataset, "SharedFunctionalGroupsSequence")
    if not own and shared is None:
        # Several frames without groups share a header, and it can be the place of one at most.
        frame = _frame(lambda _, read: read(dataset), _of_file(dataset))
        return (frame if count == 1 else frame._replace(position=None),) * count
    groups, file = _Groups(shared), _of_groups(dataset)
    return tuple(
        _frame(partial(groups.read, own[at] if at < len(own) else None), file)
        for at in range(count)
    )


Read = Callable[[str, Callable[[Any], Any]], Any]
"""Gives what a function reads of the functional group of a name."""


class _Groups:
    """Functional groups of frames, each of its own or shared; the shared ones are read once."""

    def __init__(self, shared: Any) -> None:
        self._shared = shared
        self._known: dict[tuple[str, Callable[[Any], Any]], Any] = {}

    def read(self, own: Any, name: str, read: Callable[[Any], Any]) -> Any:
        """Return what is read of a frame's group of this name, else of the shared one."""
        found = first(own, name) if _holds(own, name) else None
        if found is not None:
            return read(found)
        if (name, read) not in self._known:
            self._known[name, read] = read(first(self._shared, name))
        return self._known[name, read]


def _holds(dataset: Any, name: str) -> bool:
    """Tell whether a dataset has an element: pydicom takes long to say that it has not."""
    return dataset is not None and _tag(name) in dataset.keys()  # noqa: SIM118


@cache
def _tag(name: str) -> int | None:
    from pydicom.datadict import tag_for_keyword

    return tag_for_keyword(name)


@dataclass(frozen=True)
class _File:
    """What a file says of all of its frames, and how it says what it says of each."""

    typed: Callable[[Any], tuple[str, str]]
    vendors_type: str
    echo: Callable[[Any], float | None]
    echo_number: int | None
    vendors_b_value: Callable[[], float | None]
    temporal: Callable[[Any], tuple[int | None, int | None]]
    inversion: Callable[[Any], float | None]
    trigger: Callable[[Any], float | None]
    direction: Callable[[Any], Triple | None]
    moment: str


def _of_file(dataset: Any) -> _File:
    return _File(
        lambda file: (text(file, "ImageType"), text(file, "ComplexImageComponent")),
        str(private(dataset, 0x0043, "GEMS_PARM_01", 0x2F)),
        lambda file: number(file, "EchoTime"),
        whole(dataset, "EchoNumbers"),
        lambda: _vendors_b_value(dataset),
        lambda file: (whole(file, "TemporalPositionIdentifier"), whole(file, "AcquisitionNumber")),
        lambda file: number(file, "InversionTime"),
        lambda file: number(file, "TriggerTime"),
        lambda file: numbers(file, "DiffusionGradientOrientation", 3),
        text(dataset, "AcquisitionTime"),
    )


def _of_groups(dataset: Any) -> _File:
    return _File(
        lambda typed: (text(typed, "FrameType"), text(typed, "ComplexImageComponent")),
        "",
        lambda echoes: number(echoes, "EffectiveEchoTime"),
        None,
        cache(lambda: _vendors_b_value(dataset)),
        lambda content: (
            whole(content, "TemporalPositionIndex"),
            whole(content, "FrameAcquisitionNumber"),
        ),
        lambda modifier: number(modifier, "InversionTimes"),
        lambda heart: number(heart, "NominalCardiacTriggerDelayTime"),
        lambda diffusion: numbers(
            first(diffusion, "DiffusionGradientDirectionSequence"),
            "DiffusionGradientOrientation",
            3,
        ),
        text(dataset, "AcquisitionTime"),
    )


def _frame(group: Read, file: _File) -> Frame:
    spacing, thickness, between = group("PixelMeasuresSequence", _measures)
    slope, intercept = group("PixelValueTransformationSequence", _rescaling)
    return Frame(
        group("PlanePositionSequence", _position),
        group("PlaneOrientationSequence", _orientation),
        spacing,
        thickness,
        between,
        slope,
        intercept,
        _kind(group, file),
        _times(group, file),
    )


def _position(plane: Any) -> Triple | None:
    return _near(numbers(plane, "ImagePositionPatient", 3))


def _orientation(plane: Any) -> Triple | None:
    return numbers(plane, "ImageOrientationPatient", 6)


def _measures(measures: Any) -> tuple[Triple | None, float | None, float | None]:
    return (
        _positive(_near(numbers(measures, "PixelSpacing", 2))),
        number(measures, "SliceThickness"),
        number(measures, "SpacingBetweenSlices"),
    )


def _rescaling(values: Any) -> tuple[float, float]:
    slope, intercept = number(values, "RescaleSlope"), number(values, "RescaleIntercept")
    return 1.0 if slope is None else slope, 0.0 if intercept is None else intercept


def _near(lengths: Triple | None) -> Triple | None:
    """Take lengths that no room holds for absent: they are damaged, and their squares overflow."""
    return lengths if lengths and max(map(abs, lengths)) < _FAR else None


def _positive(spacing: Triple | None) -> Triple | None:
    return spacing if spacing and min(spacing) > 0 else None


def _kind(group: Read, file: _File) -> tuple[object, ...]:
    echo = group("MREchoSequence", file.echo)
    b_value = group("MRDiffusionSequence", _b_value)
    typed, component = group("MRImageFrameTypeSequence", file.typed)
    return (
        typed,
        component,
        file.vendors_type,
        None if echo is None else round(echo, 2),
        file.echo_number,
        file.vendors_b_value() if b_value is None else b_value,
        group("FrameContentSequence", _stack),
    )


def _stack(content: Any) -> str:
    return text(content, "StackID")


def b_value(dataset: Any, diffusion: Any) -> float | None:
    """Return the diffusion weighting, s/mm², from the public element or those of vendors."""
    value = _b_value(diffusion)
    return _vendors_b_value(dataset) if value is None else value


def _b_value(diffusion: Any) -> float | None:
    return number(diffusion, "DiffusionBValue")


def _vendors_b_value(dataset: Any) -> float | None:
    for group, creator, element in (
        (0x0019, "SIEMENS MR HEADER", 0x0C),
        (0x2001, "Philips Imaging DD 001", 0x03),
        (0x0043, "GEMS_PARM_01", 0x39),
    ):
        found = private(dataset, group, creator, element)
        found = found[0] if isinstance(found, list) else found
        try:
            return float(str(found)) % _GE_MOST
        except ValueError:
            continue
    return None


def _flip(timing: Any) -> float | None:
    return number(timing, "FlipAngle")


def _times(group: Read, file: _File) -> tuple[object, ...]:
    temporal, acquisition = group("FrameContentSequence", file.temporal)
    return (
        temporal,
        acquisition,
        group("MRModifierSequence", file.inversion),
        group("MRTimingAndRelatedParametersSequence", _flip),
        group("MRDiffusionSequence", file.direction),
        group("CardiacSynchronizationSequence", file.trigger),
        file.moment,
    )
