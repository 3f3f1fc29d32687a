"""What only a user can say of the names of classes."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator

from brainssl.data.levels import PLANES, part_of
from brainssl.data.mask_files import is_mask, is_mask_of_another


def questions_about(names: Collection[str]) -> Iterator[str]:
    """Ask about classes that are alike, parts of a split, or masks, by their names."""
    ends = {name: re.split(r"[\s_\-]+", name.strip()) for name in names}
    if len(ends) > 1 and all(len(words) > 1 and part_of(words[-1]) for words in ends.values()):
        yield (
            f"The classes {', '.join(sorted(ends)[:3])} end in parts of a split. Put them into "
            "folders train/ and test/, or map them with --labels."
        )
    for name in sorted(names):
        if is_mask_of_another(name, names) or (is_mask(name) and len(names) > 1):
            yield (
                f"The class {name} looks like masks of others. Move it into a folder masks/ "
                "beside images/, or map it to an empty label with --labels."
            )
    if len(names) > 1 and all(name.casefold() in PLANES for name in names):
        yield (
            f"The classes {', '.join(sorted(names))} are planes. Say --classes-at with the level "
            "of the classes, or name what each image shows with --labels."
        )
    alike: dict[str, set[str]] = defaultdict(set)
    for name in names:
        alike[_bare(name)].add(name)
    for twins in alike.values():
        if len(twins) > 1:
            told = " and ".join(repr(name) for name in sorted(twins))
            yield (
                f"The classes {told} differ in case, spaces or signs alone. Name their folders "
                "alike, or map them with --labels."
            )


def _bare(label: str) -> str:
    """Return what is left of a class's name without case, spaces, signs and what cannot be seen."""
    visible = "".join(sign for sign in label if unicodedata.category(sign) not in ("Cf", "Cc"))
    joined = re.sub(r"[\s_\-]+", " ", visible).strip().casefold()
    return re.sub(r"(\d+)\.0+", r"\1", joined)
