"""A decoder that breaks as decoders may: how, the beginning of a file tells."""

import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from brainssl.serving import decoding
from brainssl.serving.engine import Seen


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


def decode_badly(link: Connection, wanted: decoding.Wanted) -> None:
    """Be a process that decodes so."""
    decoding.read_upload = badly
    decoding.decode_for_ever(link, wanted)
