"""What a folder turns out to hold: pictures in folders, or an archive of volumes."""

from collections.abc import Callable, Sequence
from pathlib import Path

from brainssl.data.archives.archive import Archive
from brainssl.data.archives.opening import open_archive
from brainssl.data.archives.reading import BY_DEFAULT, Reading
from brainssl.data.layout import Layout, read_layout
from brainssl.foundation.errors import BadUseError


def open_source(
    source: Path,
    *,
    labels: Path | None = None,
    classes_at: int | None = None,
    columns: Sequence[str] = (),
    reading: Reading = BY_DEFAULT,
    keep: bool = True,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Layout | Archive:
    """Look at names and headers of a folder; no pixel is read.

    Args:
        source: the folder.
        labels: CSV of labels; that of an archive is joined later, by
            `brainssl.data.archives.labels.labels_of`.
        classes_at: level of the classes among folders of pictures.
        columns: further columns of the tables of pictures.
        reading: how volumes are read.
        keep: whether a key of pseudonyms may be made, see `open_archive`.
        progress: is told (headers read, in all).
        workers: how many headers are read at once.

    Raises:
        BadUseError: an option is of volumes and there are pictures, or the other way round.
        BrainsslError: no such folder, or tables that do not fit it.
    """
    archive = open_archive(source, reading.key, keep=keep, progress=progress, workers=workers)
    if archive is not None:
        if classes_at is not None:
            raise BadUseError(
                f"--classes-at is of folders of pictures, and {source} holds volumes: omit it"
            )
        return archive
    if given := next(iter(reading.written()), None):
        raise BadUseError(f"--{given} is of volumes, and {source} holds pictures: omit it")
    return read_layout(source, labels, classes_at, columns)
