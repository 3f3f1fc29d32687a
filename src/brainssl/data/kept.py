"""What was read of a source, kept on disk until all of it is: a killed reading goes on from there.

A result is known by what was asked and by path, size and time of change of each file behind it, so
that a file that changed is read anew. The log is appended to; a record that a kill cut off is cut
away. Names of files, which may be names of people, are not in it. It is written and read by one
version of brainssl, and holds JSON and arrays: nothing in it is run.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from brainssl import __version__
from brainssl.data.pool import WorkerKilledError, in_order
from brainssl.data.read import UnreadableImage
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.locks import locked
from brainssl.foundation.storage import remove
from brainssl.foundation.unbuffered import read_whole, write_whole

_HEAD = 12  # bytes before a record: lengths of head and arrays, and a check of both
_DIGEST = 16  # bytes of the digest by which a result is known
_PAIRED = {".hdr": ".img", ".img": ".hdr"}  # a volume in two files is named by one of them

Item = TypeVar("Item")
Result = TypeVar("Result")


class Kept:
    """A log of results in a folder of its own, made when the first result comes.

    Args:
        folder: hidden, beside what is being made.
        classes: dataclasses that results are made of.

    Attributes:
        taken: how many results were taken from it.
    """

    def __init__(self, folder: Path, classes: Sequence[type]) -> None:
        self.folder, self.taken = folder, 0
        self._classes = {one.__name__: one for one in classes}
        self._places: dict[bytes, int] = {}

    def __enter__(self) -> "Kept":
        """Open the log, for this process alone.

        Raises:
            BusyError: another process has it.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = locked(self.folder / ".lock")
        self._lock.__enter__()
        self._log = (self.folder / "log").open("a+b", buffering=0)
        self._end = self._index()
        self._log.truncate(self._end)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it, and keep it if the reading was cut short: by a kill, Ctrl-C, a full disk.

        What ended well needs it no more, and what was wrong with the source is to be mended first.
        """
        self._log.close()
        cut = error is not None and not isinstance(error, BrainsslError)
        if not self._places or not (cut or isinstance(error, WorkerKilledError)):
            remove(self.folder)
        self._lock.__exit__(kind, error, trace)

    @property
    def told(self) -> str:
        """What was taken from it, in words."""
        return f"{self.taken} files or volumes had been read before, and were not read again"

    def in_order(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        workers: int | None = None,
        large: bool = False,
    ) -> Iterator[Result]:
        """Do as `brainssl.data.pool.in_order`, but for what is kept already."""
        keys = [_key(function, item) for item in items]
        missing = [item for item, key in zip(items, keys, strict=True) if key not in self._places]
        fresh = in_order(function, missing, workers=workers, large=large)
        for item, key in zip(items, keys, strict=True):
            if key in self._places:
                self.taken += 1
                yield self._read(key, item)
                continue
            result = next(fresh)
            if not isinstance(result, UnreadableImage):  # it may be readable next time
                self._put(key, item, result)
            yield result
        next(fresh, None)  # let its workers end

    def _put(self, key: bytes, item: Any, result: Any) -> None:
        arrays: list[np.ndarray] = []
        told = _told(result, _parts(item), arrays)
        head = key + json.dumps(told, separators=(",", ":")).encode("utf-8", "surrogatepass")
        held = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
        sizes = len(head).to_bytes(4, "big") + len(held).to_bytes(4, "big")
        check = zlib.crc32(head + held).to_bytes(4, "big")
        write_whole(self._log, sizes + check + head + held, self.folder.parent)
        self._places[key] = self._end
        self._end += _HEAD + len(head) + len(held)

    def _record(self, place: int) -> tuple[bytes, bytes] | None:
        """Return head and arrays of the record at a place; None where there is no whole one."""
        self._log.seek(place)
        begin = read_whole(self._log, _HEAD)
        if len(begin) < _HEAD:
            return None
        head = read_whole(self._log, int.from_bytes(begin[:4], "big"))
        held = read_whole(self._log, int.from_bytes(begin[4:8], "big"))
        whole = zlib.crc32(head + held) == int.from_bytes(begin[8:], "big")
        return (head, held) if whole and len(head) > _DIGEST else None

    def _index(self) -> int:
        """Find all records, and return where the last whole one ends."""
        place = 0
        while (found := self._record(place)) is not None:
            head, held = found
            self._places[head[:_DIGEST]] = place
            place += _HEAD + len(head) + len(held)
        return place

    def _read(self, key: bytes, item: Any) -> Any:
        found = self._record(self._places[key])
        if found is None:
            raise BrainsslError(f"{self.folder} was altered: delete it, and begin again")
        head, held = found
        told = json.loads(head[_DIGEST:].decode("utf-8", "surrogatepass"))
        return self._made(told, _parts(item), memoryview(held), [0])

    def _made(self, told: Any, asked: Sequence[Any], held: memoryview, place: list[int]) -> Any:
        if isinstance(told, list):
            return tuple(self._made(one, asked, held, place) for one in told)
        if not isinstance(told, dict):
            return told
        if "asked" in told:
            return asked[told["asked"]]
        if "array" in told:
            kind, shape = told["array"]
            size = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
            part, place[0] = held[place[0] : place[0] + size], place[0] + size
            return np.frombuffer(part, kind).reshape(shape).copy()
        has = {name: self._made(one, asked, held, place) for name, one in told["has"].items()}
        return self._classes[told["of"]](**has)


def digest_of_sources(asked: Sequence[Any]) -> str:
    """Digest what is asked for, and path, size and time of change of each file in it."""
    digest = hashlib.sha256(__version__.encode())
    for one in asked:
        digest.update(_key(digest_of_sources, one))
    return digest.hexdigest()


def _key(function: Callable[..., Any], item: Any) -> bytes:
    """Return the digest of a question."""
    asked: dict[str, Any] = {}
    if isinstance(function, partial):
        asked = dict(function.keywords)
        function = function.func
    told = [__version__, function.__qualname__, _told(asked, (), []), _told(item, (), [])]
    states = [_state(file) for file in _files(item)]
    content = json.dumps([told, states], sort_keys=True).encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).digest()[:_DIGEST]


def _state(file: Path) -> list[tuple[int, int] | None]:
    files = [file]
    if other := _PAIRED.get(file.suffix.lower()):
        files += [file.with_suffix(other), file.with_suffix(other.upper())]
    return [_size_and_time(one) for one in files]


def _size_and_time(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _parts(item: Any) -> Sequence[Any]:
    """Return what a result may hold of its question: it is not written, for it names files."""
    return item if isinstance(item, tuple) else (item,)


def _files(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _files(one)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _files(getattr(value, field.name))


def _told(value: Any, asked: Sequence[Any], arrays: list[np.ndarray]) -> Any:
    """Return a value as JSON has it; its arrays are put to `arrays`."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": [value.dtype.str, value.shape]}
    if isinstance(value, tuple | list):
        return [_told(one, asked, arrays) for one in value]
    if isinstance(value, dict):
        return {name: _told(one, asked, arrays) for name, one in value.items()}
    if isinstance(value, Path):
        return str(value)
    for place, one in enumerate(asked):
        if one is not None and type(one) is type(value) and one == value:
            return {"asked": place}
    has = {field.name: getattr(value, field.name) for field in fields(value)}
    return {
        "of": type(value).__name__,
        "has": {name: _told(one, asked, arrays) for name, one in has.items()},
    }
