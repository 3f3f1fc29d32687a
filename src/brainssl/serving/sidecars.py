"""What the names of uploaded volumes say, and the JSON files that are sent with them.

It is told, and of a patient's several sequences it weighs the answer; what a file is, its content
decides. Only words of a list leave here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from brainssl.data.archives.archive import UNKNOWN
from brainssl.data.archives.bids_names import parsed
from brainssl.data.archives.sequences import told_sequence
from brainssl.data.archives.sidecars import header_of, in_milliseconds
from brainssl.data.archives.walk import bare, volume_suffix
from brainssl.serving.uploads import Upload

_MOST = 2**16  # bytes of a sidecar


@dataclass
class Named:
    """What is known of files by their places in a request.

    Attributes:
        sequences: such as `T1C+`.
        patients: participants of BIDS.
        sidecars: places of files that say something of others, and are none to classify.
    """

    sequences: dict[int, str] = field(default_factory=dict)
    patients: dict[int, str] = field(default_factory=dict)
    sidecars: set[int] = field(default_factory=set)


def named_of(files: Sequence[Upload]) -> Named:
    """Return what names and sidecars say of files that are called as NIfTI is.

    A sidecar is a JSON object that is called as its volume is: `x.json` beside `x.nii.gz`.
    """
    found = Named()
    sides: dict[str, tuple[int, dict[str, object]]] = {}
    for place, one in enumerate(files):
        path = PurePath(one.name)
        if path.suffix.lower() == ".json" and len(one.data) <= _MOST:
            told_beside = header_of(one.data)
            if told_beside is not None:
                sides[path.stem] = place, told_beside
    for place, one in enumerate(files):
        if volume_suffix(one.name) is None:
            continue
        header: dict[str, object] = {}
        if (beside := sides.get(bare(one.name))) is not None:
            found.sidecars.add(beside[0])
            header = in_milliseconds(beside[1])
        told = told_sequence(one.name, header).value
        if told != UNKNOWN:
            found.sequences[place] = told
        if name := parsed(one.name):
            found.patients[place] = name.patient
    return found
