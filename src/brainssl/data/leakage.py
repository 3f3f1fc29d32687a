"""What of the test images a training set has already seen."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64
from scipy.sparse import coo_array, csr_array, eye_array

from brainssl.data.duplicates import Pairs
from brainssl.data.groups import blank_rows
from brainssl.data.split import Split, make_split
from brainssl.foundation.errors import BrainsslError

KINDS = ("identical", "near_duplicate", "patient", "group")
"""What a test image may have in training: a pixel-identical copy; that or a near-duplicate; an
image of its patient; an image of its group."""


@dataclass(frozen=True)
class Leakage:
    """Which images resemble which, ready to be asked about any split.

    Attributes:
        near: adjacency of distinct pictures that are near-duplicates, each its own neighbour.
        picture: index of each image's distinct picture.
        patient: index of each image's patient, -1 where unknown.
        group: group of each image.
    """

    near: csr_array
    picture: Int64[np.ndarray, " n"]
    patient: Int64[np.ndarray, " n"]
    group: Int64[np.ndarray, " n"]

    @classmethod
    def of(cls, manifest: pd.DataFrame, pairs: Pairs) -> "Leakage":
        """Prepare a manifest and the near-duplicate pairs of its rows.

        A blank image is a copy of none: it could give nobody away.
        """
        rows = np.arange(len(manifest)).astype(str).astype(object)
        pictures = np.where(blank_rows(manifest), rows, manifest["pixels"].to_numpy(object))
        picture = pd.factorize(pictures)[0].astype(np.int64)
        count = int(picture.max()) + 1
        left, right = picture[pairs.left], picture[pairs.right]
        links = coo_array((np.ones(len(pairs), bool), (left, right)), shape=(count, count))
        near = (links + links.T + eye_array(count, dtype=bool)).tocsr()
        patient = pd.factorize(manifest["patient"])[0].astype(np.int64)
        return cls(near, picture, patient, manifest["group"].to_numpy(np.int64))

    def seen(
        self, train: Int64[np.ndarray, " t"], test: Int64[np.ndarray, " u"]
    ) -> dict[str, Bool[np.ndarray, " u"]]:
        """Return, for each of `KINDS`, which test images have such a one in training.

        Args:
            train: rows of training images.
            test: rows of test images.
        """
        trained = np.zeros(self.near.shape[0], np.int64)
        trained[self.picture[train]] = 1
        reached = self.near.astype(np.int64) @ trained
        patients = self.patient[train]
        return {
            "identical": trained[self.picture[test]] > 0,
            "near_duplicate": reached[self.picture[test]] > 0,
            "patient": np.isin(self.patient[test], patients[patients >= 0]),
            "group": np.isin(self.group[test], self.group[train]),
        }


def near_duplicates_left(manifest: pd.DataFrame, pairs: Pairs, split: Split) -> int:
    """Return how many test images have a copy or near-duplicate in a split's training set.

    Grouping does not always prevent it: near-duplicates never merge two patients, and a link
    between large groups must be stronger than a near-duplicate.

    Args:
        manifest: of the images.
        pairs: near-duplicate pairs of its rows.
        split: of the manifest.
    """
    train, test = (split.indices(manifest, part) for part in ("train", "test"))
    return int(Leakage.of(manifest, pairs).seen(train, test)["near_duplicate"].sum())


def grouped_split_leakage(
    manifest: pd.DataFrame, pairs: Pairs, *, seed: int
) -> dict[str, int] | None:
    """Return what a split by group leaves: `test` images and the `near_duplicates` among them.

    Returns:
        None where the images cannot be split into three sets of groups.
    """
    try:
        split = make_split(manifest, protocol="grouped", seed=seed)
    except BrainsslError:
        return None
    if not split.test:
        return None
    left = near_duplicates_left(manifest, pairs, split)
    return {"seed": seed, "test": len(split.test), "near_duplicates": left}


def random_split_leakage(
    leakage: Leakage,
    rows: Int64[np.ndarray, " n"],
    *,
    draws: int = 20,
    generator: np.random.Generator,
) -> dict[str, tuple[float, float]]:
    """Return what splits of 80/10/10 by image would leak.

    Args:
        leakage: of the whole manifest.
        rows: images to split.
        draws: splits to draw.
        generator: source of randomness.

    Returns:
        For each of `KINDS`, mean and standard deviation over the draws of the share of test images
        that have such a one in training. Empty where there are fewer than 10 images.
    """
    size = len(rows) // 10
    if not size:
        return {}
    shares: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(draws):
        order = generator.permutation(rows)
        seen = leakage.seen(order[2 * size :], order[:size])
        for kind, which in seen.items():
            shares[kind].append(float(which.mean()))
    return {kind: (float(np.mean(drawn)), float(np.std(drawn))) for kind, drawn in shares.items()}
