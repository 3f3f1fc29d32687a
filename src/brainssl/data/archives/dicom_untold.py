"""Stands in for `brainssl.data.archives.headers` until that is there: nothing is told."""

from collections.abc import Mapping, Sequence

from brainssl.data.archives.archive import Told


def sequence_from(header: Mapping[str, object]) -> Told:
    """Tell no sequence."""
    return Told()


def plane_from_orientation(orientation: Sequence[float]) -> Told:
    """Tell no plane."""
    return Told()
