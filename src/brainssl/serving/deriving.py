"""A map of one slice of uploaded DICOM files as DICOM, made where files are decoded."""

import io
import json
import secrets
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float32

from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.slices import Opened, Plane
from brainssl.data.volumes.volume import InMemory, VolumeRef
from brainssl.serving.faults import Fault
from brainssl.serving.messages import apart, joined
from brainssl.serving.volumes import Seen

DERIVE = b".derive/"
"""What a decoder is asked with for a map; no suffix."""
LONGEST = 2**28
"""Bytes of an answer."""
FIELDS = frozenset({"method", "label", "file", "slice"})
"""Of a form, beside the files."""


@dataclass(frozen=True)
class MapAsked:
    """What map is asked for.

    Attributes:
        file: place of the first file of the volume among all.
        number: of the slice, from 1.
        label: the class whose evidence it is.
        method: such as `gradcam`.
        peak: largest value of the raw map.
        saliency: in units of it; float32, by rows.
    """

    file: int
    number: int
    label: str
    method: str
    peak: float
    saliency: bytes


def slice_asked(found: Sequence[tuple[str, object]], fields: Mapping[str, str]) -> Seen:
    """Return the one slice that a request is about.

    Args:
        found: slices of the files, by the names that these were sent with, and what is unread.
        fields: `file` and `slice`, as answers tell them; either may be left out.

    Raises:
        Fault: there is none, or several.
    """
    number = fields.get("slice")
    seen = [
        one
        for name, one in found
        if isinstance(one, Seen)
        and fields.get("file", name) == name
        and number in (None, str(one.number))
    ]
    if len(seen) == 1:
        return seen[0]
    if seen:
        raise Fault(422, "there are several slices: name one by `slice`, and by `file` its series")
    raise Fault(422, "no slice that was judged has this `file` and `slice`")


def packed_map(asked: MapAsked, files: Sequence[bytes]) -> bytes:
    """Return what a decoder is sent."""
    head = asdict(asked)
    saliency = head.pop("saliency")
    parts = (json.dumps(head).encode(), saliency, *files)
    return DERIVE + joined(parts)


def derived(
    data: bytes, *, reader: int, field_of_view: float | None, plane: Plane, max_voxels: int
) -> bytes:
    """Return a zip of the parametric map and the picture of a slice.

    Args:
        data: of `packed_map`.
        reader: version of the normalisation.
        field_of_view: side in mm of what the classifier sees of each slice; None: all of it.
        plane: of the slices.
        max_voxels: a volume with more is refused.

    Raises:
        UnreadableImage: none can be made of these files.
    """
    from brainssl.inference.dicom_out import SliceMap, dicom_maps

    head, saliency, *files = apart(data[len(DERIVE) :])
    told = json.loads(head)
    values: Float32[np.ndarray, " n"] = np.frombuffer(saliency, np.float32)
    side = round(len(values) ** 0.5)
    made = SliceMap(told["number"], values.reshape(side, side), told["peak"])

    def mapped(opened: Opened) -> list[SliceMap]:
        if made.number > len(opened.volume.samples):
            raise UnreadableImage("file", "has no such slice")
        return [made]

    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in dicom_maps(
            _volume(files, told["file"]),
            mapped,
            label=told["label"],
            method=told["method"],
            reader=reader,
            field_of_view=field_of_view,
            plane=plane,
            max_voxels=max_voxels,
        ):
            written.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return held.getvalue()


def _volume(files: Sequence[bytes], first: int) -> VolumeRef:
    """Return the volume whose first file has a place, as `read_dicom_uploads` finds it."""
    from brainssl.data.archives.dicom import dicom_archive_of_files

    held = [InMemory(data, f"file {place}") for place, data in enumerate(files)]
    places = {one.name: place for place, one in enumerate(held)}
    archive = dicom_archive_of_files(held, secrets.token_bytes(32))
    volumes = [
        one.volume
        for one in archive.series
        if one.exclusion is None and min(places[file.name] for file in one.volume.files) == first
    ]
    if len(volumes) != 1:
        raise UnreadableImage("file", "holds several volumes: which is meant cannot be told")
    [ref] = volumes
    return VolumeRef("dicom", ref.files, "file", ref.frames)
