"""Processes that decode, asked from as many threads: what a stranger sends can hang or kill one.

Each process reads one file at a time, within a limit of time and of memory, and may write no file.
One that overstays or dies costs the file that did it, and is replaced. They are forked from a
process that has imported what they need, so that a new one is there in a moment.
"""

import asyncio
import contextlib
import multiprocessing
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import PurePath
from typing import TypeVar

from brainssl.data.pool import cores
from brainssl.data.read import ALLOWED_SUFFIXES, NO_MEMORY
from brainssl.foundation.errors import BrainsslError
from brainssl.serving import decoder
from brainssl.serving.decoder import Wanted
from brainssl.serving.deriving import LONGEST, MapAsked, packed_map
from brainssl.serving.messages import (
    READY,
    SERIES,
    Asked,
    Decoded,
    Undecodable,
    joined,
    longest_answer,
    packed_question,
    unpacked_answer,
    unpacked_bytes,
)
from brainssl.serving.own_slices import Look
from brainssl.serving.volumes import Seen

_T = TypeVar("_T")

_MOST = 4  # processes; each may use a core
_LEAST = 2  # so that one file that hangs does not hold up all others
_STARTING = 120.0  # seconds until a process is there, on a machine that is busy


class TooManySlices(Undecodable):
    """Files of a request hold more slices than one may.

    Attributes:
        most: slices that a request may hold.
        slices: that were counted until then.
    """

    def __init__(self, most: int, slices: int) -> None:
        super().__init__(413, f"have {slices:,} slices, more than the limit of {most:,}", slices)
        self.most = most


class Room:
    """How many slices a request may still hold; several threads ask.

    Attributes:
        most: all in all.
        left: of these.
        look: which of them are wanted at their own resolution, too.
    """

    def __init__(self, most: int, look: Look | None = None) -> None:
        self.most = self.left = most
        self.look = look
        self._lock = threading.Lock()

    def take(self, slices: int) -> int:
        """Count slices of what was decoded, and return how many more there may be.

        Raises:
            TooManySlices: there is no room for them.
        """
        with self._lock:
            self.left -= slices
            if self.left < 0:
                raise TooManySlices(self.most, self.most - self.left)
            return self.left


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
            for one in self._all:
                one.start()
            for one in self._all:
                one.await_ready()
                self._idle.put(one)
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
        data, count = joined(files), len(files)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._asked, data, SERIES, count, room)

    async def derive(self, files: Sequence[bytes], asked: MapAsked) -> bytes:
        """Return a map as DICOM, in a zip; see `brainssl.serving.deriving`.

        Raises:
            Undecodable: none can be made of these files.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._derived, files, asked)

    def _derived(self, files: Sequence[bytes], asked: MapAsked) -> bytes:
        free = self._idle.get()
        try:
            return free.ask(packed_map(asked, files), LONGEST, unpacked_bytes, len(files))
        finally:
            self._idle.put(free)

    def _asked(self, data: bytes, suffix: str, files: int, room: Room | None) -> Decoded:
        room = room or Room(self._slices)
        free = self._idle.get()
        try:
            read = free.decode(data, suffix, files, room.take(0), room.look)
        except Undecodable as error:
            if error.slices is not None:
                room.take(error.slices)  # others of the request need not be decoded
            raise
        finally:
            self._idle.put(free)
        room.take(_held(read.slices))
        return replace(read, slices=[_with_room(one, room.look) for one in read.slices])

    @property
    def processes(self) -> list[int]:
        """Numbers of the processes that are there."""
        return [number for one in self._all if (number := one.number)]

    def end(self) -> None:
        """End all processes, whatever they are at."""
        for one in self._all:
            one.end()
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Decoder:
    """One process, replaced when it has died."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._process: multiprocessing.process.BaseProcess | None = None
        self._link: Connection | None = None
        self._ended = threading.Event()

    @property
    def number(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        if self._ended.is_set():
            raise OSError("the service has ended")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([decoder.__name__])
        self._link, theirs = context.Pipe()
        self._process = context.Process(
            target=decoder.decode_for_ever, args=(theirs, self._wanted), daemon=True
        )
        process = self._process
        process.start()
        theirs.close()
        if self._ended.is_set():  # meanwhile: it ignores SIGTERM, and nobody else would kill it
            process.kill()
            raise OSError("the service has ended")

    def await_ready(self) -> None:
        assert self._link is not None
        with contextlib.suppress(EOFError):
            if self._link.poll(_STARTING) and self._link.recv_bytes(64) == READY:
                return
        raise OSError("a process that decodes did not start")

    def decode(self, data: bytes, suffix: str, files: int, most: int, look: Look | None) -> Decoded:
        """Return what is made of files; of slices, `most` at most."""
        kept = suffix if suffix in (*ALLOWED_SUFFIXES, SERIES) else ""
        size, bits, pixels = self._wanted.size, self._wanted.bits, look.left if look else 0
        found = self.ask(
            packed_question(Asked(kept, most, data, look)),
            longest_answer(most, size, bits, files, pixels),
            lambda said: unpacked_answer(said, size, bits, files),
            files,
        )
        if any(why == NO_MEMORY for *_, why in found.refused):  # of one of several series
            self.replace()
        return found

    def ask(self, asked: bytes, longest: int, unpack: Callable[[bytes], _T], files: int) -> _T:
        """Return what is made of what is asked about files, of so many bytes, within its time."""
        seconds = self._wanted.limits.seconds_for(files)
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
        except Undecodable as error:
            if error.told == NO_MEMORY:  # what it holds after that would be missing for others
                self.replace()
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
        self._ended.set()  # before the look at the process: `start` looks in the other order
        process = self._process
        if process is not None and process.pid is not None:  # else `start` sees to it
            process.kill()


def _with_room(seen: Seen, look: Look | None) -> Seen:
    """Leave out a slice at its own resolution where those of other files took the room."""
    if seen.own is None or (look and look.take(seen.own.pixels.size)):
        return seen
    return replace(seen, own=None)


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


def _held(slices: Sequence[Seen]) -> int:
    """Count slices as headers do: with those that show no brain."""
    stacks = {one.stack.name: one.stack.held for one in slices if one.stack}
    pictures = sum(one.stack is None for one in slices)
    return max(len(slices), pictures + sum(stacks.values()))
