"""Data: a store and its split, checked against each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int64

from brainssl.data.indices import Indices
from brainssl.data.label_fractions import LabelShare, label_subset
from brainssl.data.shots import label_fraction
from brainssl.data.split import PARTS, Split, check_groups
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError


@dataclass(frozen=True)
class Data:
    """A store and its split: what every stage of one protocol shares.

    Raises:
        BrainsslError: the split names images that the store lacks, one of its sets is empty, or it
            is `grouped` and a group of this store stands in two of its sets.
    """

    store: ImageStore
    split: Split

    def __post_init__(self) -> None:
        for part in PARTS:
            if not self.split.ids(part):
                raise BrainsslError(
                    f"{self.store.path}: the {part} set of the {self.split.protocol} split is "
                    "empty: there are too few groups of labelled images to split, or a given test "
                    "set shares them all; add patients, or try --protocol image knowing what it "
                    "leaks"
                )
        check_groups(self.store.manifest, self.split)

    def rows(self, fraction: float | str, seed: int) -> dict[str, Indices]:
        """Return the rows of each part; of the training set those whose labels may be used."""
        rows = {part: self.split.indices(self.store.manifest, part) for part in PARTS}
        rows["train"] = label_subset(self.store.manifest, self.split, fraction, seed=seed)
        return rows

    def labelled(self, fraction: float | str, train: Indices) -> LabelShare:
        """Say what a label fraction came to, whose rows of the training set are `train`."""
        groups = self.store.manifest["group"].iloc[train].nunique()
        share = len(train) / len(self.split.train)
        return LabelShare(label_fraction(fraction), share, len(train), groups)

    def sample(self, part: str, most: int, seed: int) -> Indices:
        """Return ascending rows of at most so many images of a part, from all groups in turn."""
        rows = self.split.indices(self.store.manifest, part)
        # Groups stand class by class in a store: in that order the first are of few classes.
        rows = np.random.default_rng(seed).permutation(rows)
        return np.sort(rows[evenly(self.store.manifest["group"].to_numpy()[rows], most)])

    def facts(self) -> dict[str, Any]:
        """Say which data a model has seen."""
        facts = {
            "protocol": self.split.protocol,
            "split_digest": self.split.digest,
            "store": self.store.checksum,
            "reader": self.store.reader,
        }
        facts |= self.store.told_pixels
        return facts | ({} if self.store.plane == "native" else {"plane": self.store.plane})

    def refuse_seen(self, facts: dict[str, Any]) -> None:
        """Refuse a model that may have seen the test set of this split.

        Args:
            facts: of the model, as `facts` gave them when it was trained.

        Raises:
            BrainsslError: it was trained on another store, or on another split of this one.
        """
        own = self.facts()
        if any(facts.get(name) != own[name] for name in ("store", "split_digest")):
            raise BrainsslError(
                f"the model was trained on another store or split than {self.store.path}, so this "
                "test set may hold images that it has learnt: give the store of its training, with "
                "the split.json that lies beside the model"
            )

    def refuse_more_labels(
        self, facts: Mapping[str, Any], fraction: float | str, seed: int
    ) -> None:
        """Refuse an encoder that has learnt from labels which a label fraction leaves out.

        Args:
            facts: of a training behind the encoder, as that wrote them.
            fraction: of a stage that goes on from it.
            seed: of that stage.

        Raises:
            BrainsslError: it has, and so what is measured would not be of that fraction.
        """
        own = "label_fraction" in facts and facts.get("split_digest") == self.split.digest
        if not own:
            return
        taught = self.rows(facts["label_fraction"], facts["seed"])["train"]
        if not np.isin(taught, self.rows(fraction, seed)["train"]).all():
            raise BrainsslError(
                f"the encoder has learnt from labels that are not among those of --label-fraction "
                f"{fraction} and --seed {seed}: give --label-fraction {facts['label_fraction']} "
                f"and --seed {facts['seed']}, with which it was trained"
            )


def evenly(groups: Sequence[int] | np.ndarray, most: int) -> Int64[np.ndarray, " kept"]:
    """Return the places of at most so many images, group by group in turn, in their order."""
    turn = pd.Series(np.asarray(groups)).groupby(np.asarray(groups)).cumcount().to_numpy()
    return np.sort(np.argsort(turn, kind="stable")[:most]).astype(np.int64)
