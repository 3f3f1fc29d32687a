"""A BIDS dataset as an archive: names, sidecars and tables; no pixel is read."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from brainssl.data.archives.archive import Archive
from brainssl.data.archives.bids_masks import lesion_masks, matched
from brainssl.data.archives.bids_names import FOLDERS, Name, excluded, parsed, sidecars_of
from brainssl.data.archives.bids_tables import Participants, read_participants
from brainssl.data.archives.nifti_series import (
    Progress,
    read_b_values,
    read_headers,
    series_of,
)
from brainssl.data.archives.sequences import exclusion_of, told_sequence
from brainssl.data.archives.sidecars import columns_of, read_sidecars
from brainssl.data.archives.walk import Walk, inner, own_names, walk
from brainssl.data.listing import visible
from brainssl.data.volumes.nifti import NiftiHeader
from brainssl.foundation.nouns import agreed, counted

_DERIVED = "derivatives"
_NOT_ENTERED = frozenset({"sourcedata", "code", "stimuli", "phenotype"})


def is_bids(root: Path) -> bool:
    """Tell whether a folder is a BIDS dataset: participants' folders with one of images in them."""
    for subject in [path for path in _folders(root) if path.name.startswith("sub-")][:20]:
        inside = _folders(subject)
        sessions = [path for path in inside if path.name.startswith("ses-")][:5]
        below = [path for session in sessions for path in _folders(session)]
        if FOLDERS & {path.name for path in (*inside, *below)}:
            return True
    return False


def _folders(folder: Path) -> list[Path]:
    try:
        return [Path(e.path) for e in visible(folder) if e.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def bids_archive(
    source: Path, *, progress: Progress | None = None, workers: int | None = None
) -> Archive | None:
    """Return what a BIDS dataset holds; None where the source is none.

    Args:
        source: the dataset, or a folder around it.
        progress: is told (headers read, headers in all).
        workers: how many headers are read at once.

    Raises:
        BrainsslError: nibabel is not installed.
    """
    root = inner(source)
    if not is_bids(root):
        return None
    held = walk(root, boundary=source, enter=_entered)
    volumes = held.volumes()
    derived = {path for path in volumes if path.startswith(f"{_DERIVED}/")}
    masks = lesion_masks(volumes)
    left = derived | set(masks)
    named = {path: name for path in volumes if path not in left and (name := parsed(path))}
    headers, unreadable = read_headers(root, [*named, *masks], progress=progress, workers=workers)
    tables = read_participants(root, held.files)
    archive = Archive("bids", root, [], sorted([*held.unreadable, *unreadable]))
    archive.notes = [*held.notes, *_notes(root, held, derived, masks), *tables.notes]
    images = {path: (named[path], headers[path]) for path in named if path in headers}
    to_learn = {path: image for path, image in images.items() if not excluded(path, image[0])}
    of_image, told = matched(to_learn, {path: headers[path] for path in masks if path in headers})
    archive.notes += told
    _describe(archive, held, images, of_image, tables)
    archive.originals = {
        ("patient", one.patient.removeprefix("sub-")): frozenset({one.patient})
        for one in archive.series
        if one.patient
    }
    return archive


def _entered(folder: str) -> bool:
    top, *below = PurePosixPath(folder).parts
    return top not in _NOT_ENTERED and not (top != _DERIVED and _DERIVED in below)


def _describe(
    archive: Archive,
    held: Walk,
    images: dict[str, tuple[Name, NiftiHeader]],
    masks: dict[str, str],
    tables: Participants,
) -> None:
    """Add a series for each image."""
    beside = _beside(held.files, (".json", ".bval"))
    bad: set[Path] = set()
    for (path, (name, header)), own in zip(images.items(), own_names(list(images)), strict=True):
        near = [one for place in _above(path) for one in beside.get(place, ())]
        sidecar, unread = read_sidecars(
            archive.root / one for one in sidecars_of(path, near, ".json")
        )
        bad |= set(unread)
        b_values = sidecars_of(path, near, ".bval")
        sequence = told_sequence(PurePosixPath(path).name, sidecar)
        facts = columns_of(sidecar) | tables.columns.get(name.patient, {})
        if age := tables.ages.get(name.study):
            facts["age"] = age
        archive.series.append(
            series_of(
                archive.root,
                path,
                header,
                name=own,
                patient=name.patient,
                study=name.study,
                sequence=sequence,
                columns=facts,
                label=tables.labels.get(name.patient),
                mask=masks.get(path),
                exclusion=excluded(path, name) or exclusion_of(sequence),
                b_values=read_b_values(archive.root / b_values[-1]) if b_values else (),
            )
        )
    if bad:
        said = agreed(len(bad), "is no JSON object and was", "are no JSON objects and were")
        archive.notes.append(f"{counted(len(bad), 'sidecar')} {said} not read.")
    if tables.columns:
        unknown = {one.patient for one in archive.series} - set(tables.columns)
        if unknown:
            have = agreed(len(unknown), "has", "have")
            archive.notes.append(
                f"{counted(len(unknown), 'participant')} {have} no row in participants.tsv."
            )


def _beside(files: Sequence[str], suffixes: tuple[str, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in files:
        if path.endswith(suffixes):
            found.setdefault(PurePosixPath(path).parent.as_posix(), []).append(path)
    return found


def _above(path: str) -> list[str]:
    return [one.as_posix() for one in PurePosixPath(path).parents]


def _notes(root: Path, held: Walk, derived: set[str], masks: Sequence[str]) -> list[str]:
    notes = []
    tops = {entry.name for entry in visible(root)}
    if "sourcedata" in tops:
        notes.append("sourcedata/ was not looked into.")
    if _DERIVED in tops:
        taken = len(derived & set(masks))
        notes.append(f"derivatives/ was not read, but for {counted(taken, 'mask')} of lesions.")
    others = Counter(
        PurePosixPath(path).suffix.lower()
        for path in held.files
        if path.startswith("sub-") and not path.endswith((".json", ".tsv", ".bval", ".bvec"))
    )
    strange = {s: n for s, n in others.items() if s not in (".nii", ".gz", ".hdr", ".img")}
    if strange:
        told = ", ".join(
            f"{count} {suffix or 'without suffix'}" for suffix, count in strange.items()
        )
        notes.append(f"Files of participants that are no volumes were not read: {told}.")
    return notes
