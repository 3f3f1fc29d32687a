"""From the files of a request to slices: pictures and volumes alone, DICOM files together."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from brainssl.serving.answers import Unread
from brainssl.serving.decoding import Decoders, Room, TooManySlices
from brainssl.serving.faults import Fault
from brainssl.serving.messages import Decoded, Undecodable
from brainssl.serving.uploads import Upload
from brainssl.serving.volumes import Seen, is_dicom

_Found: TypeAlias = list[tuple[str, Seen | Unread]]


async def read_files(files: Sequence[Upload], decoders: Decoders, max_slices: int) -> _Found:
    """Return the slices of files, in order and those of DICOM last, or why a file has none.

    Args:
        files: of one request.
        decoders: that read them.
        max_slices: of all files together.

    Raises:
        Fault: nothing of them could be read, or they hold too many slices.
    """
    reading = _Reading(decoders, Room(max_slices))
    dicom = [one for one in files if is_dicom(one.data)]
    others = [reading.file(one) for one in files if not is_dicom(one.data)]
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
        statuses: of HTTP, of those that cannot be.
    """

    def __init__(self, decoders: Decoders, room: Room) -> None:
        self._decoders, self._room = decoders, room
        self.statuses: list[int] = []

    async def file(self, upload: Upload) -> _Found:
        """Read a picture or a NIfTI file."""
        try:
            slices = await self._decoders.decode(upload.data, upload.name, self._room)
        except TooManySlices:
            raise
        except Undecodable as error:
            self.statuses.append(error.status)
            return [(upload.name, Unread(file=upload.name, error=error.told))]
        return [(upload.name, one) for one in slices]

    async def series(self, uploads: Sequence[Upload]) -> _Found:
        """Read DICOM files, and put them together to series."""
        if not uploads:
            return []
        try:
            read = await self._decoders.decode_series([one.data for one in uploads], self._room)
        except TooManySlices:
            raise
        except Undecodable as error:
            read = Decoded([], [(at, error.status, error.told) for at in range(len(uploads))])
        why = {at: (status, told) for at, status, told in read.refused}
        self.statuses.extend(status for status, _ in why.values())
        refused: _Found = [
            (uploads[at].name, Unread(file=uploads[at].name, error=told))
            for at, (_, told) in sorted(why.items())
        ]
        return [*((uploads[one.file].name, one) for one in read.slices), *refused]


async def _together(reading: Sequence[Coroutine[Any, Any, _Found]]) -> list[_Found]:
    """Return what is read of the files of a request, unless that is too much."""
    asked = [asyncio.create_task(one) for one in reading]
    try:
        return await asyncio.gather(*asked)
    except TooManySlices as error:
        told = f"the files hold more slices than the limit of {error.most} a request"
        raise Fault(413, told) from None
    finally:
        for one in asked:  # those that nobody waits for any more
            one.cancel()


def _named_apart(read: Sequence[_Found]) -> _Found:
    """Join what was read together, and number the series of all."""
    names: dict[tuple[int, str], str] = {}
    found: _Found = []
    for place, together in enumerate(read):
        for file, one in together:
            told = one
            if isinstance(one, Seen) and one.stack:
                name = names.setdefault((place, one.stack.name), f"series {len(names) + 1}")
                told = replace(one, stack=replace(one.stack, name=name))
            found.append((file, told))
    return found
