"""Decoding in processes that may be ended: what a stranger sends can hang or kill a decoder.

Each process reads one file at a time, within a limit of time and of memory, and may write no file.
One that overstays or dies costs the file that did it, and is replaced. Between the processes go
bytes alone, never pickles: what a decoder was talked into cannot reach the service by them. They
are forked from a process that has imported what they need, so that a new one is there in a moment.
"""

import asyncio
import contextlib
import json
import multiprocessing
import os
import queue
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np

from brainssl.data.pool import cores
from brainssl.data.read import ALLOWED_SUFFIXES, UnreadableImage
from brainssl.data.volumes.slices import Plane
from brainssl.foundation.depth import kind_of
from brainssl.foundation.errors import BrainsslError
from brainssl.serving.deriving import DERIVE, LONGEST, Asked, derived, packed
from brainssl.serving.engine import read_upload
from brainssl.serving.limits import Limits
from brainssl.serving.volumes import MANY, Seen, Stack, read_dicom_uploads

_T = TypeVar("_T")

_MOST = 4  # processes; each may use a core
_LEAST = 2  # so that one file that hangs does not hold up all others
_MEMORY = 3 * 2**30  # bytes of address space that a process may take beside what it begins with
_READY, _HEAD, _SUFFIX, _MOST_SLICES = b"ready", 4, 8, 4
_SERIES, _LENGTH = ".series/", 8  # no suffix: several DICOM files, each with its length before it
_BESIDE, _ABOUT = 2**16, 2**12  # bytes of an answer beside its slices, and about each or a file
_STARTING = 120.0  # seconds until a process is there, on a machine that is busy

# What a reader says is told where it begins so, and without what it quotes in brackets: that may
# be bytes of the file.
_TOLD = (
    "cannot be taken apart",
    "claims a number of frames",
    "declares ",
    "has ",
    "holds ",
    "is damaged",
    "is compressed in a way",
    "is of an older",
    "is of the older",
    "says that its pixels begin",
    "unpacks to more",
    "is half of a pair",
    "is no ",
    "is not DICOM",
    "lacks an element",
    "is truncated",
    "is a volume",
    "shows no",
    "is a ",
    "is corrupt or truncated",
    "is empty",
    "is larger than the limit",
    "is not an image in",
    "nothing says how a volume lies",
    "nothing says where its slices lie",
)
_STATUS = {
    "is not an image in": 415,
    "declares ": 413,
    "is not DICOM": 415,
    "is no DICOM": 415,
}
_LARGE = "than the limit"
_STATUSES = (413, 415, 422)


class Undecodable(Exception):  # noqa: N818 - says what the file is
    """A file that cannot be read, with what HTTP says of it.

    Attributes:
        status: 413, 415 or 422.
        told: why, in one line that quotes nothing of the file.
    """

    def __init__(self, status: int, told: str) -> None:
        super().__init__(told)
        self.status, self.told = status, told


class TooManySlices(Undecodable):
    """Files of a request hold more slices than one may."""

    def __init__(self, most: int) -> None:
        super().__init__(413, f"{MANY}{most}")
        self.most = most


class Room:
    """How many slices a request may still hold; several threads ask.

    Attributes:
        most: all in all.
        left: of these.
    """

    def __init__(self, most: int) -> None:
        self.most = self.left = most
        self._lock = threading.Lock()

    def take(self, slices: int) -> int:
        """Count slices of what was decoded, and return how many more there may be.

        Raises:
            TooManySlices: there is no room for them.
        """
        with self._lock:
            self.left -= slices
            if self.left < 0:
                raise TooManySlices(self.most)
            return self.left


@dataclass(frozen=True)
class Wanted:
    """What decoders make of files.

    Attributes:
        reader: version of the normalisation.
        size: side of the slices.
        limits: of the service.
        plane: of the slices of volumes.
        bits: of a pixel.
    """

    reader: int
    size: int
    limits: Limits
    plane: Plane = "native"
    bits: int = 8


@dataclass(frozen=True, eq=False)
class Decoded:
    """What was made of files that were read together.

    Attributes:
        slices: of those that can be read.
        refused: place of each other file, a status of HTTP, and why, in one line.
    """

    slices: list[Seen]
    refused: list[tuple[int, int, str]]


class Decoders:
    """Processes that decode, asked from as many threads."""

    def __init__(self, wanted: Wanted, count: int | None = None) -> None:
        self._slices = wanted.limits.max_slices
        self._count = count or max(_LEAST, min(cores(), _MOST))
        self._idle: queue.SimpleQueue[_Decoder] = queue.SimpleQueue()
        self._all = [_Decoder(wanted) for _ in range(self._count)]
        self._threads = ThreadPoolExecutor(self._count, "decoding")

    def start(self) -> None:
        """Start all processes and wait until they are there.

        Raises:
            BrainsslError: they do not come.
        """
        try:
            for decoder in self._all:
                decoder.start()
            for decoder in self._all:
                decoder.await_ready()
                self._idle.put(decoder)
        except OSError as error:
            raise BrainsslError(
                f"the processes that decode did not start ({error}); a script of your own must "
                'call brainssl under if __name__ == "__main__":'
            ) from None

    async def decode(self, data: bytes, name: str, room: Room | None = None) -> list[Seen]:
        """Return the slices of a file.

        Args:
            data: the file.
            name: its suffix may be told to the reader.
            room: of the request that it is of.

        Raises:
            Undecodable: it cannot be read.
            TooManySlices: the request has no room for them.
        """
        suffix = PurePath(name).suffix.lower()
        loop = asyncio.get_running_loop()
        read = await loop.run_in_executor(self._threads, self._asked, data, suffix, 1, room)
        return read.slices

    async def decode_series(self, files: Sequence[bytes], room: Room | None = None) -> Decoded:
        """Return the slices of DICOM files, put together to series, and which files have none.

        Raises:
            Undecodable: they cannot be read, all of them.
            TooManySlices: the request has no room for them.
        """
        data = b"".join(len(one).to_bytes(_LENGTH, "big") + one for one in files)
        loop = asyncio.get_running_loop()
        count = len(files)
        return await loop.run_in_executor(self._threads, self._asked, data, _SERIES, count, room)

    async def derive(self, files: Sequence[bytes], asked: Asked) -> bytes:
        """Return a map as DICOM, in a zip; see `brainssl.serving.deriving`.

        Raises:
            Undecodable: none can be made of these files.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._derived, files, asked)

    def _derived(self, files: Sequence[bytes], asked: Asked) -> bytes:
        decoder = self._idle.get()
        try:
            return decoder.ask(packed(asked, files), LONGEST, _unpacked_zip)
        finally:
            self._idle.put(decoder)

    def _asked(self, data: bytes, suffix: str, files: int, room: Room | None) -> Decoded:
        room = room or Room(self._slices)
        decoder = self._idle.get()
        try:
            read = decoder.decode(data, suffix, files, room.take(0))
        except Undecodable as error:
            if error.told.startswith(MANY):
                room.take(room.most + 1)  # others of the request need not be decoded
            raise
        finally:
            self._idle.put(decoder)
        room.take(_held(read.slices))
        return read

    @property
    def processes(self) -> list[int]:
        """Numbers of the processes that are there."""
        return [number for one in self._all if (number := one.number)]

    def end(self) -> None:
        """End all processes, whatever they are at."""
        for decoder in self._all:
            decoder.end()
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Decoder:
    """One process, replaced when it has died."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._process: multiprocessing.process.BaseProcess | None = None
        self._link: Connection | None = None
        self._ended = False

    @property
    def number(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._link, theirs = context.Pipe()
        self._process = context.Process(
            target=decode_for_ever, args=(theirs, self._wanted), daemon=True
        )
        self._process.start()
        theirs.close()

    def await_ready(self) -> None:
        assert self._link is not None
        with contextlib.suppress(EOFError):
            if self._link.poll(_STARTING) and self._link.recv_bytes(64) == _READY:
                return
        raise OSError("a process that decodes did not start")

    def decode(self, data: bytes, suffix: str, files: int, most: int) -> Decoded:
        """Return what is made of files; of slices, `most` at most."""
        wanted = self._wanted
        kept = suffix if suffix in (*ALLOWED_SUFFIXES, _SERIES) else ""
        asked = kept.encode().ljust(_SUFFIX) + most.to_bytes(_MOST_SLICES, "big") + data
        pixels = wanted.size**2 * wanted.bits // 8
        longest = _BESIDE + _ABOUT * files + most * (pixels + _ABOUT)
        return self.ask(asked, longest, lambda said: _unpacked(said, wanted, files))

    def ask(self, asked: bytes, longest: int, unpack: Callable[[bytes], _T]) -> _T:
        """Return what is made of what is asked, of so many bytes at most, within its time."""
        seconds = self._wanted.limits.decode_seconds
        late = threading.Event()
        try:
            if self._process is None:
                self.start()
                self.await_ready()
            assert self._link is not None
            with _ended_after(seconds, self._link, late):
                self._link.send_bytes(asked)
                said = self._link.recv_bytes(longest)
            if late.is_set():
                raise TimeoutError
            return unpack(said)
        except Undecodable:
            raise
        except Exception:  # noqa: BLE001 - whatever a decoder sends, the file is told of
            self.replace()
            told = "cannot be decoded: its decoder broke down"
            if late.is_set():
                told = f"takes more than {seconds:g} s to decode"
            raise Undecodable(422, told) from None

    def replace(self) -> None:
        """End the process; the next file gets a new one."""
        process, link, self._process, self._link = self._process, self._link, None, None
        if process is not None:
            process.kill()
            process.join(1)
        if link is not None:
            link.close()

    def end(self) -> None:
        if self._process is not None and self._process.pid is not None:  # else it never began
            self._process.kill()


@contextlib.contextmanager
def _ended_after(seconds: float, link: Connection, late: threading.Event) -> Iterator[None]:
    """Close a link for both sides after some time: who waits for a part of an answer is freed."""
    with socket.fromfd(link.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as end:

        def close() -> None:
            late.set()
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(seconds, close)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def decode_for_ever(link: Connection, wanted: Wanted) -> None:
    """Be a process that decodes, until the other end is closed."""
    # Who ends the service may end its whole group: what was accepted is still to be decoded.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _silence()
    _confine()
    link.send_bytes(_READY)
    # Were the service killed, nobody would end a decoder that hangs: the alarm does.
    alarm = wanted.limits.decode_seconds + 2
    with contextlib.suppress(EOFError, OSError):
        while True:
            asked = link.recv_bytes()
            signal.setitimer(signal.ITIMER_REAL, alarm)
            answer = _packed_zip if asked.startswith(DERIVE) else _packed
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


def _packed(asked: bytes, wanted: Wanted) -> bytes:
    """Return the slices of a file, or why there are none: length of the head, head, pixels."""
    pixels = b""
    head: dict[str, object]
    try:
        found = _read(asked, wanted)
        head = {
            "slices": [
                [one.number, one.flags, one.file, _listed(one.stack)] for one in found.slices
            ],
            "refused": found.refused,
        }
        pixels = b"".join(one.image.tobytes() for one in found.slices)
    except UnreadableImage as error:
        head = {"status": _status(error.reason), "told": _told(error.reason)}
    except BrainsslError:
        head = {"status": 415, "told": "is a volume, and this service lacks brainssl[scans]"}
    except MemoryError:
        head = {"status": 413, "told": "needs more memory than a file may"}
    written = json.dumps(head).encode()
    return len(written).to_bytes(_HEAD, "big") + written + pixels


def _packed_zip(asked: bytes, wanted: Wanted) -> bytes:
    """Return a map as DICOM, or why there is none: length of the head, head, zip."""
    data, head = b"", {}
    try:
        data = derived(
            asked, reader=wanted.reader, plane=wanted.plane, max_voxels=wanted.limits.max_voxels
        )
    except UnreadableImage as error:
        head = {"status": _status(error.reason), "told": _told(error.reason)}
    except MemoryError:
        head = {"status": 413, "told": "needs more memory than a file may"}
    written = json.dumps(head).encode()
    return len(written).to_bytes(_HEAD, "big") + written + data


def _unpacked_zip(said: bytes) -> bytes:
    """Return the zip that a decoder made; see `_unpacked`."""
    end = _HEAD + int.from_bytes(said[:_HEAD], "big")
    head = json.loads(said[_HEAD:end])
    if "told" in head:
        _, status, told = _refusal([0, head["status"], head["told"]], 1)
        raise Undecodable(status, told)
    return said[end:]


def _read(asked: bytes, wanted: Wanted) -> Decoded:
    limits, suffix, begin = wanted.limits, asked[:_SUFFIX].decode().rstrip(), _SUFFIX + _MOST_SLICES
    most, data = int.from_bytes(asked[_SUFFIX:begin], "big"), asked[begin:]
    if suffix != _SERIES:
        found = read_upload(
            data,
            suffix,
            reader=wanted.reader,
            size=wanted.size,
            bits=wanted.bits,
            max_bytes=limits.max_bytes,
            max_pixels=limits.max_pixels,
            max_voxels=limits.max_voxels,
            max_slices=most,
            plane=wanted.plane,
        )
        if len(found) > most:
            raise UnreadableImage("file", f"{MANY}{most}")
        return Decoded(found, [])
    slices, refused = [], []
    read = read_dicom_uploads(
        list(_apart(data)),
        reader=wanted.reader,
        size=wanted.size,
        bits=wanted.bits,
        max_voxels=limits.max_voxels,
        max_slices=most,
        plane=wanted.plane,
    )
    for one in read:
        if isinstance(one, tuple):
            files, why = one
            refused += [(file, _status(why), _told(why)) for file in files]
        else:
            slices += one
    return Decoded(slices, refused)


def _apart(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        end = at + _LENGTH + int.from_bytes(data[at : at + _LENGTH], "big")
        yield data[at + _LENGTH : end]
        at = end


def _listed(stack: Stack | None) -> list[object] | None:
    if stack is None:
        return None
    return [stack.name, stack.held, stack.without, stack.sequence]


def _unpacked(said: bytes, wanted: Wanted, files: int) -> Decoded:
    """Return what a decoder said.

    Raises:
        Undecodable: that the files cannot be read.
        Exception: of any kind, where it said nothing that may be.
    """
    end = _HEAD + int.from_bytes(said[:_HEAD], "big")
    head = json.loads(said[_HEAD:end])
    if "told" in head:
        _, status, told = _refusal([0, head["status"], head["told"]], 1)
        raise Undecodable(status, told)
    slices, refused = head["slices"], [_refusal(one, files) for one in head["refused"]]
    if not slices and not refused:
        raise ValueError("nothing was said")
    kind, size = kind_of(wanted.bits), wanted.size
    whole = np.frombuffer(said[end:], kind) if slices else np.empty(0, kind)
    images = whole.reshape(len(slices), size, size).copy()  # PyTorch warns of what is read-only
    return Decoded(
        [
            Seen(
                image,
                None if number is None else int(number),
                tuple(map(str, flags)),
                _stack(stack),
                _place(file, files),
            )
            for image, (number, flags, file, stack) in zip(images, slices, strict=True)
        ],
        refused,
    )


def _refusal(listed: list[Any], files: int) -> tuple[int, int, str]:
    file, status, told = listed
    if status not in _STATUSES or not (isinstance(told, str) and told.isprintable()):
        raise ValueError("no refusal")
    return _place(file, files), int(status), told


def _place(file: Any, files: int) -> int:
    if not 0 <= int(file) < files:
        raise ValueError("no place of a file")
    return int(file)


def _held(slices: Sequence[Seen]) -> int:
    """Count slices as headers do: with those that show no brain."""
    stacks = {one.stack.name: one.stack.held for one in slices if one.stack}
    pictures = sum(one.stack is None for one in slices)
    return max(len(slices), pictures + sum(stacks.values()))


def _stack(listed: list[Any] | None) -> Stack | None:
    if listed is None:
        return None
    name, held, without, sequence = listed
    return Stack(
        str(name), int(held), tuple(map(int, without)), None if sequence is None else str(sequence)
    )


def _status(reason: str) -> int:
    if _LARGE in reason.partition(" (")[0]:
        return 413
    return next((code for begin, code in _STATUS.items() if reason.startswith(begin)), 422)


def _told(reason: str) -> str:
    return reason.partition(" (")[0] if reason.startswith(_TOLD) else "cannot be read"
