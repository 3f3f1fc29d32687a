"""Positive pairs: where the second view of an image comes from.

With multi-instance pairs it comes from another slice of the same patient (Azizi et al. 2021,
https://arxiv.org/abs/2101.05224, section 3.2), or of the same group.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64
from torch import Tensor

from brainssl.data.families import Families
from brainssl.data.indices import Indices
from brainssl.data.manifest import labels_tell_sequences
from brainssl.foundation.errors import BrainsslError
from brainssl.methods.gathering import ranks, share
from brainssl.training.batches import seeded
from brainssl.views.sending import sent

Positives = Literal["patient", "group"]


def refuse_unpaired(positives: str, known: bool, where: str) -> None:
    """Refuse pairs of slices where no image is known to belong to what pairs are of.

    Args:
        positives: as `pretrain.positives` has it.
        known: whether of any image it is known.
        where: what knows it or not, in words.

    Raises:
        BrainsslError: none is known.
    """
    if positives != "image" and not known:
        raise BrainsslError(
            f"pretrain.positives is {positives}, and {where} knows no {positives}s: put "
            "patients.csv beside the images (and prepare a store of them again), or set "
            f"pretrain.positives to {'group' if positives == 'patient' else 'image'}"
        )


@dataclass(frozen=True)
class Partners:
    """Pools of images: those of one pool may be positives of each other.

    Attributes:
        pool: number of each row's pool; -1 of rows that are not pretrained on.
        rows: those that are, pool by pool.
        start: where in `rows` each pool begins.
        size: images of each pool.
        place: of each row in its pool, from 0.
    """

    pool: Int64[Tensor, " n"]
    rows: Int64[Tensor, " m"]
    start: Int64[Tensor, " pools"]
    size: Int64[Tensor, " pools"]
    place: Int64[Tensor, " n"]

    @classmethod
    def of(
        cls,
        manifest: pd.DataFrame,
        rows: Indices,
        positives: Positives,
        *,
        classes: Int64[np.ndarray, " n"] | None = None,
        families: Families | None = None,
    ) -> "Partners":
        """Put the images of a pretraining into pools.

        A pool is of one patient, or group, and of one sequence: pairs of T1 and T2 would teach that
        the two are the same, and it is the sequence that must be told apart. Images of unknown
        sequence make a pool of their own, and where `labels_tell_sequences` all are unknown, so
        that no label but those of `classes` makes a pool. An image of no known patient has nobody
        but itself.

        Args:
            manifest: of the store, with `label`, `patient`, `group` and `sequence`.
            rows: of the pretraining; no other image becomes a partner.
            positives: of what there are pools.
            classes: of each row of the manifest those that a method learns from, -1 elsewhere; a
                pool is then of one of them, too.
            families: `[family, sequence]` of each class, where a table says them.

        Raises:
            BrainsslError: pools of patients are asked for, and of none of the rows one is known.
        """
        own = manifest.iloc[rows]
        unit = own[positives]
        refuse_unpaired(positives, bool(unit.notna().any()), "the store")
        known = unit.notna().to_numpy()
        alone = pd.Series(np.arange(len(rows)), own.index).mask(known, -1)
        keys = [unit.fillna(""), alone]
        if not labels_tell_sequences(own, families):
            keys.append(own["sequence"].fillna(""))
        if classes is not None:
            keys.append(pd.Series(classes[rows], own.index))
        number = own.groupby(keys, sort=False).ngroup().to_numpy(np.int64)
        order = np.argsort(number, kind="stable")
        size = np.bincount(number)
        start = np.cumsum(size) - size
        pool, place = np.full(len(manifest), -1, np.int64), np.zeros(len(manifest), np.int64)
        pool[rows] = number
        place[rows[order]] = np.arange(len(rows)) - start[number[order]]
        parts: Sequence[np.ndarray] = (pool, rows[order], start, size, place)
        return cls(*(torch.from_numpy(part) for part in parts))

    @property
    def paired(self) -> int:
        """How many images have another one in their pool."""
        return int(self.size[self.size > 1].sum())

    def to(self, device: torch.device) -> "Partners":
        """Return the same pools on a device."""
        return Partners(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def draw(self, batch: Int64[Tensor, " b"], *, seed: int, step: int) -> Int64[Tensor, " b"]:
        """Draw a partner of each image: any other of its pool, or itself where there is none.

        What is drawn depends on the seed, the step and the place in the joint batch: going on
        after a kill, and several processes, draw the same.

        Args:
            batch: rows, on the device of the pools; this process's share of the joint batch.
            seed: of the training.
            step: optimiser steps done.
        """
        generator = seeded(seed, 7, step)
        drawn = share(torch.randint(2**31, (len(batch) * ranks(),), generator=generator))
        pool = self.pool[batch]
        others = self.size[pool] - 1
        ahead = 1 + sent(drawn, batch.device) % others.clamp(min=1)
        return self.rows[self.start[pool] + (self.place[batch] + ahead) % self.size[pool]]
