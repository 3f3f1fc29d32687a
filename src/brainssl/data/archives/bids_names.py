"""Names of BIDS: entities, suffix, and what cannot be learnt from.

Source: Brain Imaging Data Structure 1.10, "Filenames" and "Magnetic Resonance Imaging".
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from brainssl.data.archives.walk import bare

FOLDERS = frozenset({"anat", "dwi", "func", "perf", "fmap", "swi"})
"""Folders of images by magnetic resonance."""

OTHER_FOLDERS = frozenset({"pet", "meg", "eeg", "ieeg", "nirs", "micr", "motion", "mrs", "beh"})

MASKS = frozenset({"mask", "dseg", "roi"})
"""Suffixes of what may outline a lesion."""

_ENTITY = re.compile(r"([A-Za-z]+)-([A-Za-z0-9+]+)")
_BY_FOLDER = {"func": "functional", "fmap": "field map", "perf": "perfusion"}
_BY_SUFFIX = {
    "angio": "angiography",
    "defacemask": "mask",
    "sbref": "reference",
    "FLASH": "several contrasts",
    "MP2RAGE": "several contrasts",
    "MEGRE": "several contrasts",
    "MESE": "several contrasts",
    "VFA": "several contrasts",
    "IRT1": "several contrasts",
    "MPM": "several contrasts",
    "MTS": "several contrasts",
    "MTR": "several contrasts",
    "PDT2": "several contrasts",
    "ADC": "map",
    "FA": "map",
    "TRACE": "map",
    "S0map": "map",
    "Chimap": "map",
    "phase": "phase",
} | dict.fromkeys(MASKS, "mask")

_LESION = re.compile(
    r"lesion|tumou?r|glioma|glioblast|mening|metasta|stroke|infarct|wmh|oedema|edema|enhanc|necro"
    r"|abnormal|patholog|cavity",
    re.IGNORECASE,
)
_ANATOMY = re.compile(
    r"brain|head|skull|scalp|face|aseg|aparc|ribbon|gm|wm|csf|gray|grey|white|cortex|subcort|tissue"
    r"|synthseg|carpet|atlas|ventricle|hippo|thalam|fov|valid|bg|l|r",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Name:
    """What a file's name says.

    Attributes:
        entities: by key, such as `sub`, `ses`, `ce`, `run`.
        suffix: the last part, such as `T1w`.
        further: parts that are neither, as some programs leave them.
    """

    entities: dict[str, str]
    suffix: str
    further: tuple[str, ...] = ()

    @property
    def patient(self) -> str:
        """The participant's identifier, as `participants.tsv` has it."""
        return f"sub-{self.entities['sub']}"

    @property
    def study(self) -> str:
        """Of a participant with sessions the session, in one name."""
        session = self.entities.get("ses")
        return f"{self.patient}_ses-{session}" if session else self.patient


def parsed(path: str) -> Name | None:
    """Return what the name of a file says; None where it is none of a participant's."""
    stem = bare(PurePosixPath(path).name)
    *parts, suffix = (stem if stem != PurePosixPath(path).name else stem.split(".")[0]).split("_")
    matches = [_ENTITY.fullmatch(part) for part in parts]
    entities = {found[1]: found[2] for found in matches if found}
    if not entities.get("sub") or not suffix or "-" in suffix:
        return None
    further = tuple(part for part, found in zip(parts, matches, strict=True) if not found)
    return Name(entities, suffix, further)


def folder_of(path: str) -> str:
    """Return the folder of a file, which says by what it was made."""
    return PurePosixPath(path).parent.name


def excluded(path: str, name: Name) -> str | None:
    """Return why a file is no volume to learn from, by its name; None where it may be one."""
    if name.entities.get("part") in ("phase", "imag", "real"):
        return "phase"
    if name.suffix.endswith(("map", "maps")):
        return "map"
    by_suffix = _BY_SUFFIX.get(name.suffix)
    folder = folder_of(path)
    if by_suffix or folder in FOLDERS:
        return by_suffix or _BY_FOLDER.get(folder)
    return f"not MRI ({folder})" if folder in OTHER_FOLDERS else "in no folder of images"


def outlines_lesion(name: Name) -> bool:
    """Tell whether a mask is one of a lesion, by its entities `label` and `desc`.

    One of a brain or its tissues is none, and none that says nothing of what it outlines.
    """
    if name.suffix not in MASKS:
        return False
    said = [name.entities[key] for key in ("label", "desc") if key in name.entities]
    if any(_LESION.search(word) for word in said):
        return True
    anatomy = any(_ANATOMY.fullmatch(word) or _ANATOMY.match(word) for word in said)
    return bool(said) and not anatomy


def fits(mask: Name, image: Name) -> bool:
    """Tell whether a mask may be that of an image: what it says, the image says too."""
    own = {k: v for k, v in mask.entities.items() if k not in ("label", "desc", "space", "res")}
    return own.items() <= image.entities.items() and set(mask.further) <= {image.suffix}


def sidecars_of(path: str, candidates: Iterable[str], suffix: str) -> list[str]:
    """Return the files that say something of an image, those farthest from it first.

    Args:
        path: of the image.
        candidates: paths from which it is chosen.
        suffix: with which they end, such as `.json`.

    Returns:
        Those in the image's folder or above it whose suffix is the same and whose entities the
        image has too (BIDS's principle of inheritance).
    """
    image, folder = parsed(path), PurePosixPath(path).parent
    if image is None:
        return []
    above = {".", *(one.as_posix() for one in (folder, *folder.parents))}
    found = []
    for candidate in candidates:
        place = PurePosixPath(candidate)
        if place.suffix != suffix or place.parent.as_posix() not in above:
            continue
        *parts, kind = place.stem.split("_")
        entities = [match for part in parts if (match := _ENTITY.fullmatch(part))]
        said = {match[1]: match[2] for match in entities}
        if kind == image.suffix and said.items() <= image.entities.items():
            found.append((len(place.parts), len(said), candidate))
    return [candidate for _, _, candidate in sorted(found)]
