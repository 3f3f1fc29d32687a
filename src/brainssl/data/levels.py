"""What each level of folders says: a part of a given split, a class, a sequence, a patient."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from brainssl.data.mask_files import is_mask
from brainssl.data.sequence import as_sequence, is_sequence, sequence_of
from brainssl.foundation.nouns import agreed, counted

_PARTS = {
    "training": "train",
    "train": "train",
    "tr": "train",
    "testing": "test",
    "test": "test",
    "ts": "test",
    "validation": "val",
    "valid": "val",
    "val": "val",
}
_FILLER = (
    "images",
    "image",
    "imgs",
    "img",
    "dataset",
    "data",
    "set",
    "slices",
    "split",
    "scans",
    "mri",
    "files",
    "folder",
)
_PATIENT = re.compile(
    r"(?:p|pt|pat|patient|subj|subject|sub|case|pid)[\s_.\-#]*\d+"
    r"|tcga[\-_]\w+[\-_]\w+|brats\w*[\-_]\d+\w*|(?:ixi|oas|upenn|ucsf)[\w\-]*\d{3,}\w*",
    re.IGNORECASE,
)
PLANES = frozenset({"axial", "ax", "coronal", "cor", "sagittal", "sag"})
_MOSTLY = 0.8  # of the folders of a level look like patients: then they are


@dataclass(frozen=True)
class Place:
    """What the folders of one image say.

    Attributes:
        label: its class; None where no folder is one.
        given: "train" or "test" of a given split; None where it is in none.
        patient: by its folder; None where none looks like one.
    """

    label: str | None
    given: str | None
    patient: str | None


@dataclass(frozen=True)
class Levels:
    """What all folders of a source say.

    Attributes:
        places: of each image, in the order of the paths.
        notes: decisions that a reader of the data should know, one sentence each.
        questions: what only the user can answer; until then no study can be believed.
    """

    places: tuple[Place, ...]
    notes: tuple[str, ...]
    questions: tuple[str, ...]


@dataclass(frozen=True)
class _Split:
    """The folders at the top that are parts of a split.

    Attributes:
        parts: "train", "val" or "test" of each.
        whole: whether there is something to train on and something to test on.
    """

    parts: dict[str, str]
    whole: bool


def part_of(name: str) -> str | None:
    """Return the part of a split that a name says: `train`, `trainImages`, `test_set`.

    Returns:
        "train", "val" or "test"; None for another name, and for `train1`: that is a fold.
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()
    words = [word for word in re.split(r"[^a-z0-9]+", apart) if word and word not in _FILLER]
    if len(words) != 1:
        return None
    joined = (words[0].removesuffix(filler) for filler in _FILLER)
    return next((_PARTS[word] for word in (words[0], *joined) if word in _PARTS), None)


def is_patient(name: str) -> bool:
    """Tell whether a folder is named as patients are: `P12`, `patient_3`, `TCGA_CS_4941`."""
    return _PATIENT.fullmatch(name) is not None


def read_levels(
    paths: Sequence[Sequence[str]], classes_at: int | None = None, *, above: int = 0
) -> Levels:
    """Read what folders say.

    Args:
        paths: of each image the folders that it lies in, from the root down.
        classes_at: the level of the classes, from 1, if somebody said so.
        above: levels above the root, which a question counts too.

    Returns:
        The class is the first level below those of a given split. A folder below it counts where it
        names a sequence (`Glioma/T1` is the class "Glioma T1") or a patient.
    """
    split = _split(paths)
    starts = _starts(paths, split, classes_at)
    # A given validation set is training data: ours is drawn anew.
    given = [
        {"val": "train"}.get(part, part) if split.whole and part else None
        for part in (split.parts.get(_first(folders)) for folders in paths)
    ]
    if split.whole and classes_at is None:  # beside the split
        starts = [at if part else None for at, part in zip(starts, given, strict=True)]
    below = [
        tuple(folders[at:]) if at is not None else ()
        for folders, at in zip(paths, starts, strict=True)
    ]
    patients, notes = _patients(paths, below)
    places = tuple(
        Place(_label(own), part, patient)
        for own, part, patient in zip(below, given, patients, strict=True)
    )
    questions = () if classes_at else _questions(paths, below, above)
    return Levels(places, (*notes, *_split_notes(paths, split)), tuple(questions))


def _first(folders: Sequence[str]) -> str:
    return folders[0] if folders else ""


def _split(paths: Sequence[Sequence[str]]) -> _Split:
    tops = {folders[0] for folders in paths if folders}
    parts = {top: part for top in tops if (part := part_of(top))}
    whole = {"train", "test"} <= set(parts.values())
    # A class may be called as a part is, beside others.
    return _Split(parts if whole or set(parts) == tops else {}, whole)


def _starts(
    paths: Sequence[Sequence[str]], split: _Split, classes_at: int | None
) -> list[int | None]:
    """Return at which folder the class stands, for each image."""
    if classes_at is not None:
        return [classes_at - 1] * len(paths)
    depth = {top: _depth(top, paths, part) for top, part in split.parts.items()}
    return [depth.get(_first(folders), 0) for folders in paths]


def _depth(top: str, paths: Sequence[Sequence[str]], part: str) -> int:
    """Count the folders down to the classes of a part: train/train and train/images say no more."""
    own, depth = [folders for folders in paths if _first(folders) == top], 1
    while True:
        inner = {folders[depth] if len(folders) > depth else "" for folders in own}
        alone = next(iter(inner)) if len(inner) == 1 else ""
        if not alone or not (part_of(alone) == part or alone.casefold() in _FILLER):
            return depth
        depth += 1


def _label(below: Sequence[str]) -> str | None:
    if not below:
        return None
    name = below[0].strip()
    if len(below) > 1 and is_sequence(below[1].strip()) and not sequence_of(name):
        return f"{name} {as_sequence(below[1].strip())}"
    return name


def _patients(
    paths: Sequence[Sequence[str]], below: Sequence[Sequence[str]]
) -> tuple[list[str | None], list[str]]:
    """Return the folder that is a patient's for each image, and what to say of that."""
    nobody: list[str | None] = [None] * len(paths)
    others = [
        [name for name in (*folders[: len(folders) - len(own)], *own[1:]) if _says_more(name)]
        for folders, own in zip(paths, below, strict=True)
    ]
    beside = {name for names in others for name in names}
    known = {name for name in beside if is_patient(name)}
    if len(known) < max(1, _MOSTLY * len(beside)):
        said = [
            "Folders below the classes say nothing to the scan; if they are patients, name them in "
            "a CSV path,label,patient."
        ]
        return nobody, said if beside else []
    found = [next((name for name in names if name in known), None) for names in others]
    classes: dict[str, set[str]] = defaultdict(set)
    above = False
    for name, folders, own in zip(found, paths, below, strict=True):
        if name is not None:
            above = above or name in folders[: len(folders) - len(own)]
            classes[name] |= set(own[:1])
    if not above and any(len(own) > 1 for own in classes.values()):
        return nobody, [
            "Folders of the same names, such as patients have, lie below several classes: whether "
            "they are the same patients is not known. Name them in a CSV path,label,patient."
        ]
    told = (
        f"{counted(len(known), 'folder')} {agreed(len(known), 'is', 'are')} taken for patients, by "
        f"{agreed(len(known), 'its name', 'their names')}, e.g. {min(known)}."
    )
    return found, [told]


def _says_more(name: str) -> bool:
    """Tell whether a folder may be a patient, or something that a user should know is not read."""
    lower = name.casefold()
    return not (is_sequence(name) or lower in PLANES or lower in _FILLER or part_of(name))


def _questions(
    paths: Sequence[Sequence[str]], below: Sequence[Sequence[str]], above: int
) -> Iterable[str]:
    """Ask where folders that would be classes hold the same folders, or are named as patients."""
    held: dict[str, set[str]] = defaultdict(set)
    level = above + 1
    for folders, own in zip(paths, below, strict=True):
        if own:
            level = max(level, above + len(folders) - len(own) + 1)
            inner = {own[1]} if len(own) > 1 and _may_be_a_class(own[1]) else set()
            held[own[0]] |= inner
    names = sorted(held)
    if len(names) > 1 and sum(map(is_patient, names)) >= _MOSTLY * len(names):
        yield (
            f"{names[0]}, {names[1]} and others would be the classes, and are named as patients "
            f"are: say --classes-at {level + 1} if the classes lie below them, or --classes-at "
            f"{level} if they are none."
        )
        return
    for one, other in combinations(names, 2):
        if same := sorted(held[one] & held[other]):
            yield (
                f"{one}/ and {other}/ hold folders of the same names ({', '.join(same[:3])}): "
                f"which are the classes? Say --classes-at {level} for {one}, {other}, or "
                f"--classes-at {level + 1} for {', '.join(same[:2])}."
            )
            return
    inside = {name: inner for name in names if (inner := held[name]) and not is_mask(name)}
    found = sorted(set().union(*inside.values()))
    if len(names) > 1 and len({_without_numbers(name) for name in found} - {""}) > 1:
        bare = [name for name in names if not held[name]]
        left = f" (images of {', '.join(bare[:3])} then have no class)" if bare else ""
        yield (
            f"{', '.join(sorted(inside)[:3])}: what lies below may be the classes "
            f"({', '.join(found[:3])}). Say --classes-at {level} for {', '.join(names[:3])}, or "
            f"--classes-at {level + 1} for {', '.join(found[:3])}{left}; or map folders with "
            "--labels."
        )


def _without_numbers(name: str) -> str:
    """Return the letters of a name: patients, series and slices differ in numbers alone."""
    return re.sub(r"[\d\W_]+", "", name.casefold())


def _may_be_a_class(name: str) -> bool:
    """Tell whether a folder below a class makes it doubtful: a class or a part of a split."""
    if part_of(name):
        return True
    return _says_more(name) and not is_patient(name) and not name.isdecimal()


def _split_notes(paths: Sequence[Sequence[str]], split: _Split) -> Iterable[str]:
    named = sorted(split.parts)
    if not named:
        return
    if not split.whole:
        yield (
            f"{', '.join(named)}: parts of a split without a test part or without a training part; "
            "all images are divided anew."
        )
        return
    outside = sorted({folders[0] for folders in paths if folders} - set(named))
    if outside:
        yield f"Beside the given split, these folders are kept unlabelled: {', '.join(outside)}."
    validation = [top for top in named if split.parts[top] == "val"]
    if validation:
        yield (
            f"{', '.join(validation)}/ counts as training data; validation is drawn anew from it."
        )
