"""A process that decodes: it reads one file at a time, within its bounds, and writes none."""

import contextlib
import os
import resource
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from brainssl.data.read import NO_MEMORY, UnreadableImage
from brainssl.data.volumes.slices import Plane
from brainssl.foundation.errors import BrainsslError
from brainssl.serving.deriving import DERIVE, derived
from brainssl.serving.engine import read_upload
from brainssl.serving.limits import Limits
from brainssl.serving.messages import (
    READY,
    SERIES,
    Asked,
    Decoded,
    apart,
    packed_answer,
    packed_bytes,
    packed_refusal,
    unpacked_question,
)
from brainssl.serving.refusals import status_of, told_of
from brainssl.serving.volumes import TooMany, read_dicom_uploads

_MEMORY = 3 * 2**30  # bytes of address space that a process may take beside what it begins with


@dataclass(frozen=True)
class Wanted:
    """What decoders make of files.

    Attributes:
        reader: version of the normalisation.
        size: side of the slices.
        limits: of the service.
        plane: of the slices of volumes.
        bits: of a pixel.
        field_of_view: side in mm of what is seen of each slice of a volume; None: all is.
    """

    reader: int
    size: int
    limits: Limits
    plane: Plane = "native"
    bits: int = 8
    field_of_view: float | None = None


def decode_for_ever(link: Connection, wanted: Wanted) -> None:
    """Be a process that decodes, until the other end is closed."""
    # Who ends the service may end its whole group: what was accepted is still to be decoded.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _silence()
    _confine()
    link.send_bytes(READY)
    # Were the service killed, nobody would end a decoder that hangs: the alarm does.
    alarm = wanted.limits.seconds_for(wanted.limits.max_files) + 2
    with contextlib.suppress(EOFError, OSError):
        while True:
            asked = link.recv_bytes()
            signal.setitimer(signal.ITIMER_REAL, alarm)
            answer = _mapped if asked.startswith(DERIVE) else answered
            link.send_bytes(answer(asked, wanted))
            signal.setitimer(signal.ITIMER_REAL, 0)


def _silence() -> None:
    """Say nothing: what decoders warn of may quote the file."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _confine() -> None:
    """Limit what a decoder may take: memory, and no byte of a file."""
    began = 0
    with contextlib.suppress(OSError):
        began = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for what, most in (
        (resource.RLIMIT_AS, began + _MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS knows no limit of address space
            resource.setrlimit(what, (allowed, allowed))


def answered(sent: bytes, wanted: Wanted) -> bytes:
    """Return the slices of a file, or why there are none."""
    try:
        asked = unpacked_question(sent)
        read = _series if asked.suffix == SERIES else _file
        return packed_answer(read(asked, wanted))
    except TooMany as error:
        return packed_refusal(413, told_of(error.reason), error.slices)
    except UnreadableImage as error:
        return packed_refusal(status_of(error.reason), told_of(error.reason))
    except BrainsslError:
        return packed_refusal(415, "is a volume, and this service lacks brainssl[scans]")
    except MemoryError:
        return packed_refusal(status_of(NO_MEMORY), NO_MEMORY)


def _mapped(sent: bytes, wanted: Wanted) -> bytes:
    """Return a map as DICOM, or why there is none."""
    most = wanted.limits.max_voxels
    try:
        made = derived(
            sent,
            reader=wanted.reader,
            field_of_view=wanted.field_of_view,
            plane=wanted.plane,
            max_voxels=most,
        )
        return packed_bytes(made)
    except UnreadableImage as error:
        return packed_refusal(status_of(error.reason), told_of(error.reason))
    except MemoryError:
        return packed_refusal(status_of(NO_MEMORY), NO_MEMORY)


def _file(asked: Asked, wanted: Wanted) -> Decoded:
    limits = wanted.limits
    found = read_upload(
        asked.data,
        asked.suffix,
        reader=wanted.reader,
        size=wanted.size,
        bits=wanted.bits,
        field_of_view=wanted.field_of_view,
        max_bytes=limits.max_bytes,
        max_pixels=limits.max_pixels,
        max_voxels=limits.max_voxels,
        max_slices=asked.most,
        plane=wanted.plane,
        look=asked.look,
    )
    if len(found) > asked.most:
        raise TooMany(len(found), asked.most)
    return Decoded(found, [])


def _series(asked: Asked, wanted: Wanted) -> Decoded:
    found = Decoded([], [])
    read = read_dicom_uploads(
        list(apart(asked.data)),
        reader=wanted.reader,
        size=wanted.size,
        bits=wanted.bits,
        field_of_view=wanted.field_of_view,
        max_voxels=wanted.limits.max_voxels,
        max_slices=asked.most,
        plane=wanted.plane,
        look=asked.look,
    )
    for one in read:
        if isinstance(one, tuple):
            files, why = one
            found.refused.extend((file, status_of(why), told_of(why)) for file in files)
        else:
            found.slices.extend(one)
    return found
