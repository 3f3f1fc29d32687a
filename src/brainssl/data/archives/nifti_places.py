"""Of volumes in plain folders: which patient, which class, and what is a mask of which."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from brainssl.data.archives.bids_names import parsed
from brainssl.data.archives.nifti_series import same_grid
from brainssl.data.archives.walk import bare
from brainssl.data.csv_tables import composed
from brainssl.data.levels import PLANES, is_patient, part_of, read_levels
from brainssl.data.mask_files import is_mask, masks_among
from brainssl.data.sequence import family_and_sequence, is_sequence
from brainssl.data.volumes.nifti import NiftiHeader
from brainssl.foundation.nouns import agreed, counted

_MOSTLY = 0.8  # of the folders look like patients: then they are
_MASK = re.compile(
    r"[_\-. ]*(?:masks?|seg|segmentation|gt|ground_?truth|annotation|lesion|roi|label)[_\-. ]*\d*",
    re.IGNORECASE,
)
_LABELS = re.compile(r"labels?(?:tr|ts)", re.IGNORECASE)


@dataclass(frozen=True)
class Places:
    """What folders and names say of each path, in order.

    Attributes:
        labels: classes; None where there is none.
        patients: None where unknown.
        notes: decisions that a reader of the data should know, and questions.
    """

    labels: tuple[str | None, ...]
    patients: tuple[str | None, ...]
    notes: tuple[str, ...]


def read_places(paths: Sequence[str]) -> Places:
    """Read classes and patients from folders as those of images are, see `brainssl.data.levels`.

    Folders that all volumes share, and those of sequences, planes or patients, are no classes. A
    file that is called after a patient and a sequence, such as `TCGA-FG-6692_flair`, is one of
    that patient.
    """
    folders = _inner([PurePosixPath(composed(path)).parts[:-1] for path in paths])
    tops = {one[0] for one in folders if one}
    notes: list[str] = []
    if tops and sum(map(is_patient, tops)) >= _MOSTLY * len(tops):
        labels: list[str | None] = [None] * len(paths)
        patients = [one[0] if one and is_patient(one[0]) else None for one in folders]
        notes.append(
            f"{counted(len(tops), 'folder')} {agreed(len(tops), 'is', 'are')} taken for patients, "
            f"by {agreed(len(tops), 'its name', 'their names')}, e.g. {min(tops)}."
        )
    else:
        levels = read_levels(folders)
        notes += [*levels.notes, *levels.questions]
        labels = [place.label for place in levels.places]
        patients = [place.patient for place in levels.places]
        found = {label for label in labels if label}
        if len(found) < 2 or all(is_sequence(x) or x.casefold() in PLANES for x in found):
            labels = [None] * len(paths)
    if not any(patients):
        patients, told = _by_files(paths, labels)
        notes += told
    return Places(tuple(labels), tuple(patients), tuple(notes))


def _inner(folders: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Leave out outer folders that all share, unless one is a patient."""
    while folders and all(folders) and len({one[0] for one in folders}) == 1:
        if is_patient(folders[0][0]):
            break
        folders = [one[1:] for one in folders]
    return folders


def _by_files(
    paths: Sequence[str], labels: Sequence[str | None]
) -> tuple[list[str | None], list[str]]:
    """Return patients by names of files, where they do not lie below several classes.

    A name of BIDS tells its participant, also where only a part of a dataset is given.
    """
    found = [_by_file(path) for path in paths]
    classes: dict[str, set[str | None]] = {}
    for name, label in zip(found, labels, strict=True):
        if name:
            classes.setdefault(name, set()).add(label)
    if not classes:
        return found, []
    if any(len(own) > 1 for own in classes.values()):
        return [None] * len(paths), [
            "Files of the same names, such as patients have, lie below several classes: whether "
            "they are the same patients is not known. Give a CSV series,label,patient."
        ]
    was = agreed(len(classes), "was", "were")
    told = (
        f"{counted(len(classes), 'patient')} {was} taken from names of files, e.g. {min(classes)}."
    )
    return found, [told]


def _by_file(path: str) -> str | None:
    if told := parsed(path):
        return told.patient
    family = family_and_sequence(bare(PurePosixPath(path).name))[0]
    return family if is_patient(family) else None


def masks_of(paths: Sequence[str]) -> list[str]:
    """Return the volumes that are masks of others, by their names or those of their folders."""
    suffixed = {f"{bare(path)}.png": path for path in paths}
    by_name = {suffixed[one] for one in masks_among(list(suffixed))}
    folders = {path: PurePosixPath(path).parts[:-1] for path in paths}
    by_folder = {
        path
        for path, own in folders.items()
        if any(is_mask(name) or _LABELS.fullmatch(name) for name in own)
    }
    if by_folder == set(paths):  # nothing is left that they could be masks of
        by_folder = set()
    return sorted(by_name | by_folder)


def matched(images: Mapping[str, NiftiHeader], masks: Mapping[str, NiftiHeader]) -> dict[str, str]:
    """Return the mask of each image that has one: called as it is, or as its case, on its grid."""
    keys: dict[str, list[str]] = {}
    for path in masks:
        keys.setdefault(_MASK.sub("", bare(PurePosixPath(path).name)).casefold(), []).append(path)
    found = {}
    for path, header in images.items():
        stem = bare(PurePosixPath(path).name).casefold()
        names = {stem, *(stem[:at] for at, sign in enumerate(stem) if sign in "_-. ")} - {""}
        fitting = [
            mask
            for name in sorted(names, key=len, reverse=True)
            for mask in keys.get(name, ())
            if _near(path, mask) and same_grid(header, masks[mask])
        ]
        if fitting:
            found[path] = fitting[0]
    return found


def _near(image: str, mask: str) -> bool:
    """Tell whether a mask lies beside an image, or at the same place in a folder of masks."""
    return _place(image) == _place(mask)


def _place(path: str) -> tuple[str, ...]:
    own = PurePosixPath(path).parts[:-1]
    return tuple(
        name
        for name in own
        if not (is_mask(name) or _LABELS.fullmatch(name) or part_of(name) or name == "images")
    )
