"""The study's class balancing: every class augmented up to the largest, before any split."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int64, UInt

from brainssl.data.field_of_view import FIELD
from brainssl.data.prepare import write_store
from brainssl.data.store import ImageStore

COPY = "augmented copy"  # the flag of what is no image of the source
_BATCH = 256

Augment = Callable[
    [UInt[np.ndarray, "n size size"], np.random.Generator], UInt[np.ndarray, "n size size"]
]


def balance(
    store: ImageStore,
    out: Path,
    *,
    augment: Augment,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> ImageStore:
    """Write a store in which augmented copies bring every class to the size of the largest.

    This is what the study did before it split (its section 3.3 and Table 2), and why its test set
    holds copies of training images. A copy keeps the group of its original, so the leak can be
    counted. Unlabelled images and given test sets are carried over unchanged: only what the split
    is still to be drawn from is balanced.

    Args:
        store: of original images.
        out: folder of the new store; must not exist.
        augment: draws an augmented version of each image of a batch.
        seed: of the choice of originals and of the augmentation.
        progress: called with (images done, images in all).
    """
    generator = np.random.default_rng([seed, 2])
    originals, copies = store.manifest, copies_to_balance(store.manifest, generator)
    rows = originals.iloc[copies].reset_index(drop=True)
    number = rows.groupby("image_id").cumcount() + 1
    rows["image_id"] = rows["image_id"] + "+" + number.astype(str)
    rows["flags"] = rows["flags"].map(lambda flags: f"{flags};{COPY}".strip(";"))
    manifest = pd.concat([originals, rows], ignore_index=True)

    def pixels() -> Iterator[UInt[np.ndarray, "size size"]]:
        yield from store.images
        for start in range(0, len(copies), _BATCH):
            yield from augment(store.images[copies[start : start + _BATCH]], generator)

    facts = {"balanced_from": store.checksum, "seed": seed, "originals": len(originals)}
    facts |= {"simulated": store.facts.get("simulated", False), "reader": store.reader}
    facts |= {name: store.facts[name] for name in ("plane", FIELD) if name in store.facts}
    if store.families is not None:
        facts["families"] = store.families
    # The originals come first, so that their pairs and lesions are those of the same rows.
    held = store.lesions(np.arange(len(originals)))
    if held is not None:  # that of a copy lies elsewhere
        manifest.loc[len(originals) :, "lesion"] = np.nan
    return write_store(
        out,
        manifest,
        pixels(),
        size=store.size,
        bits=store.bits,
        facts=facts,
        near=store.near,
        lesions=None if held is None else chain(held, repeat(None)),
        progress=progress,
    )


def copies_to_balance(
    manifest: pd.DataFrame, generator: np.random.Generator
) -> Int64[np.ndarray, " copies"]:
    """Return the rows to copy, with repetition, so that every class reaches the largest one.

    Each original of a class is copied equally often, give or take one. Images of a given
    validation or test set are neither counted nor copied.
    """
    labels = manifest["label"].mask(manifest["given"].isin(["val", "test"]))
    counts = labels.value_counts()
    rows = [np.empty(0, np.int64)]
    for label in sorted(counts.index):
        own = generator.permutation(np.flatnonzero((labels == label).to_numpy()))
        rows.append(np.resize(own, counts.max() - len(own)))
    return np.concatenate(rows).astype(np.int64)
