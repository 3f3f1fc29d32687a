"""DICOM files: opened with care, whatever they hold.

What pydicom says of a damaged header quotes it, and may so name a patient: none of its words,
warnings and log lines come through here.
"""

import gzip
import io
import logging
import os
import stat
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.volume import File, InMemory

MAX_FILE_BYTES = 2**30
"""A larger file, unpacked, is refused: a 4-D enhanced file of half a GiB is not rare."""

MAX_INFLATED_BYTES = 2**28
"""The same for what the deflated transfer syntax unpacks to, which is held in memory twice."""

MAX_ELEMENTS = 100_000
"""The same for elements beside those in sequences: zeros are read as elements of no length."""

_GZIP = b"\x1f\x8b"
_SIGN_AT, _SIGN = 128, b"DICM"
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_FIRST_GROUPS = (b"\x02\0", b"\x08\0")  # of a file without the sign; files begin with one of them
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_SHORT = 1024  # bytes; no first element of a header without the sign is longer


class NotDicomError(UnreadableImage):
    """A file that does not look like DICOM at all."""


def whole_dataset(path: File, name: str) -> Any:
    """Read a DICOM file, pixels included but not decoded.

    Args:
        path: the file, also one packed by gzip.
        name: what to call it in errors.

    Returns:
        A `pydicom.FileDataset`.

    Raises:
        NotDicomError: it is no DICOM file.
        UnreadableImage: no regular file, too large, or damaged.
    """
    with _opened(path, name) as source:
        return _dataset(source, name)[0]


def header_alone(
    path: File, name: str, tags: Sequence[int] | None = None
) -> tuple[Any, int | None]:
    """Read elements of a DICOM file, none of the pixels and of what follows them.

    Args:
        path: the file, also one packed by gzip.
        name: what to call it in errors.
        tags: of the elements, None for all; those of sequences bring all that they hold.

    Returns:
        The dataset, and how many bytes follow its header; None where the file is packed.

    Raises:
        NotDicomError: it is no DICOM file.
        UnreadableImage: no regular file, too large, or damaged.
    """
    with _opened(path, name) as source:
        return _dataset(source, name, None if tags is None else list(tags), stop_before_pixels=True)


@contextmanager
def silenced() -> Iterator[None]:
    """Let pydicom and its decoders say nothing, in every thread, until all have left the block."""
    _Silence.begin()
    try:
        yield
    finally:
        _Silence.end()


class _Silence:
    """Counts who wants silence: `catch_warnings` alone would be undone by another thread."""

    lock = threading.Lock()
    count = 0
    caught: Any = None

    @classmethod
    def begin(cls) -> None:
        with cls.lock:
            cls.count += 1
            if cls.count == 1:
                cls.caught = warnings.catch_warnings()
                cls.caught.__enter__()
                warnings.simplefilter("ignore")
                logging.getLogger("pydicom").disabled = True

    @classmethod
    def end(cls) -> None:
        with cls.lock:
            cls.count -= 1
            if cls.count == 0:
                cls.caught.__exit__(None, None, None)
                logging.getLogger("pydicom").disabled = False


class _Bounded:
    """An open file of which no more is asked for than it holds or may hold.

    A header may claim lengths of gigabytes, and a read reserves all that it asks for.
    """

    def __init__(self, handle: BinaryIO, limit: int, *, packed: bool) -> None:
        self._read, self.seek, self.tell = handle.read, handle.seek, handle.tell
        self.limit, self.packed = limit, packed

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _SHORT:
            left = max(self.limit - self.tell(), 0)
            if self.packed and not 0 <= size <= left:
                size = left + 1
            elif size < 0 or size > left:
                size = left
        data = self._read(size)
        if self.packed and self.tell() > self.limit:
            raise OverflowError
        return data

    @property
    def left(self) -> int:
        return self.limit - self.tell()


@contextmanager
def _opened(path: File, name: str) -> Iterator[_Bounded]:
    """Open a regular file that may be packed; whatever goes wrong becomes `UnreadableImage`."""
    try:
        with silenced(), _handle(path) as handle:
            size = _size(handle, name)
            if size > MAX_FILE_BYTES:
                raise OverflowError
            begin = handle.read(len(_GZIP))
            handle.seek(0)
            if begin == _GZIP:
                with gzip.GzipFile(fileobj=handle) as unpacked:
                    yield _Bounded(cast("BinaryIO", unpacked), MAX_FILE_BYTES, packed=True)
            else:
                yield _Bounded(handle, size, packed=False)
    except (UnreadableImage, MemoryError):
        raise
    except OverflowError:
        raise UnreadableImage(
            name, f"is larger than the limit of {MAX_FILE_BYTES:,} bytes"
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UnreadableImage(name, "is corrupt or truncated") from None
    except OSError as error:
        raise UnreadableImage(name, f"cannot be opened ({error.strerror})") from None
    except Exception as error:  # noqa: BLE001 - pydicom raises nearly anything on hostile bytes
        raise UnreadableImage(name, f"is corrupt or truncated ({type(error).__name__})") from None


def _handle(path: File) -> BinaryIO:
    if isinstance(path, InMemory):
        return io.BytesIO(path.data)
    return open(path, "rb", opener=_without_waiting)


def _size(handle: BinaryIO, name: str) -> int:
    if isinstance(handle, io.BytesIO):
        return handle.getbuffer().nbytes
    status = os.fstat(handle.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImage(name, "is not a regular file")
    return status.st_size


def _without_waiting(path: str, flags: int) -> int:
    """Open without blocking: a named pipe would wait for its writer for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _dataset(
    source: _Bounded, name: str, tags: list[int] | None = None, *, stop_before_pixels: bool = False
) -> tuple[Any, int | None]:
    from pydicom.filereader import read_partial
    from pydicom.tag import Tag

    begin = source.read(_SHORT)
    if not begin:
        raise NotDicomError(name, "is empty")
    signed = _is_signed(begin)
    if not begins_like_dicom(begin):
        raise NotDicomError(name, "is not DICOM")
    file: Any = source
    if signed and _DEFLATED in begin:
        file = _inflatable(begin, source, name)
    source.seek(0)
    # As dcmread does, which would count no elements.
    dataset = read_partial(
        file,
        _enough(name, stop_before_pixels=stop_before_pixels),
        force=not signed,
        specific_tags=None if tags is None else [Tag(tag) for tag in tags],
    )
    if source.packed and not stop_before_pixels:
        source.read()  # pydicom takes the end of a file that is cut off for the end of its header
    if not any(word in dataset for word in ("SOPClassUID", "Rows", "Modality")):
        kind = dataset.file_meta.get("MediaStorageSOPClassUID") if signed else None
        if kind is None:
            raise NotDicomError(name, "is not DICOM, or is truncated before its image begins")
    return dataset, None if source.packed or file is not source else source.left


def _enough(name: str, *, stop_before_pixels: bool) -> Callable[[int, str | None, int], bool]:
    """Return what tells pydicom to stop, or refuses the file."""
    left = MAX_ELEMENTS

    def enough(tag: int, _vr: str | None, _length: int) -> bool:
        nonlocal left
        left -= 1
        if left < 0:
            raise UnreadableImage(name, f"has more elements than the limit of {MAX_ELEMENTS:,}")
        return stop_before_pixels and tag in _PIXELS

    return enough


def _is_signed(begin: bytes) -> bool:
    return begin[_SIGN_AT : _SIGN_AT + len(_SIGN)] == _SIGN


def begins_like_dicom(begin: bytes) -> bool:
    """Tell whether a file bears DICOM's sign, or begins with an element, as old ones do."""
    if _is_signed(begin):
        return True
    if len(begin) < 8:  # no element is shorter
        return False
    for order, group in (("little", begin[:2]), ("big", begin[1::-1])):
        element = int.from_bytes(begin[2:4], order)  # type: ignore[arg-type]
        if group in _FIRST_GROUPS and element <= 0x0100:
            length = int.from_bytes(begin[4:8], order)  # type: ignore[arg-type]
            explicit = begin[4:6].isalpha() and begin[4:6].isupper()
            if explicit or length < _SHORT:
                return True
    return False


def _inflatable(begin: bytes, source: _Bounded, name: str) -> io.BytesIO:
    """Return the bytes of a deflated file after a look at how much they unpack to."""
    source.seek(0)
    data = source.read()
    # After the sign comes the length of the group that is never deflated, in an element of 12.
    start = 144 + int.from_bytes(begin[140:144], "little")
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[start:], MAX_INFLATED_BYTES + 1)
    if len(inflated) > MAX_INFLATED_BYTES:
        raise UnreadableImage(
            name, f"unpacks to more than the limit of {MAX_INFLATED_BYTES:,} bytes"
        )
    return io.BytesIO(data)
