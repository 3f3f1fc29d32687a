"""What one model said of every image: the table from which a report can be recomputed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Float64, Int64, Real

from brainssl.evaluation.softmax import softmax
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import plainly
from brainssl.foundation.storage import write_atomically

SPLITS = ("train", "val", "test")

_KEYS = ["image_id", "group", "split", "label"]
_LOGIT = "logit:"
_METADATA = b"brainssl.predictions"
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Predictions:
    """One row an image: where it belongs, what it is, and the logits that a model gave it.

    Attributes:
        frame: `image_id` (str), `group` (int64; the images of one patient or of one cluster of
            near-duplicates share it), `split` (`train`, `val` or `test`), `label` (str), then one
            float32 column a class, `logit:<class>`, in the order of `classes`. Not to be changed
            in place.
        classes: The names of the K classes; their order is the order of the logits and the
            meaning of the integers in `labels` and `predicted`.

    Raises:
        BrainsslError: A column is missing or of another type, a label or a split is unknown, a
            logit is not finite, or an image stands twice in one split.
    """

    frame: pd.DataFrame
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        _check(self.frame, self.classes)

    @classmethod
    def build(
        cls,
        image_ids: Sequence[str],
        groups: Int64[np.ndarray, " n"],
        splits: Sequence[str],
        labels: Int64[np.ndarray, " n"],
        logits: Real[np.ndarray, "n classes"],
        classes: Sequence[str],
    ) -> "Predictions":
        """Put the pieces together; `labels` counts into `classes`, `logits` become float32.

        Raises:
            BrainsslError: The pieces do not fit together, or what the class itself refuses.
        """
        n, k = len(image_ids), len(classes)
        lengths = (len(groups), len(splits), len(labels), *np.shape(logits))
        if lengths != (n, n, n, n, k):
            raise BrainsslError(
                f"predictions for {n} images and {k} classes came with {len(groups)} groups, "
                f"{len(splits)} splits, {len(labels)} labels and logits of shape "
                f"{np.shape(logits)}: give one row an image and one logit a class"
            )
        if n and not 0 <= labels.min() <= labels.max() < k:
            raise BrainsslError(
                f"labels run from {labels.min()} to {labels.max()}, but there are {k} classes: "
                f"number them from 0 to {k - 1}"
            )
        keys = pd.DataFrame(
            {
                "image_id": pd.array(list(image_ids), dtype="str"),
                "group": groups,
                "split": pd.array(list(splits), dtype="str"),
                "label": pd.array([classes[label] for label in labels], dtype="str"),
            }
        )
        columns = [f"{_LOGIT}{name}" for name in classes]
        with np.errstate(over="ignore"):  # becomes infinite, which is refused by name
            scores = pd.DataFrame(np.asarray(logits, np.float32), columns=columns)
        return cls(pd.concat([keys, scores], axis=1), tuple(classes))

    def __len__(self) -> int:
        return len(self.frame)

    def of(self, split: str) -> "Predictions":
        """Return the rows of one split, in their order.

        Raises:
            BrainsslError: There is no such split.
        """
        if split not in SPLITS:
            raise BrainsslError(f"there is no split {split!r}: choose one of {', '.join(SPLITS)}")
        held = self.frame["split"].to_numpy(object) == split
        return self._part(self.frame[held].reset_index(drop=True))

    def _part(self, rows: pd.DataFrame) -> "Predictions":
        """Return some rows of the table, which need not be checked again."""
        part = object.__new__(Predictions)
        object.__setattr__(part, "frame", rows)
        object.__setattr__(part, "classes", self.classes)
        return part

    @property
    def labels(self) -> Int64[np.ndarray, " n"]:
        """The true class of each image, as an index into `classes`."""
        return _codes(self.frame["label"], self.classes)

    @property
    def groups(self) -> Int64[np.ndarray, " n"]:
        """The group of each image."""
        return self.frame["group"].to_numpy()

    @property
    def logits(self) -> Float32[np.ndarray, "n classes"]:
        """The model's scores before the softmax, one column a class."""
        return self.frame.iloc[:, len(_KEYS) :].to_numpy(np.float32)

    @property
    def predicted(self) -> Int64[np.ndarray, " n"]:
        """The class with the highest logit, the first of them where several are equal."""
        predicted: Int64[np.ndarray, " n"] = self.logits.argmax(axis=1)
        return predicted

    def probabilities(self, temperature: float = 1.0) -> Float64[np.ndarray, "n classes"]:
        """Return softmax(logits / temperature), in float64; above 1 it makes the model less sure.

        Raises:
            BrainsslError: The temperature is not a positive number.
        """
        return probabilities_of(self.logits, temperature)

    @classmethod
    def joined(cls, parts: Sequence["Predictions"]) -> "Predictions":
        """Put together what several models said of different images.

        Raises:
            BrainsslError: They name different classes, or an image stands twice in one split.
        """
        if any(part.classes != parts[0].classes for part in parts):
            raise BrainsslError("predictions of different classes cannot be put together")
        return cls(pd.concat([part.frame for part in parts], ignore_index=True), parts[0].classes)

    def save(self, path: Path) -> None:
        """Write a Parquet file, with the classes in its metadata; it is whole or absent."""
        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        described = json.dumps({"version": _VERSION, "classes": self.classes}, ensure_ascii=False)
        table = table.replace_schema_metadata(
            {_METADATA: described.encode("utf-8", "backslashreplace")}
        )
        write_atomically(
            path, lambda beside: pq.write_table(table, beside, write_page_checksum=True)
        )

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """Read what `save` wrote.

        Raises:
            BrainsslError: The file is missing, damaged, of a newer version or something else.
        """
        if not path.is_file():
            raise BrainsslError(f"{path} is missing: it should hold predictions")
        try:
            # pq.read_table would see columns in folder names such as `split=test`; this does not.
            with (
                plainly(path) as plain,
                pq.ParquetFile(plain, page_checksum_verification=True) as file,
            ):
                table = file.read()
            described = (table.schema.metadata or {}).get(_METADATA)
            content = json.loads(described) if described else None
            frame = table.to_pandas(ignore_metadata=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BrainsslError(
                f"{path} is damaged ({reason}): delete it and evaluate again"
            ) from None
        classes = _described_classes(content, path)
        try:
            return cls(frame, classes)
        except BrainsslError as error:
            raise BrainsslError(f"{path}: {error}") from None


def probabilities_of(
    logits: Float32[np.ndarray, "n classes"], temperature: float = 1.0
) -> Float64[np.ndarray, "n classes"]:
    """Return softmax(logits / temperature), as `Predictions.probabilities` does.

    Raises:
        BrainsslError: The temperature is not a positive number.
    """
    if not 0 < temperature < np.inf:
        raise BrainsslError(f"temperature {temperature} is of no use: it must be above 0")
    scores = logits.astype(np.float64)
    # The shift comes first, so that a tiny temperature cannot overflow into inf − inf.
    shifted = scores - scores.max(axis=1, keepdims=True)
    with np.errstate(over="ignore"):
        scaled = shifted / temperature
    probabilities: Float64[np.ndarray, "n classes"] = softmax(scaled)
    return probabilities


def _described_classes(content: Any, path: Path) -> tuple[str, ...]:
    """Return the classes that a file's metadata name, or refuse the file."""
    if not isinstance(content, dict) or not {"version", "classes"} <= content.keys():
        raise BrainsslError(f"{path} holds no predictions of brainssl: name one that it wrote")
    if content["version"] != _VERSION:
        raise BrainsslError(
            f"{path} is of format {content['version']}, this brainssl reads {_VERSION}: "
            "update brainssl or evaluate again"
        )
    return tuple(map(str, content["classes"]))


def _codes(names: pd.Series, classes: tuple[str, ...]) -> Int64[np.ndarray, " n"]:
    """Return each name's place in `classes`, −1 for one that is not there."""
    place = {name: at for at, name in enumerate(classes)}
    return np.fromiter((place.get(name, -1) for name in names.to_numpy(object)), np.int64)


def _check(frame: pd.DataFrame, classes: tuple[str, ...]) -> None:
    if len(set(classes)) != len(classes) or not classes:
        raise BrainsslError(f"classes {classes} are not distinct names: give each class its own")
    expected = [*_KEYS, *(f"{_LOGIT}{name}" for name in classes)]
    if list(frame.columns) != expected:
        raise BrainsslError(
            f"predictions have the columns {list(frame.columns)}: they must be {expected}"
        )
    _check_types(frame)
    _refuse(frame, _codes(frame["label"], classes) < 0, "label", "is not among the classes")
    _refuse(frame, ~frame["split"].isin(SPLITS), "split", f"is not one of {', '.join(SPLITS)}")
    repeated = frame.duplicated(["image_id", "split"])
    _refuse(frame, repeated, "split", "holds the image a second time")
    lost = ~np.isfinite(frame.iloc[:, len(_KEYS) :].to_numpy()).all(axis=1)
    if lost.any():
        raise BrainsslError(
            f"{lost.sum()} images have logits that are not finite, the first "
            f"{frame['image_id'].to_numpy()[lost][0]!r}: the training diverged, "
            "lower the learning rate"
        )


def _check_types(frame: pd.DataFrame) -> None:
    for column in ("image_id", "split", "label"):
        if pd.api.types.infer_dtype(frame[column], skipna=False) not in ("string", "empty"):
            raise BrainsslError(f"column {column} of the predictions must hold text in every row")
    if frame["group"].dtype != np.int64:
        raise BrainsslError(f"column group of the predictions is {frame['group'].dtype}, not int64")
    for column in frame.columns[len(_KEYS) :]:
        if frame[column].dtype != np.float32:
            raise BrainsslError(
                f"column {column} of the predictions is {frame[column].dtype}, not float32"
            )


def _refuse(
    frame: pd.DataFrame, wrong: "pd.Series | np.ndarray", column: str, complaint: str
) -> None:
    """Raise BrainsslError that names the first image whose `column` is wrong."""
    rows = np.flatnonzero(wrong)
    if rows.size:
        first = frame.iloc[rows[0]]
        raise BrainsslError(
            f"{column} {first[column]!r} of image {first['image_id']!r} {complaint} "
            f"({rows.size} such rows): correct the predictions"
        )
