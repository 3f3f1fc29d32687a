"""What is in a source, before anything is read whole: scan."""

from pathlib import Path

from brainssl.api.answers import Answer
from brainssl.api.options import (
    Where,
    level_of,
    path_or_none,
    reading_of,
    refuse_store,
    seed_of,
)
from brainssl.foundation.progress import Terminal


def scan(
    source: Where,
    *,
    labels: Where | None = None,
    classes_at: int | None = None,
    slices: str | int | None = None,
    label_by: str | None = None,
    locate: str | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Answer:
    """Say what a source holds by names and headers, before any pixel is read.

    `brainssl.data.scan.scan` is what decodes every image.

    Args:
        source: folder of images, or archive of volumes.
        labels: as for `audit`.
        classes_at: as for `audit`.
        slices: as for `audit`: how many slices would be read is told.
        label_by: as for `audit`.
        locate: a file of a DICOM archive, as it is told where it cannot be read, such as
            `file-12.dcm`: its path is the answer, and nothing else is done.
        seed: accepted everywhere; nothing is drawn here.
        quiet: show no progress.

    Returns:
        What `brainssl.data.inventory.inventory_of` describes; with `locate` the `file`. No file
        is written, and the pseudonyms in it are of a key that nobody keeps.

    Raises:
        BadUseError: an option is of volumes and there are pictures, or the other way round.
        BrainsslError: no such folder, tables that do not fit it, or no such file to locate.
    """
    from brainssl.data.inventory import inventory_of, text_of
    from brainssl.data.sources import open_source

    source, table = Path(source), path_or_none(labels)
    seed_of(seed)
    level_of(classes_at)
    refuse_store(source)
    if locate is not None:
        from brainssl.data.archives.dicom_listing import located

        file = str(located(source, locate))
        return Answer({"file": file}, file)
    reading = reading_of(source, None, slices=slices, label_by=label_by)
    with Terminal(quiet=quiet).task("scan") as progress:
        found = open_source(
            source, labels=table, classes_at=classes_at, reading=reading, progress=progress
        )
    held = inventory_of(found, labels=table, reading=reading)
    return Answer(held, text_of(held))
