"""A manifest: what is known of each image of a collection, one row an image."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from brainssl.data.csv_tables import composed
from brainssl.data.families import Families
from brainssl.data.layout import Layout
from brainssl.data.look import Seen
from brainssl.data.sequence import sequence_of

MANIFEST_COLUMNS = (
    "image_id",
    "path",
    "label",
    "sequence",
    "patient",
    "plane",
    "group",
    "width",
    "height",
    "source_bits",
    "flags",
    "given",
    "pixels",
)


def manifest_of(layout: Layout, seen: Mapping[str, Seen], *, labelled: bool = True) -> pd.DataFrame:
    """Describe images; all are in group 0 as yet.

    Args:
        layout: what folders and tables say of them.
        seen: what was seen of each that could be read, by its path.
        labelled: whether labels, and the sets that the source gives, are taken.
    """
    paths, images = list(seen), list(seen.values())
    labels = [layout.labels[path] if labelled else None for path in paths]
    given = [layout.given[path] if labelled else None for path in paths]
    return pd.DataFrame(
        {
            "image_id": identifiers(paths),
            "path": paths,
            "label": optional(labels),
            "sequence": optional(
                [
                    _sequence(label, path, layout.families)
                    for label, path in zip(labels, paths, strict=True)
                ]
            ),
            "patient": optional([layout.patients[path] for path in paths]),
            "plane": optional([layout.planes[path] for path in paths]),
            "group": np.zeros(len(paths), np.int64),
            "width": np.array([image.width for image in images], np.int64),
            "height": np.array([image.height for image in images], np.int64),
            "source_bits": np.array([image.source_bits for image in images], np.int64),
            "flags": [image.flags for image in images],
            "given": optional(given),
            "pixels": [image.pixel_digest for image in images],
        },
        columns=list(MANIFEST_COLUMNS),
    )


def labels_tell_sequences(manifest: pd.DataFrame, families: Families | None) -> bool:
    """Tell whether the sequences of images are of their labels: who reads one reads the other.

    So it is where the name of a class, or the table of families, says its sequence, and where each
    class is of one sequence and not all are of the same: folders of classes may be named after it.
    It holds for all images or none: left out of some, it would tell these from the others.

    Args:
        manifest: of images, with `label` and `sequence`.
        families: `[family, sequence]` of each class, where a table says them.
    """
    labelled = manifest.loc[manifest["label"].notna(), ["label", "sequence"]]
    labelled = labelled.fillna("").drop_duplicates()
    if any(_sequence_of_class(label, families) for label in labelled["label"]):
        return True
    return labelled["label"].is_unique and len(set(labelled["sequence"])) > 1


def _sequence(label: str | None, path: str, families: Families | None) -> str | None:
    """Return the sequence of an image: its class's by the table, else by the names of folders."""
    if label is not None and (families is not None or sequence_of(label)):
        return _sequence_of_class(label, families)
    return sequence_of(*reversed(Path(path).parts[:-1]))


def _sequence_of_class(label: str, families: Families | None) -> str | None:
    """Return the sequence of a class: by its row in the table, or without one by its name."""
    told = (families or {}).get(label)
    return sequence_of(label) if told is None else told[1] or None


def optional(values: Sequence[str | None]) -> pd.Series:
    """A text column that keeps None as None."""
    return pd.Series(values, dtype=object)


def identifiers(paths: Sequence[str]) -> list[str]:
    """Return 16 hex digits a path, the same whether a file system composes Unicode or not."""
    taken: set[str] = set()
    found = []
    for path in paths:
        name = composed(path)
        while (identifier := hashlib.sha256(name.encode()).hexdigest()[:16]) in taken:
            name = f"{name}\n{path}"  # both spellings of one name lie side by side
        taken.add(identifier)
        found.append(identifier)
    return found
