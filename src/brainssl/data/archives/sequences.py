"""What names and sidecars say of a volume's sequence, and whether it is one to learn from."""

from collections.abc import Mapping

from brainssl.data.archives.archive import UNKNOWN, Told
from brainssl.data.archives.headers.combining import combined
from brainssl.data.archives.headers.sequence import sequence_from, sequence_from_name

_SURE = 0.8  # confidence from which something else than a sequence is left out

_NOT_TO_LEARN = {
    "a localiser": "localiser",
    "a calibration": "calibration",
    "an ADC map": "map",
    "a map of diffusion": "map",
    "a quantitative map": "map",
    "a projection": "derived",
    "a subtraction": "derived",
    "an image of phases": "phase",
    "perfusion": "perfusion",
    "functional": "functional",
    "angiography": "angiography",
    "spectroscopy": "spectroscopy",
    "a field map": "field map",
    "a mask": "mask",
    "no image of a scan": "no image",
}


def told_sequence(name: str, header: Mapping[str, object], *others: Told) -> Told:
    """Return the sequence by the name of a file, what a sidecar says, and further statements.

    Args:
        name: of the file, as BIDS, BraTS and people write.
        header: by DICOM keyword, times in ms; empty where there is none.
        others: statements of their own.
    """
    told = [sequence_from_name(name), *others]
    return combined(*told, sequence_from(header)) if header else combined(*told)


def exclusion_of(told: Told) -> str | None:
    """Return why a volume is none to learn from, where it is known to be of another kind."""
    if told.value != UNKNOWN or told.confidence < _SURE:
        return None
    said = (line.rsplit(": ", 1)[-1] for line in told.evidence)
    return next((_NOT_TO_LEARN[what] for what in said if what in _NOT_TO_LEARN), None)
