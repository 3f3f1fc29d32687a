"""Saliency maps of predictions, as pictures in a folder."""

from pathlib import Path
from typing import Any

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import write_atomically
from brainssl.models.classifier import Classifier


def draw_maps(classifier: Classifier, rows: list[dict[str, Any]], folder: Path) -> None:
    """Draw for each file that was classified what speaks for its label, laid over the image.

    Each row gets the file of its `map`: PNG, named by its number and the name of the file. Where
    none can be drawn it is None, and `map_error` says why.

    Args:
        classifier: that said it.
        rows: of `brainssl.inference.predict.predict_files`, in their order; changed in place.
        folder: made if it is not there.
    """
    from PIL import Image

    from brainssl.inference.saliency import saliency_map

    for number, row in enumerate(rows, start=1):
        if "error" in row:
            continue
        file = folder / f"{number:04}-{Path(row['file']).stem}.png"
        try:
            mapped = saliency_map(classifier, Path(row["file"]), label=row["label"])
        except BrainsslError as error:
            row |= {"map": None, "map_error": str(error)}
            continue
        picture = Image.fromarray(mapped.overlay())
        write_atomically(file, lambda beside, picture=picture: picture.save(beside))  # type: ignore[misc]
        row["map"] = str(file)
