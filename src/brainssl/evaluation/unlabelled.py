"""What a model said of images without label: the classes that it has never seen."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Float32, Int64

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import read_frame
from brainssl.foundation.storage import write_atomically

UNLABELLED = "unlabelled.parquet"
_LOGIT = "logit:"


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """One row an image without label.

    Attributes:
        image_ids: of the images.
        groups: the group of each.
        logits: the model's scores before the softmax, one column a class.
        classes: that the model knows.
    """

    image_ids: tuple[str, ...]
    groups: Int64[np.ndarray, " n"]
    logits: Float32[np.ndarray, "n classes"]
    classes: tuple[str, ...]

    def save(self, path: Path) -> None:
        """Write a Parquet file: `image_id`, `group`, then `logit:<class>`; whole or absent."""
        columns = [f"{_LOGIT}{name}" for name in self.classes]
        keys = pd.DataFrame({"image_id": self.image_ids, "group": self.groups})
        frame = pd.concat([keys, pd.DataFrame(self.logits, columns=columns)], axis=1)
        write_atomically(path, lambda beside: frame.to_parquet(beside, index=False))

    @classmethod
    def load(cls, path: Path) -> "Unlabelled":
        """Read what `save` wrote.

        Raises:
            BrainsslError: The file is missing, damaged or something else.
        """
        try:
            frame = read_frame(path)
            logits = frame.filter(like=_LOGIT)
            return cls(
                tuple(frame["image_id"]),
                frame["group"].to_numpy(np.int64),
                logits.to_numpy(np.float32),
                tuple(name.removeprefix(_LOGIT) for name in logits.columns),
            )
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BrainsslError(
                f"{path} is missing or damaged ({reason}): evaluate again"
            ) from None
