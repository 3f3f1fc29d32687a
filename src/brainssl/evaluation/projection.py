"""Maps of features in two dimensions: t-SNE, how far it can be trusted, and the file of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import plainly
from brainssl.foundation.storage import write_atomically

PROJECTIONS = "projections.parquet"
NEIGHBOURS = 10

_MOST_DIMENSIONS = 50
_ITERATIONS = 500  # twice as many moved the trust in maps of 840 slices from 0.9893 to 0.9896
_PERPLEXITY = 30.0
_FEWEST = 5
_METADATA = b"brainssl.projections"
_COLUMNS = ("image_id", "row", "label", "method", "moment", "start", "x", "y", "trust")


def project(features: Float32[np.ndarray, "n dim"], seed: int = 0) -> Float32[np.ndarray, "n 2"]:
    """Return a map of feature vectors by t-SNE, in which neighbours lie near each other.

    The features are first reduced to 50 dimensions by PCA; the map begins with the first two of
    them. Perplexity is 30, or a third of the other images where there are fewer than 91. The same
    features and seed give the same bytes, on however many cores.

    Source: van der Maaten and Hinton, Visualizing Data using t-SNE, JMLR 2008.

    Raises:
        BrainsslError: there are fewer than 5 images or 2 dimensions, a feature is not finite, or
            all images have the same features, as after a collapse.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    _refuse_useless(features)
    n = len(features)
    # On one core, because several add up in an order that depends on how many they are.
    with threadpool_limits(1):
        reduced = PCA(min(_MOST_DIMENSIONS, *features.shape), svd_solver="full").fit_transform(
            features.astype(np.float64)
        )
        tsne = TSNE(
            perplexity=min(_PERPLEXITY, (n - 1) / 3),
            init="pca",
            max_iter=_ITERATIONS,
            random_state=seed,
        )
        points: Float32[np.ndarray, "n 2"] = tsne.fit_transform(reduced).astype(np.float32)
    return points


def trust(features: Float32[np.ndarray, "n dim"], points: Float32[np.ndarray, "n 2"]) -> float:
    """Return the trustworthiness of a map over `NEIGHBOURS` neighbours.

    1 if every point's neighbours on the map are its neighbours by the features, too; less by how
    far down the features' ranking those stand that are not. About 0.5 for a map at random. Of few
    images, fewer neighbours are looked at: less than half of them.

    Source: Venna and Kaski, Neighborhood preservation in nonlinear projection methods, ICANN 2001.
    """
    from sklearn.manifold import trustworthiness

    k = min(NEIGHBOURS, (len(features) - 1) // 2)
    return float(trustworthiness(features, points, n_neighbors=k))


@dataclass(frozen=True, eq=False)
class Projections:
    """Maps of the same images by several encoders.

    Attributes:
        frame: one row an image and map: `image_id` (str), `row` (int64, in the store), `label`
            (str), `method`, `moment` and `start` (str, which name the encoder; the last is empty
            where there is one), `x` and `y` (float32), `trust` (float64, of the whole map).
        facts: how they came to be, JSON-serialisable.
    """

    frame: pd.DataFrame
    facts: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write a Parquet file with the facts in its metadata; it is whole or absent."""
        table = pa.Table.from_pandas(self.frame[list(_COLUMNS)], preserve_index=False)
        described = json.dumps(self.facts, ensure_ascii=False, sort_keys=True)
        table = table.replace_schema_metadata(
            {_METADATA: described.encode("utf-8", "backslashreplace")}
        )
        write_atomically(
            path, lambda beside: pq.write_table(table, beside, write_page_checksum=True)
        )

    @classmethod
    def load(cls, path: Path) -> "Projections":
        """Read what `save` wrote.

        Raises:
            BrainsslError: The file is missing, damaged or something else.
        """
        try:
            with (
                plainly(path) as plain,
                pq.ParquetFile(plain, page_checksum_verification=True) as file,
            ):
                table = file.read()
            facts = dict(json.loads((table.schema.metadata or {})[_METADATA]))
            if "start" not in table.column_names:  # as in earlier files
                table = table.append_column("start", pa.array([""] * len(table)))
            return cls(table.select(_COLUMNS).to_pandas(ignore_metadata=True), facts)
        except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BrainsslError(
                f"{path} is missing or damaged ({reason}): delete it and run the study again"
            ) from None


def _refuse_useless(features: Float32[np.ndarray, "n dim"]) -> None:
    n, dim = features.shape
    if n < _FEWEST:
        raise BrainsslError(f"a map of {n} images says nothing: it needs {_FEWEST}")
    if dim < 2:
        raise BrainsslError("a map of one feature says nothing: choose a wider encoder")
    if not np.isfinite(features).all():
        raise BrainsslError("the features are not finite: the training has diverged")
    if (features == features[0]).all():
        raise BrainsslError("all images have the same features: the encoder has collapsed")
