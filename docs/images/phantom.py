"""Draws `phantom.png`: simulated slices, and two views of each that pretraining may see.

python docs/images/phantom.py demo/phantom
"""

import sys
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from brainssl import ViewRecipe, load_settings
from brainssl.reporting.figures.pictures import contact_sheet
from brainssl.reporting.figures.view_strips import draw_views

CLASSES = (
    "Glioma T1C+",
    "Meningioma T1C+",
    "Neurocytoma T2",
    "Schwannoma T1C+",
    "Other lesion T1C+",
    "Normal T2",
    "Glioma T2",
)
SIDE = 150


def small(images: UInt8[np.ndarray, "n h w"]) -> UInt8[np.ndarray, "n side side"]:
    """Scale pictures to the side of a contact sheet."""
    side = (SIDE, SIDE)
    return np.stack(
        [Image.fromarray(image).resize(side, Image.Resampling.LANCZOS) for image in images]
    )


def main(phantom: Path) -> None:
    """Draw one slice a class, a third of the way through its files."""
    images = []
    for name in CLASSES:
        files = sorted((phantom / "images" / name).glob("*.png"))
        images.append(np.asarray(Image.open(files[len(files) // 3])))
    slices = np.stack(images)
    settings, _ = load_settings("quick")
    views = draw_views(slices, ViewRecipe.of(settings.views.model_dump()), views=2, seed=3)
    rows = np.concatenate([small(slices), small(views[:, 0]), small(views[:, 1])])
    count = len(CLASSES)
    captions = [*CLASSES, *["one view"] * count, *["another view"] * count]
    sheet = contact_sheet(rows, captions, count)
    sheet.save(Path(__file__).with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
