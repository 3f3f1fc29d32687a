"""Features of every image of a store, with their ids, as one Parquet file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from brainssl import __version__
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import refuse_existing, write_atomically
from brainssl.models.classifier import Classifier, run_in_batches
from brainssl.models.encoder import Encoder

VERSION = 1
METADATA = b"brainssl.features"
COLUMNS = ("image_id", "path", "label", "group")


def embed(
    store: ImageStore,
    model: Encoder | Classifier,
    out: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write the features of every image of a store, one row an image, in the manifest's order.

    The columns are `image_id`, `path`, `label`, `group` as in the manifest, and `features`, a list
    of `dim` float32. Whence they come is JSON in the file's metadata, under `brainssl.features`.

    Args:
        store: of the images; its size must be the model's.
        model: an encoder, or a classifier, whose encoder is meant.
        out: Parquet file to make, atomically.
        progress: called with (images encoded, images in all).

    Returns:
        What the metadata say: `version`, `brainssl`, `encoder`, `image_size`, `mean` and `std` of
        its normalisation, `dim`, `facts` of the model, `store` (its checksum) and `images`.

    Raises:
        BrainsslError: `out` exists, the images have another size or depth or were read by another
            version than the model's, or a feature is not finite.
    """
    refuse_existing(out)
    encoder = model.encoder if isinstance(model, Classifier) else model
    store.require_size(encoder.image_size)
    if model.facts:  # a fresh one has seen no images yet
        store.require_reader(model.reader)
        store.require_bits(model.bits)
        store.require_field_of_view(model.field_of_view)
    features = run_in_batches(encoder, store.images, progress=progress)
    if not np.isfinite(features).all():
        raise BrainsslError(
            f"{out} was not made: the encoder's features are not finite; its training has "
            "diverged: pretrain with a lower learning rate"
        )
    described = {
        "version": VERSION,
        "brainssl": __version__,
        "encoder": encoder.name,
        "image_size": encoder.image_size,
        "mean": encoder.mean,
        "std": encoder.std,
        "dim": encoder.dim,
        "facts": model.facts,
        "store": store.checksum,
        "images": len(features),
    }
    table = pa.Table.from_pandas(store.manifest[list(COLUMNS)], preserve_index=False)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), encoder.dim)
    table = table.append_column("features", lists)
    text = json.dumps(described, ensure_ascii=False)
    table = table.replace_schema_metadata({METADATA: text.encode("utf-8", "backslashreplace")})
    write_atomically(out, lambda beside: pq.write_table(table, beside, write_page_checksum=True))
    return described
