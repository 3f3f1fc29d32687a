"""Files without a buffer: what was written is there, and nothing is left to write as they close."""

import io
from pathlib import Path


def write_whole(stream: io.FileIO, content: bytes, place: Path) -> None:
    """Write all of `content` to a file without a buffer: nothing is left to write as it closes.

    Raises:
        OSError: it names `place`.
    """
    left = memoryview(content)
    try:
        while left:
            left = left[stream.write(left) :]
    except OSError as error:
        error.filename = str(place)
        raise


def read_whole(stream: io.FileIO, count: int) -> bytes:
    """Read so many bytes of a file without a buffer; fewer only where it ends."""
    parts = []
    while count and (part := stream.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
