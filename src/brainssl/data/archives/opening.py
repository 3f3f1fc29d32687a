"""An archive is opened with the key by which its patients get pseudonyms."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from brainssl.data.archives.archive import Archive
from brainssl.data.archives.find import find_archive
from brainssl.data.archives.pseudonyms import KEY_BYTES, read_key, write_key
from brainssl.foundation.errors import BrainsslError

Progress = Callable[[int, int], None]


def open_archive(
    source: Path,
    key: Path | None,
    *,
    keep: bool = True,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Archive | None:
    """Read the headers of a source, if it holds volumes.

    Args:
        source: the folder.
        key: file of the key. One that is missing is made, if the source is a DICOM archive: others
            have pseudonyms already. None: a key that nobody keeps.
        keep: whether a key may be made; without, what `key` would hold is forgotten, too.
        progress: is told (headers read, in all).
        workers: how many headers are read at once; by default one a core.

    Returns:
        What the headers say; None where the source holds pictures.

    Raises:
        BrainsslError: no such folder, or a file that is no key.
    """
    if not source.is_dir():
        raise BrainsslError(f"{source}: is not a folder; name the folder that holds the images")
    if key is not None and key.exists():
        return find_archive(source, key=read_key(key), progress=progress, workers=workers)
    made = secrets.token_bytes(KEY_BYTES)
    archive = find_archive(source, key=made, progress=progress, workers=workers)
    if key is not None and keep and archive is not None and archive.kind == "dicom":
        _put(made, key)
    return archive


def _put(made: bytes, key: Path) -> None:
    """Write a new key where it stays, before anything that was made with it."""
    if key.exists():
        raise BrainsslError(f"{key} was made by another process meanwhile: begin again")
    write_key(key, made)


@contextmanager
def telling_of_key(key: Path | None, say: Callable[[str], object]) -> Iterator[None]:
    """Say it if the block makes a key: who loses it cannot match patients any more."""
    there = key is None or key.exists()
    try:
        yield
    finally:
        if not there and key is not None and key.exists():
            say(
                f"the key of the pseudonyms is in {key}: keep it as safe as the images, and away "
                "from the results"
            )
