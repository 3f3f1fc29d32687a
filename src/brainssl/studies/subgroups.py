"""The subgroups of a study's test images: what its stores say of them, and where ages are cut."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from brainssl.data.subgroups import Cuts, cuts_of
from brainssl.foundation.plain_names import read_frame
from brainssl.studies.arms import Arm


def known_images(folder: Path) -> pd.DataFrame:
    """Return the manifests of a study's stores as one, each image once; empty if there are none."""
    found = []
    for file in sorted(folder.glob("store*/manifest.parquet")):
        try:
            found.append(read_frame(file).astype(object))
        except (OSError, ValueError):  # predictions alone are enough for everything else
            continue
    if not found:
        return pd.DataFrame({"image_id": []})
    return pd.concat(found, ignore_index=True).drop_duplicates("image_id", ignore_index=True)


def cuts_by_protocol(arms: Sequence[Arm], images: pd.DataFrame) -> dict[str, Cuts]:
    """Return where numbers are cut under each protocol: by the training part of its first model.

    With folds it is that of the first fold, for all of them.
    """
    found: dict[str, Cuts] = {}
    for arm in arms:
        if arm.protocol not in found:
            model = (arm.folds or (arm,))[0].models[0]
            trained = set(model.of("train").frame["image_id"])
            found[arm.protocol] = cuts_of(images[images["image_id"].isin(trained)])
    return found
