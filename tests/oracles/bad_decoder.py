"""A decoder that breaks as decoders may: how, the beginning of a file tells."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from brainssl.data.read import NO_MEMORY
from brainssl.serving import decoder
from brainssl.serving.engine import Seen
from brainssl.serving.messages import unpacked_question


def badly(data: bytes, *_: object, **__: object) -> list[Seen]:
    """Read a file as no decoder should."""
    if data.startswith(b"hang"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
        time.sleep(600)
    if data.startswith(b"die"):
        os.abort()
    if data.startswith(b"write"):
        Path("planted").write_bytes(b"x")
    if data.startswith(b"eat"):
        bytearray(8 * 2**30)
    side = 5 if data.startswith(b"lie") else 32
    return [Seen(np.full((side, side), len(data), np.uint8), None, ())]


def badly_together(
    files: Sequence[bytes], *_: object, **__: object
) -> Iterator[list[Seen] | tuple[list[int], str]]:
    """Read files that came together: one that begins so needs too much, as its reader says."""
    for place, data in enumerate(files):
        if data.startswith(b"eat"):
            yield [place], NO_MEMORY
        else:
            yield [Seen(np.full((32, 32), len(data), np.uint8), None, (), file=place)]


SAID = {
    b"keys": b'{"slices": []}',
    b"types": b'{"slices": 3, "refused": []}',
    b"list": b"[]",
    b"place": b'{"slices": [], "refused": [[7, 422, "x"]]}',
    b"status": b'{"status": 200, "told": "x"}',
    b"nothing": b'{"slices": [], "refused": []}',
}
"""What is said of files that begin so: heads that no decoder writes."""

answered, _decode = decoder.answered, decoder.decode_for_ever


def answered_badly(sent: bytes, wanted: decoder.Wanted) -> bytes:
    """Answer as no decoder should."""
    data = unpacked_question(sent).data
    if data.startswith(b"flood"):
        return bytes(10**6)
    if data.startswith(b"halt"):
        return b"halt"
    for begin, head in SAID.items():
        if data.startswith(begin):
            return len(head).to_bytes(4, "big") + head
    return answered(sent, wanted)


class Halting:
    """A link that sends the beginning of an answer, and no more."""

    def __init__(self, link: Connection) -> None:
        self._link = link
        self.recv_bytes = link.recv_bytes

    def send_bytes(self, data: bytes) -> None:
        """Send, or begin to."""
        if data.endswith(b"halt"):
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
            os.write(self._link.fileno(), (1000).to_bytes(4, "big"))
            time.sleep(600)
        self._link.send_bytes(data)


def decode_badly(link: Connection, wanted: decoder.Wanted) -> None:
    """Be a process that decodes so."""
    decoder.read_upload = badly
    decoder.read_dicom_uploads = badly_together
    decoder.answered = answered_badly
    _decode(Halting(link), wanted)  # type: ignore[arg-type]
