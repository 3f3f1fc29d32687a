"""What a training may begin with."""

from brainssl.data.split import Split
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.models.encoder import Encoder


def refuse_seen_start(encoder: Encoder, store: ImageStore, split: Split) -> None:
    """Refuse weights of ours that may have seen the test set of this split.

    Weights that were trained on other images are what a start is for; whether those are of other
    patients nothing can check.

    Raises:
        BrainsslError: they were trained on another split of the same store.
    """
    start = encoder.start
    told = (start.trained_on if start else None) or {}
    if start and told.get("store") == store.checksum and told.get("split_digest") != split.digest:
        raise BrainsslError(
            f"encoder.weights: {start.name} was trained on another split of {store.path}, so this "
            "test set may hold images that it has learnt: give weights of other images, or of "
            "this split"
        )
