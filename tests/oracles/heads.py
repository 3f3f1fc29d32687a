"""Simulated heads as volumes: an ellipsoid of brain in a skull, written as NIfTI files."""

from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (24, 40, 36)  # slices, rows, columns
SPACING = (6.0, 5.0, 5.0)  # mm


def head(seed: int, shape: tuple[int, int, int] = SHAPE, lesion: bool = False) -> np.ndarray:
    """Return a head in whole numbers, air with a little noise, int16 (slices, rows, columns).

    The lowest and highest slices hold air alone. With a lesion, a bright ball lies in the middle.
    """
    generator = np.random.default_rng(seed)
    radius = distance(shape, 1 + 0.06 * generator.normal(size=3))
    texture = generator.normal(size=shape)
    values = np.where(radius < 1, 300 + 60 * np.sin(9 * radius + seed) + 12 * texture, 0)
    values = np.where((radius > 0.85) & (radius < 1), 520 + 12 * texture, values)
    values = np.where(ball(shape), 700 + 12 * texture, values) if lesion else values
    return np.asarray(np.abs(values + 4 * texture).round(), np.int16)


def distance(shape: tuple[int, int, int], stretch: Any = (1, 1, 1)) -> np.ndarray:
    """Return how far each voxel is from the middle of the head, 1 on its surface."""
    axes = [np.linspace(-1.25, 1.25, count) * by for count, by in zip(shape, stretch, strict=True)]
    return np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij")))


def ball(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Return where the lesion is."""
    axes = [np.linspace(-1.25, 1.25, count) for count in shape]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return np.asarray((z - 0.1) ** 2 + (y - 0.2) ** 2 + (x + 0.3) ** 2 < 0.25**2)


def save(file: Path, values: np.ndarray, spacing: tuple[float, float, float] = SPACING) -> Path:
    """Write axial slices as NIfTI: columns to the right, rows to the back, slices to the head."""
    import nibabel

    affine = np.diag([spacing[2], spacing[1], spacing[0], 1.0])
    file.parent.mkdir(parents=True, exist_ok=True)
    # NIfTI's x goes to the right and y to the front; ours of a hung slice go to the left and back.
    stored = values.transpose(2, 1, 0)[::-1, ::-1]
    nibabel.save(nibabel.Nifti1Image(stored, affine), file)
    return file


def bids(root: Path, patients: int = 6, sequences: tuple[str, ...] = ("T1w", "T2w")) -> Path:
    """Write a BIDS folder: a session of each patient with a volume of each sequence."""
    lines = ["participant_id\tage\tsex"]
    for number in range(1, patients + 1):
        name = f"sub-{number:02}"
        lines.append(f"{name}\t{30 + number}\t{'FM'[number % 2]}")
        for place, sequence in enumerate(sequences):
            values = head(100 * number + place)
            values = values if place == 0 else np.where(values > 100, 900 - values, values)
            save(root / name / "anat" / f"{name}_{sequence}.nii.gz", values.astype(np.int16))
    (root / "participants.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    (root / "dataset_description.json").write_text('{"Name": "heads", "BIDSVersion": "1.9.0"}')
    return root


def brats(root: Path, patients: int = 3) -> Path:
    """Write a BraTS folder: one volume and the mask of its lesion for each patient."""
    for number in range(patients):
        name = f"BraTS-GLI-{number:05}-000"
        for place, kind in enumerate(("t1n", "t2w")):
            values = head(10 * number + place, lesion=True)
            save(root / name / f"{name}-{kind}.nii.gz", values)
        save(root / name / f"{name}-seg.nii.gz", 2 * ball().astype(np.int16))
    return root
