"""Where each frame of a DICOM file lies, how its values are rescaled, and what tells it apart."""

from collections.abc import Callable
from typing import Any, NamedTuple

from brainssl.data.volumes.dicom_values import (
    first,
    items,
    number,
    numbers,
    plain,
    private,
    text,
    whole,
)

MAX_FRAMES = 2**16
"""A file that claims more is refused."""

Triple = tuple[float, ...]

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
        frame = _frame(dataset, lambda _: dataset)
        return (frame if count == 1 else frame._replace(position=None),) * count
    return tuple(
        _frame(dataset, _groups(own[at] if at < len(own) else None, shared)) for at in range(count)
    )


def _groups(own: Any, shared: Any) -> Callable[[str], Any]:
    def group(name: str) -> Any:
        found = first(own, name)
        return first(shared, name) if found is None else found

    return group


def _frame(dataset: Any, group: Callable[[str], Any]) -> Frame:
    measures, values = group("PixelMeasuresSequence"), group("PixelValueTransformationSequence")
    slope, intercept = number(values, "RescaleSlope"), number(values, "RescaleIntercept")
    return Frame(
        numbers(group("PlanePositionSequence"), "ImagePositionPatient", 3),
        numbers(group("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        _positive(numbers(measures, "PixelSpacing", 2)),
        number(measures, "SliceThickness"),
        number(measures, "SpacingBetweenSlices"),
        1.0 if slope is None else slope,
        0.0 if intercept is None else intercept,
        _kind(dataset, group),
        _times(dataset, group),
    )


def _positive(spacing: Triple | None) -> Triple | None:
    return spacing if spacing and min(spacing) > 0 else None


def _kind(dataset: Any, group: Callable[[str], Any]) -> tuple[object, ...]:
    typed, echoes = group("MRImageFrameTypeSequence"), group("MREchoSequence")
    enhanced = typed is not dataset
    echo = number(echoes, "EffectiveEchoTime") if enhanced else number(dataset, "EchoTime")
    return (
        text(typed, "FrameType") if enhanced else text(dataset, "ImageType"),
        text(typed, "ComplexImageComponent"),
        private(dataset, 0x0043, "GEMS_PARM_01", 0x2F) if not enhanced else None,
        None if echo is None else round(echo, 2),
        None if enhanced else whole(dataset, "EchoNumbers"),
        b_value(dataset, group("MRDiffusionSequence")),
        text(group("FrameContentSequence"), "StackID"),
    )


def b_value(dataset: Any, diffusion: Any) -> float | None:
    """Return the diffusion weighting, s/mm², from the public element or those of vendors."""
    value = number(diffusion, "DiffusionBValue")
    for group, creator, element in (
        (0x0019, "SIEMENS MR HEADER", 0x0C),
        (0x2001, "Philips Imaging DD 001", 0x03),
        (0x0043, "GEMS_PARM_01", 0x39),
    ):
        if value is None:
            found = private(dataset, group, creator, element)
            found = found[0] if isinstance(found, list) else found
            try:
                value = float(str(found)) % _GE_MOST
            except ValueError:
                value = None
    return value


def _times(dataset: Any, group: Callable[[str], Any]) -> tuple[object, ...]:
    content, diffusion = group("FrameContentSequence"), group("MRDiffusionSequence")
    gradient = first(diffusion, "DiffusionGradientDirectionSequence")
    if content is dataset:
        temporal = whole(dataset, "TemporalPositionIdentifier")
        acquisition = whole(dataset, "AcquisitionNumber")
        inversion, flip = number(dataset, "InversionTime"), number(dataset, "FlipAngle")
        trigger = number(dataset, "TriggerTime")
        direction = numbers(dataset, "DiffusionGradientOrientation", 3)
    else:
        temporal = whole(content, "TemporalPositionIndex")
        acquisition = whole(content, "FrameAcquisitionNumber")
        inversion = number(group("MRModifierSequence"), "InversionTimes")
        flip = number(group("MRTimingAndRelatedParametersSequence"), "FlipAngle")
        trigger = number(group("CardiacSynchronizationSequence"), "NominalCardiacTriggerDelayTime")
        direction = numbers(gradient, "DiffusionGradientOrientation", 3)
    moment = plain(dataset, "AcquisitionTime")
    return (temporal, acquisition, inversion, flip, direction, trigger, moment)
