"""Storage between machines that share no folder: objects at a URL, each whole or absent."""

import os
import secrets
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import remove


class Depot:
    """Files and folders in archives, as objects of a storage that fsspec knows.

    It belongs to one thread: what is being written is a state of it.

    Args:
        url: of a folder, such as `s3://bucket/folder`, `gs://bucket/folder` or `file:///folder`.

    Raises:
        BrainsslError: it is no URL, or the package that speaks its protocol is not installed.
    """

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]

        self.url = url
        # Of its own: fsspec would give all threads the same, with what they are writing.
        with self._told("opened"):
            self._files, self._root = url_to_fs(url, skip_instance_cache=True)

    def put(self, key: str, content: Mapping[str, Path]) -> None:
        """Write an object.

        Args:
            key: of the object.
            content: files and folders by their paths in it; what links lead to is in it.

        Raises:
            BrainsslError: the storage does not take it.
            OSError: of the files themselves.
        """
        place = self._place(key)
        with self._told("written"):
            self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        # Archived first: then what goes wrong while it is sent is of the storage.
        with tempfile.TemporaryFile() as held:
            with tarfile.open(fileobj=held, mode="w", dereference=True) as archive:
                for name, path in content.items():
                    archive.add(path, name)
            held.seek(0)
            with (
                self._told("written"),
                self._files.transaction,  # else half an object would be one, too
                self._files.open(place, "wb") as stream,
            ):
                while block := held.read(2**22):
                    stream.write(block)

    def fetch(self, key: str, out: Path, names: Sequence[str]) -> bool:
        """Put what an object holds where it belongs; what is there already is replaced.

        Args:
            key: of the object.
            out: folder that paths in it are relative to.
            names: paths of the files and folders in it, the first before the second.

        Returns:
            Whether there is such an object.

        Raises:
            BrainsslError: the storage does not give it.
        """
        if not self.has(key):
            return False
        with tempfile.TemporaryDirectory(prefix=".fetched-", dir=out) as folder:
            with (
                self._told("read"),
                self._files.open(self._place(key), "rb") as stream,
                tarfile.open(fileobj=stream, mode="r|") as archive,
            ):
                archive.extractall(folder, filter="data")
            for name in names:
                there, here = Path(folder, name), out / name
                if there.exists():
                    here.parent.mkdir(parents=True, exist_ok=True)
                    remove(here)
                    there.rename(here)
                    if here.is_file():
                        os.utime(here)  # a note is newer than what it is about
        return True

    def has(self, key: str) -> bool:
        """Tell whether there is an object."""
        with self._told("read"):
            self._files.invalidate_cache()  # others write, too
            return bool(self._files.exists(self._place(key)))

    def refuse_useless(self) -> None:
        """Raise BrainsslError unless it takes an object and gives it up."""
        key = f".tried.{secrets.token_hex(4)}"
        self.put(key, {})
        self.drop(key)

    def drop(self, key: str) -> None:
        """Delete an object, if it is there."""
        if self.has(key):
            with self._told("written"):
                self._files.rm(self._place(key))

    def _place(self, key: str) -> str:
        return f"{self._root.rstrip('/')}/{key}.tar"

    @contextmanager
    def _told(self, done: str) -> Iterator[None]:
        """Tell in one line what a storage says: each raises errors of its own."""
        try:
            yield
        except BrainsslError:
            raise
        except Exception as error:  # noqa: BLE001
            told = " ".join(str(error).split()) or type(error).__name__
            raise BrainsslError(
                f"the storage {self.url} cannot be {done} ({told[:200]}): see --storage"
            ) from None
