"""Files as those of the figshare collection: MATLAB 7.3, one slice each."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np


def write_cheng(
    path: Path,
    image: np.ndarray,
    mask: np.ndarray | None = None,
    /,
    *,
    label: float = 2,
    patient: str = "100360",
    **further: Any,
) -> None:
    """Write a slice as MATLAB does: columns first, behind a block of 512 bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        held = file.create_group("cjdata")
        held["image"] = image.T
        held["label"] = np.array([[label]])
        held["PID"] = np.array([[ord(letter)] for letter in patient], np.uint16)
        held["tumorBorder"] = np.zeros((1, 40))
        if mask is not None:
            held["tumorMask"] = mask.astype(np.uint8).T
        for name, value in further.items():
            if name in held:
                del held[name]
            held[name] = value
    content = bytearray(path.read_bytes())
    content[:116] = b"MATLAB 7.3 MAT-file, Platform: PCWIN64".ljust(116)
    path.write_bytes(bytes(content))
