"""What a training may begin with."""

import numpy as np

from brainssl.data.dataset import Data
from brainssl.data.marks import known
from brainssl.data.split import Split
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.models.encoder import Encoder
from brainssl.settings import LABELLED_METHODS


def refuse_seen_start(encoder: Encoder, store: ImageStore, split: Split) -> None:
    """Refuse weights of ours that may have seen the test set of this split.

    Weights that were trained on other images are what a start is for; whether those are of other
    patients nothing can check.

    Raises:
        BrainsslError: one of the trainings behind them was on another split of the same store, or
            they know images of the test set by their marks.
    """
    for told in encoder.trainings:
        if told.get("store") == store.checksum and told.get("split_digest") != split.digest:
            raise BrainsslError(
                f"{_title(encoder)} was trained on another split of {store.path}, so this test set "
                "may hold images that it has learnt: give weights of other images, or of this split"
            )
    if number := _known_tests(encoder, store, split):
        raise BrainsslError(
            f"{_title(encoder)} has learnt {number:,} of {len(split.test):,} images of the test "
            f"set, by whatever name they stand in {store.path}: give weights of other images"
        )


def _known_tests(encoder: Encoder, store: ImageStore, split: Split) -> int:
    """Count test images that shaped an encoder, and are not as like as that to this training set.

    What resembles an image of this split's own training tells nothing of where else it was seen.
    """
    here = all(told.get("split_digest") == split.digest for told in encoder.trainings)
    if encoder.learnt is None or here:
        return 0
    test = store.marks[split.indices(store.manifest, "test")]
    seen = test[known(test, encoder.learnt)]
    if not len(seen):
        return 0
    parts = [split.indices(store.manifest, part) for part in ("train", "val")]
    own = np.concatenate([*parts, split.pretraining(store.manifest)])
    return len(seen) - int(known(seen, store.marks[own]).sum())


def refuse_more_labels(
    encoder: Encoder, store: ImageStore, split: Split, label_fraction: float | str, seed: int
) -> None:
    """Refuse weights of ours that have learnt from labels which a label fraction leaves out.

    Raises:
        BrainsslError: one of the trainings behind them has, as `Data.refuse_more_labels` says.
    """
    for told in encoder.trainings:
        # A probe leaves its encoder as it is.
        if told.get("stage") != "linear" or told.get("method") in LABELLED_METHODS:
            Data(store, split).refuse_more_labels(told, label_fraction, seed)


def _title(encoder: Encoder) -> str:
    return f"encoder.weights: {encoder.start.name}" if encoder.start else "the encoder"
