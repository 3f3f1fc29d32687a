"""From the files of a request to slices: pictures and volumes alone, DICOM files together."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from brainssl.serving.answers import Unread
from brainssl.serving.decoding import Decoders, Room, TooManySlices
from brainssl.serving.faults import Fault
from brainssl.serving.messages import Decoded, Undecodable
from brainssl.serving.own_slices import Look
from brainssl.serving.sidecars import Named, named_of
from brainssl.serving.uploads import Upload
from brainssl.serving.volumes import Seen, is_dicom

Found: TypeAlias = list[tuple[str, Seen | Unread]]
"""Slices, or why there is none, each with the name of its file."""

_Placed: TypeAlias = tuple[int, Upload]


async def read_files(
    files: Sequence[Upload], decoders: Decoders, max_slices: int, look: Look | None = None
) -> Found:
    """Return the slices of files, in order and those of DICOM last, or why a file has none.

    `file` of a slice, and `files` of its volume, are places in the request.

    Args:
        files: of one request.
        decoders: that read them.
        max_slices: of all files together.
        look: which slices are wanted at their own resolution, too.

    Raises:
        Fault: nothing of them could be read, or they hold too many slices.
    """
    reading = _Reading(decoders, Room(max_slices, look), named_of(files))
    dicom: list[_Placed] = []
    others = []
    for place, one in enumerate(files):
        if is_dicom(one.data):
            dicom.append((place, one))
        elif place not in reading.named.sidecars:
            others.append(reading.file(place, one))
    found = _named_apart(await _together([*others, reading.series(dicom)]))
    if not any(isinstance(one, Seen) for _, one in found):
        unread = tuple(one for _, one in found if isinstance(one, Unread))
        status = reading.statuses[0] if len(set(reading.statuses)) == 1 else 422
        told = f"the file {unread[0].error}" if len(unread) == 1 else "no file can be read"
        raise Fault(status, told, files=unread)
    return found


class _Reading:
    """The files of one request while they are read.

    Attributes:
        named: what names and sidecars say.
        statuses: of HTTP, of files that cannot be read.
    """

    def __init__(self, decoders: Decoders, room: Room, named: Named) -> None:
        self._decoders, self._room = decoders, room
        self.named = named
        self.statuses: list[int] = []

    async def file(self, place: int, upload: Upload) -> Found:
        """Read a picture or a NIfTI file."""
        try:
            slices = await self._decoders.decode(upload.data, upload.name, self._room)
        except TooManySlices:
            raise
        except Undecodable as error:
            self.statuses.append(error.status)
            return [(upload.name, Unread(file=upload.name, upload=place, error=error.told))]
        return [(upload.name, self._placed(one, [place])) for one in slices]

    async def series(self, uploads: Sequence[_Placed]) -> Found:
        """Read DICOM files, and put them together to series."""
        if not uploads:
            return []
        try:
            data = [one.data for _, one in uploads]
            read = await self._decoders.decode_series(data, self._room)
        except TooManySlices:
            raise
        except Undecodable as error:
            read = Decoded([], [(at, error.status, error.told) for at in range(len(uploads))])
        why = {at: (status, told) for at, status, told in read.refused}
        self.statuses.extend(status for status, _ in why.values())
        names = [one.name for _, one in uploads]
        places = [place for place, _ in uploads]
        refused: Found = [
            (names[at], Unread(file=names[at], upload=places[at], error=told))
            for at, (_, told) in sorted(why.items())
        ]
        return [*((names[one.file], self._placed(one, places)) for one in read.slices), *refused]

    def _placed(self, one: Seen, places: Sequence[int]) -> Seen:
        """Say where in the request the files of a slice are, and what their names say."""
        stack = one.stack
        if stack is not None:
            files = tuple(places[at] for at in stack.files)
            stack = replace(
                stack,
                files=files,
                sequence=stack.sequence or self.named.sequences.get(files[0]),
                patient=stack.patient or self.named.patients.get(files[0]),
            )
        return replace(one, file=places[one.file], stack=stack)


async def _together(reading: Sequence[Coroutine[Any, Any, Found]]) -> list[Found]:
    """Return what is read of the files of a request, unless that is too much."""
    asked = [asyncio.create_task(one) for one in reading]
    try:
        return await asyncio.gather(*asked)
    except TooManySlices as error:
        told = (
            f"the files hold {error.slices:,} slices or more, and a request {error.most:,} at "
            "most: send fewer at once, or use brainssl predict, which takes any number"
        )
        raise Fault(413, told) from None
    finally:
        for one in asked:  # those that nobody waits for any more
            one.cancel()


def _named_apart(read: Sequence[Found]) -> Found:
    """Join what was read together, and number the series and the patients of all."""
    names: dict[tuple[int, str], str] = {}
    patients: dict[str, str] = {}
    found: Found = []
    for place, together in enumerate(read):
        for file, one in together:
            told = one
            if isinstance(one, Seen) and one.stack:
                name = names.setdefault((place, one.stack.name), f"series {len(names) + 1}")
                patient = one.stack.patient and patients.setdefault(
                    one.stack.patient, f"patient {len(patients) + 1}"
                )
                told = replace(one, stack=replace(one.stack, name=name, patient=patient))
            found.append((file, told))
    return found
