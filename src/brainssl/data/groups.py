"""Groups of images that must not cross a split: patients, else near-duplicates.

Groups grow by single links, because adjacent slices of a patient resemble each other only one by
one; but a link between large groups must be stronger, which keeps them from chaining into giants.
`benchmarks/near_duplicates.py` compares this choice with others where patients are known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64

from brainssl.data.duplicates import Pairs, needed_similarity


@dataclass(frozen=True)
class Groups:
    """Groups of images that must not cross a split.

    Attributes:
        group: group of each image, numbered from 0 in order of first appearance.
        notes: what was merged and why, one sentence each.
    """

    group: Int64[np.ndarray, " n"]
    notes: list[str]


def blank_rows(manifest: pd.DataFrame) -> Bool[np.ndarray, " n"]:
    """Return which images of a manifest show nothing, or hardly anything, by their flags."""
    return manifest["flags"].str.contains("blank").to_numpy(bool)


def group_slices(
    patients: Sequence[str | None],
    pixels: Sequence[str],
    pairs: Pairs,
    blank: Bool[np.ndarray, " n"] | None = None,
    together: Sequence[str | None] | None = None,
) -> Groups:
    """Group images that must not cross a split.

    Pixel-identical images share a group, but for blank ones: those of all people are alike. Where
    patients are known they are the groups; patients that share a pixel-identical image are merged.
    Images without a patient are linked by near-duplicate pairs, to each other or to one patient,
    never so as to merge two patients.

    Args:
        patients: patient of each image, None where unknown.
        pixels: digest of each image's pixels.
        pairs: of `near_pairs`, over the same images.
        blank: which images show nothing that could link them to others; by default none.
        together: of each image a name that it shares with others of its patient, whoever that is,
            such as its series; None where there is none. By default there are none.

    Returns:
        The groups, and notes on patients that were merged and on blank images.
    """
    nothing = np.zeros(len(pixels), bool) if blank is None else blank
    pairs = pairs.where(~(nothing[pairs.left] | nothing[pairs.right]))
    images: dict[str | int, int] = {}
    pictures = [at if nothing[at] else digest for at, digest in enumerate(pixels)]
    node = np.array([images.setdefault(picture, len(images)) for picture in pictures], np.int64)
    forest = _Forest(len(images))
    names: dict[str, int] = {}
    known = np.zeros(len(images), bool)
    for at, patient in zip(node, patients, strict=True):
        if patient is not None:
            known[at] = True
            forest.join(int(at), names.setdefault(patient, int(at)))
    bound: dict[str, int] = {}
    for at, name in zip(node, together or [None] * len(node), strict=True):
        if name is not None:
            forest.join(int(at), bound.setdefault(name, int(at)))
    notes = _merged_patients(names, forest)
    if nothing.any():
        notes.append(f"Images that show hardly anything join no group: {int(nothing.sum()):,}.")
    forest.owned = {forest.root(int(at)) for at in np.flatnonzero(known)}
    order = np.lexsort((pairs.right, pairs.left, -pairs.similarity))
    ends = zip(node[pairs.left[order]], node[pairs.right[order]], strict=True)
    for (left, right), similarity in zip(ends, pairs.similarity[order], strict=True):
        forest.link(int(left), int(right), float(similarity), len(pixels))
    roots: dict[int, int] = {}
    group = [roots.setdefault(forest.root(int(at)), len(roots)) for at in node]
    return Groups(np.array(group, np.int64), notes)


def _merged_patients(names: dict[str, int], forest: "_Forest") -> list[str]:
    together: dict[int, list[str]] = {}
    for patient, at in names.items():
        together.setdefault(forest.root(at), []).append(patient)
    return [
        f"Patients {', '.join(sorted(merged))} share pixel-identical images and form one group."
        for merged in together.values()
        if len(merged) > 1
    ]


class _Forest:
    """Disjoint sets of images."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))
        self.size = [1] * count
        self.owned: set[int] = set()  # roots of sets that belong to a known patient

    def root(self, at: int) -> int:
        while self.parent[at] != at:
            self.parent[at] = self.parent[self.parent[at]]
            at = self.parent[at]
        return at

    def join(self, left: int, right: int) -> None:
        left, right = self.root(left), self.root(right)
        if left == right:
            return
        if self.size[left] < self.size[right]:
            left, right = right, left
        self.parent[right] = left
        self.size[left] += self.size[right]
        if right in self.owned:
            self.owned.add(left)

    def link(self, left: int, right: int, similarity: float, images: int) -> None:
        """Join the two sets if the link is strong enough for their sizes.

        Links come in falling order and sets only grow, so that a link refused once stays refused.
        """
        left, right = self.root(left), self.root(right)
        if left == right or {left, right} <= self.owned:
            return
        if similarity >= needed_similarity(images, self.size[left] * self.size[right]):
            self.join(left, right)
