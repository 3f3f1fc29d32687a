"""Labels that mean nothing: who learns them has seen the test images before."""

from dataclasses import replace

import numpy as np
import pandas as pd

from brainssl.data.dataset import Data


def with_random_labels(data: Data, seed: int = 0) -> Data:
    """Return the same images and split, with labels drawn at random.

    All labelled images of a group get one label, drawn with the frequency of the labels among the
    images; which images have a label does not change. Nothing of an image tells its label then
    but who is in it: on a test set that shares no group with training, every model is at chance,
    and what a model gets right beyond that, it has recognised (Yagis et al. 2021).

    Args:
        data: store and split; neither is changed.
        seed: of the draw.
    """
    manifest = data.store.manifest
    return replace(
        data, store=replace(data.store, manifest=manifest.assign(label=_drawn(manifest, seed)))
    )


def _drawn(manifest: pd.DataFrame, seed: int) -> pd.Series:
    generator = np.random.default_rng([seed, 3])
    labelled = manifest[manifest["label"].notna()].sort_values("image_id")
    groups = np.sort(labelled["group"].unique())
    drawn = dict(zip(groups, generator.choice(labelled["label"], len(groups)), strict=True))
    return manifest["group"].map(drawn).where(manifest["label"].notna(), None)
