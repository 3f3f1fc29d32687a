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
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.foundation.progress import Terminal


def scan(
    source: Where,
    *,
    labels: Where | None = None,
    classes_at: int | None = None,
    slices: str | int | None = None,
    label_by: str | None = None,
    key: Where | None = None,
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
        key: file of the key by which patients of a DICOM archive get their pseudonyms, as
            `prepare` or `predict` made it; by default one that is forgotten.
        locate: what is to be found in a DICOM archive; nothing else is done. A file, as it is told
            where it cannot be read, such as `file-12.dcm`; or with `key` a pseudonym of an answer
            or a manifest, or an identifier of the hospital.
        seed: accepted everywhere; nothing is drawn here.
        quiet: show no progress.

    Returns:
        What `brainssl.data.inventory.inventory_of` describes; with `locate` the `file`, or of a
        pseudonym or an identifier `found`, see `brainssl.data.archives.lookup.Traced`. No file is
        written.

    Raises:
        BadUseError: an option is of volumes and there are pictures, or the other way round; or a
            pseudonym without a key.
        BrainsslError: no such folder, no such key, tables that do not fit, or nothing to locate.
    """
    from brainssl.data.archives.pseudonyms import read_key
    from brainssl.data.inventory import inventory_of, text_of
    from brainssl.data.sources import open_source

    source, table = Path(source), path_or_none(labels)
    seed_of(seed)
    level_of(classes_at)
    refuse_store(source)
    reading = reading_of(source, None, slices=slices, label_by=label_by, key=key)
    secret = None if reading.key is None else read_key(reading.key)
    if locate is not None:
        return _located(source, locate, secret, quiet=quiet)
    with Terminal(quiet=quiet).task("scan") as progress:
        found = open_source(
            source, labels=table, classes_at=classes_at, reading=reading, progress=progress
        )
    held = inventory_of(found, labels=table, reading=reading)
    return Answer(held, text_of(held))


def _located(source: Path, asked: str, key: bytes | None, *, quiet: bool) -> Answer:
    """Say where a file is, or whom a pseudonym stands for."""
    from brainssl.data.archives.dicom_listing import is_told, located
    from brainssl.data.archives.find import find_archive
    from brainssl.data.archives.lookup import is_pseudonym, traced

    if is_told(asked) or (key is None and not is_pseudonym(asked)):
        file = str(located(source, asked))
        return Answer({"file": file}, file)
    if key is None:
        raise BadUseError(f"--locate {asked}: give --key FILE, by which this pseudonym was made")
    with Terminal(quiet=quiet).task("scan") as progress:
        archive = find_archive(source, key=key, progress=progress)
    if archive is None:
        raise BrainsslError(f"{source} holds no volumes: patients have no pseudonyms there")
    found = traced(archive, asked)
    return Answer({"found": [one.facts() for one in found]}, "\n".join(map(str, found)))
