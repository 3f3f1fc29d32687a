"""The raw data sets of nnU-Net and of the Medical Segmentation Decathlon as an archive.

`dataset.json` names the channels (`channel_names`, formerly `modality`);
`imagesTr/CASE_0000.nii.gz` is the first channel of a case and `labelsTr/CASE.nii.gz` its mask
(Isensee et al. 2021). The Decathlon has one file a case, of a volume a channel, in the same folders
(Antonelli et al. 2022).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from brainssl.data.archives.archive import UNKNOWN, Archive, Series, Told
from brainssl.data.archives.headers.sequence import sequence_from_name
from brainssl.data.archives.nifti_series import Progress, read_headers, same_grid, series_of
from brainssl.data.archives.sequences import exclusion_of
from brainssl.data.archives.walk import bare, inner, walk
from brainssl.data.listing import visible
from brainssl.data.read import UnreadableImage, file_bytes
from brainssl.data.volumes.nifti import NiftiHeader

_IMAGES = re.compile(r"images(tr|ts)", re.IGNORECASE)
_LABELS = re.compile(r"labels(tr|ts)", re.IGNORECASE)
OTHER = "another modality"
_OTHERS = ("CT", "PET", "US")
_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
_LARGEST = 2**26  # bytes of a `dataset.json`: older ones list every file


@dataclass(frozen=True)
class _Place:
    part: str
    case: str
    channel: int | None


def nnunet_archive(
    source: Path, *, progress: Progress | None = None, workers: int | None = None
) -> Archive | None:
    """Return what a data set of nnU-Net holds; None where the source is none.

    Args:
        source: the folder that holds `dataset.json`, or one that only wraps it.
        progress: is told (headers read, headers in all).
        workers: how many headers are read at once.

    Raises:
        BrainsslError: nibabel is not installed.
    """
    home = inner(source)
    channels = _channels(home)
    if channels is None:
        return None
    held = walk(source)
    volumes = held.volumes()
    images = {path: place for path in volumes if (place := _place(path, _IMAGES))}
    masks = {
        (place.part, place.case): path
        for path in volumes
        if (place := _place(path, _LABELS, channels=False))
    }
    read = [*images, *masks.values()]
    headers, unreadable = read_headers(source, read, progress=progress, workers=workers)
    archive = Archive("nnunet", source, [], sorted([*held.unreadable, *unreadable]), held.notes)
    elsewhere = 0
    for path, place in images.items():
        if path not in headers:
            continue
        mask = masks.get((place.part, place.case))
        if mask and (mask not in headers or not same_grid(headers[path], headers[mask])):
            elsewhere, mask = elsewhere + (mask in headers), None
        archive.series += _series(source, path, place, headers[path], channels, mask)
    archive.notes += _notes(archive, _json(home / "dataset.json"), elsewhere)
    if left := len(volumes) - len(read):
        archive.notes.append(f"{left} volumes lie in no folder of images or labels: not read.")
    return archive


def is_nnunet(source: Path) -> bool:
    """Tell whether a folder has a `dataset.json` with channels beside a folder `imagesTr`."""
    return _channels(inner(source)) is not None


def _channels(home: Path) -> dict[int, str] | None:
    """Return the names of the channels by number; None where the folder is no such data set."""
    if not any(_IMAGES.fullmatch(entry.name) for entry in visible(home)):
        return None
    told = _json(home / "dataset.json")
    named = told.get("channel_names", told.get("modality"))
    if isinstance(named, list):
        named = dict(enumerate(named))
    if not isinstance(named, dict):
        return None
    return {int(key): str(name) for key, name in named.items() if str(key).isdecimal()}


def _json(file: Path) -> dict[str, Any]:
    """Return an object in a file; an empty one where there is none."""
    try:
        told = json.loads(file_bytes(file, max_bytes=_LARGEST))
    except (UnreadableImage, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _place(path: str, folder: re.Pattern[str], *, channels: bool = True) -> _Place | None:
    """Return part, case and channel of a file in such a folder; None of one that lies elsewhere."""
    place = PurePosixPath(path)
    found = folder.fullmatch(place.parent.name)
    if found is None:
        return None
    name = bare(place.name)
    of_channel = _CHANNEL.fullmatch(name) if channels else None
    if of_channel is None:
        return _Place(found[1].lower(), name, None)
    return _Place(found[1].lower(), of_channel["case"], int(of_channel["channel"]))


def _series(
    source: Path,
    path: str,
    place: _Place,
    header: NiftiHeader,
    channels: Mapping[int, str],
    mask: str | None,
) -> Iterator[Series]:
    """Yield the series of a file: one, or where it holds a volume a channel as many."""
    together = place.channel is None and 1 < header.volumes == len(channels)
    for number in sorted(channels) if together else [place.channel or 0]:
        sequence = _told(channels.get(number), number)
        exclusion = _exclusion(channels.get(number), sequence)
        one = series_of(
            source,
            path,
            header,
            patient=place.case,
            study=place.case,
            sequence=sequence,
            mask=mask,
            exclusion=exclusion,
        )
        if together:
            volume = replace(one.volume, volume=number)
            name = f"{one.name}_{number:04}"
            one = replace(one, name=name, series=name, volume=volume, exclusion=exclusion)
        yield one


def _told(name: str | None, number: int) -> Told:
    """Return the sequence of a channel by what the data set calls it."""
    if name is None:
        return Told(evidence=(f"dataset.json: has no channel {number}",))
    told = sequence_from_name(name)
    if told.value == UNKNOWN and told.confidence == 0:
        return Told(evidence=(f"dataset.json: the name of channel {number} tells none",))
    return replace(told, evidence=(f"dataset.json: channel {number}", *told.evidence))


def _exclusion(name: str | None, sequence: Told) -> str | None:
    """Return why a channel is none to learn from: what is no MRI is none."""
    return OTHER if (name or "").upper() in _OTHERS else exclusion_of(sequence)


def _notes(archive: Archive, told: Mapping[str, Any], elsewhere: int) -> Iterator[str]:
    if elsewhere:
        yield f"{elsewhere} volumes lie on another grid than their mask: without a mask."
    if any(one.mask for one in archive.series):
        labels = told.get("labels")
        named = len(labels) - 1 if isinstance(labels, dict) else 0
        many = f"the {named} labels" if named > 1 else "all labels"
        yield (
            f"Masks are of nnU-Net: {many} above 0 together are taken for the lesion, whatever "
            "dataset.json calls them."
        )
    if archive.series:
        yield (
            "A case is taken for a patient: where one patient has several cases, give a CSV "
            "series,label,patient."
        )
