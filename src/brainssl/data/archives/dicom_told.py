"""The sequence and the plane of a series by what its header says."""

from collections.abc import Mapping

from brainssl.data.archives.archive import Told
from brainssl.data.archives.headers.plane import plane_from_orientation
from brainssl.data.archives.headers.sequence import sequence_from


def told_of(header: Mapping[str, object]) -> tuple[Told, Told]:
    """Return sequence and plane.

    Args:
        header: as `brainssl.data.volumes.dicom_headers.header_of` gives it.
    """
    orientation = header.get("ImageOrientationPatient")
    known = isinstance(orientation, list) and len(orientation) == 6
    plane = plane_from_orientation(orientation) if known else Told()  # type: ignore[arg-type]
    return sequence_from(header), plane
