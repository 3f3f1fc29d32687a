"""The bytes of NIfTI files: opened safely, unpacked where gzip packed them, the two of a pair."""

import gzip
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.volume import File, InMemory

_GZIP = b"\x1f\x8b"
_PIECE = 2**20
_POINTERS = b"/annex/objects/", b"version https://git-lfs"


@contextmanager
def opened(path: File, name: str) -> Iterator[tuple[BinaryIO, bool]]:
    """Open a regular file for reading.

    Yields:
        Its content, unpacked where its first bytes say gzip, and whether they do.

    Raises:
        UnreadableImage: missing, or no regular file.
    """
    if isinstance(path, InMemory):
        packed = path.data[:2] == _GZIP
        held = io.BytesIO(path.data)
        yield (gzip.GzipFile(fileobj=held) if packed else held), packed  # type: ignore[misc]
        return
    try:
        handle = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 - closed below
    except OSError as error:
        raise UnreadableImage(name, f"cannot be opened ({error.strerror})") from error
    with handle:
        if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
            raise UnreadableImage(name, "is not a regular file")
        packed = handle.read(2) == _GZIP
        handle.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=handle) as unpacked:
                yield unpacked, True  # type: ignore[misc]  # it reads as a file does
        else:
            yield handle, False


def _without_waiting(path: str, flags: int) -> int:
    """Open without blocking: a named pipe would wait for its writer for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def beginning(path: File, name: str, count: int) -> bytes:
    """Return the first bytes of a file's content, unpacked.

    Raises:
        UnreadableImage: missing, empty, or a pointer to content that was not fetched.
    """
    with opened(path, name) as (handle, _):
        begun = handle.read(count)
    if not begun:
        raise UnreadableImage(name, "is empty")
    if begun.startswith(_POINTERS):
        raise UnreadableImage(
            name, "is a pointer to content that is not here: datalad get or git lfs pull fetches it"
        )
    return begun


def header_file(path: File, name: str) -> File:
    """Return the file that holds the header: of `.img` the `.hdr` beside it, else itself."""
    return _beside(path, ".img", ".hdr", name) if _ends(path, ".img") else path


def pixel_file(path: File, name: str) -> File:
    """Return the file of a pair that holds the pixels.

    Raises:
        UnreadableImage: it is not there.
    """
    return path if _ends(path, ".img") else _beside(path, ".hdr", ".img", name)


def _ends(path: File, suffix: str) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(suffix)


def _beside(path: File, own: str, other: str, name: str) -> File:
    if isinstance(path, InMemory):
        raise UnreadableImage(name, "is half of a pair: a single .nii file is read")
    end = path.name.lower().rfind(own)
    stem = path.name[:end] if end > 0 else path.name
    named = (stem + suffix for suffix in (other, f"{other}.gz", other.upper()))
    found = next((path.with_name(one) for one in named if path.with_name(one).is_file()), None)
    if found is None:
        raise UnreadableImage(name, f"is half of a pair: put its {other} file beside it")
    return found


def exactly(handle: BinaryIO, count: int) -> bytes:
    """Read so many bytes.

    Raises:
        EOFError: there are fewer.
    """
    data = handle.read(count)
    if len(data) < count:
        raise EOFError
    return data


def skip(handle: BinaryIO, count: int, *, packed: bool) -> None:
    """Pass over bytes.

    Raises:
        EOFError: there are fewer, as far as that can be told.
    """
    if not packed:
        handle.seek(count, os.SEEK_CUR)
        return
    while count > 0:
        count -= len(exactly(handle, min(count, _PIECE)))


def count_rest(handle: BinaryIO, most: int) -> int:
    """Read to the end, so that a checksum is compared; stop, and return more, beyond `most`."""
    count = 0
    while count <= most and (piece := handle.read(min(_PIECE, most + 1 - count))):
        count += len(piece)
    return count
