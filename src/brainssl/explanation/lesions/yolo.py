"""Lesions from YOLO files: boxes and outlines, in shares of the sides."""

from pathlib import Path

import numpy as np

from brainssl.data.read import file_bytes
from brainssl.explanation.lesions.outlines import Mask, Outline, Picture, box, filled
from brainssl.foundation.errors import BrainsslError


def read_yolo(file: Path, picture: Picture) -> Mask:
    """Return all boxes and outlines of a file as one mask."""
    lesion = np.zeros((picture.height, picture.width), bool)
    # What is no text fails as a line that cannot be understood.
    lines = file_bytes(file).decode("utf-8-sig", "replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{file}: line {number}"
            shares = _yolo_outline(line, where)
            lesion |= filled(shares * [picture.width, picture.height], picture, where)
    return lesion


def _yolo_outline(line: str, where: str) -> Outline:
    try:
        values = np.array([float(word) for word in line.split()[1:]])
    except ValueError:
        values = np.empty(0)
    if len(values) == 4:
        x, y, width, height = values.tolist()
        return box(x - width / 2, y - height / 2, width, height, where)
    if len(values) < 6 or len(values) % 2:
        raise BrainsslError(
            f"{where} is neither a box, class cx cy w h, nor an outline, class x y x y x y ...; "
            "export the labels again"
        )
    return values.reshape(-1, 2)
