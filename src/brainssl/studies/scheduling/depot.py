"""Storage between machines that share no folder: objects at a URL, each whole or absent."""

import os
import re
import secrets
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.foundation.storage import remove

FETCHED = ".fetched-"
"""How folders begin into which an object is unpacked; a kill leaves one."""

_WAITS = (1.0, 4.0)  # seconds before a storage that failed is tried again
_BLOCK = 2**22

Done = TypeVar("Done")


class StorageError(BrainsslError):
    """A storage did not do its part, several times: another machine may fare better."""


class Depot:
    """Files and folders in archives, as objects of a storage that fsspec knows.

    It belongs to one thread: what is being written is a state of it.

    Args:
        url: of a folder, such as `s3://bucket/folder`, `gs://bucket/folder` or `file:///folder`.

    Raises:
        BadUseError: it is no URL, or holds a password, which would be written down.
        StorageError: the package that speaks its protocol is not installed, or refuses it.
    """

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]

        if not re.match(r"[a-z0-9+]+://", url):
            raise BadUseError("--storage: give a URL, such as s3://BUCKET/FOLDER")
        if urlsplit(url).password or "?" in url:
            raise BadUseError(
                "--storage: leave passwords and keys out of the URL, which is written down: give "
                "them by the environment"
            )
        self.url = url
        # Of its own: fsspec would give all threads the same, with what they are writing.
        self._files, self._root = self._tried(
            "opened", lambda: url_to_fs(url, skip_instance_cache=True), waits=()
        )
        self._local = "file" in self._files.protocol

    def put(self, key: str, content: Mapping[str, Path]) -> None:
        """Write an object.

        Args:
            key: of the object.
            content: files and folders by their paths in it, in the order in which they are read;
                what links lead to is in it.

        Raises:
            StorageError: the storage does not take it.
            OSError: of the files themselves.
        """
        # Archived first: then what goes wrong while it is sent is of the storage.
        with tempfile.TemporaryFile() as held:
            with tarfile.open(fileobj=held, mode="w", dereference=True) as archive:
                for name, path in content.items():
                    archive.add(path, name)
            self._tried("written", lambda: self._send(held, self._place(key)))

    def _send(self, held: BinaryIO, place: str) -> None:
        held.seek(0)
        self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        if self._local:  # fsspec would copy from another disk, piece by piece
            beside = Path(f"{place}.{secrets.token_hex(4)}.part")
            try:
                with beside.open("wb") as file:
                    _copy(held, file)
                    file.flush()
                    os.fsync(file.fileno())
                beside.replace(place)
            finally:
                beside.unlink(missing_ok=True)
            return
        with self._files.transaction, self._files.open(place, "wb") as stream:
            _copy(held, stream)

    def fetch(self, key: str, out: Path, names: Sequence[str]) -> bool:
        """Put what an object holds where it belongs; what is there already is replaced.

        Args:
            key: of the object.
            out: folder that paths in it are relative to.
            names: paths of the files and folders in it, the first before the second.

        Returns:
            Whether there is such an object, and a whole one.

        Raises:
            StorageError: the storage does not give it.
        """
        if not self.has(key):
            return False
        with tempfile.TemporaryDirectory(prefix=FETCHED, dir=out) as folder:
            try:
                self._tried("read", lambda: self._unpack(self._place(key), folder))
            except tarfile.TarError:
                return False
            for name in names:
                there, here = Path(folder, name), out / name
                if there.exists():
                    here.parent.mkdir(parents=True, exist_ok=True)
                    remove(here)
                    there.rename(here)
                    if here.is_file():
                        os.utime(here)  # a note is newer than what it is about
        return True

    def _unpack(self, place: str, folder: str) -> None:
        with (
            self._files.open(place, "rb") as stream,
            tarfile.open(fileobj=stream, mode="r|") as archive,
        ):
            archive.extractall(folder, filter="data")

    def has(self, key: str) -> bool:
        """Tell whether there is an object."""
        return self._tried("read", lambda: self._is_there(self._place(key)))

    def _is_there(self, place: str) -> bool:
        self._files.invalidate_cache()  # others write, too
        try:
            self._files.info(place)
        except FileNotFoundError:
            return False
        return True

    def refuse_useless(self) -> None:
        """Raise StorageError unless it takes an object and gives it up."""
        key = f".tried.{secrets.token_hex(4)}"
        self.put(key, {})
        self.drop(key)

    def drop(self, key: str) -> None:
        """Delete an object, if it is there."""

        def delete() -> None:
            with suppress(FileNotFoundError):
                self._files.rm(self._place(key))

        self._tried("written", delete)

    def _place(self, key: str) -> str:
        return f"{self._root.rstrip('/')}/{key}.tar"

    def _tried(
        self, done: str, function: Callable[[], Done], waits: Sequence[float] | None = None
    ) -> Done:
        """Call a function, again after a while if it fails, and tell in one line what it says."""
        waits = _WAITS if waits is None else waits
        for wait in (*waits, None):
            try:
                return function()
            except tarfile.TarError:
                raise
            except Exception as error:  # noqa: BLE001 - each storage raises errors of its own
                if wait is None:
                    raise StorageError(
                        f"the storage {self.url} cannot be {done} ({_words(error)}): look whether "
                        "it is there, and this machine may read and write it"
                    ) from None
                time.sleep(wait)
        raise AssertionError


def _copy(source: BinaryIO, target: Any) -> None:
    while block := source.read(_BLOCK):
        target.write(block)


def _words(error: Exception) -> str:
    """Return what an error says in one line, without what a signed address would give away."""
    told = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"\?\S+", "?…", told)[:200]
