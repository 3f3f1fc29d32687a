"""A population as BraTS lays its cases out: four sequences and a segmentation on one grid.

The grid is axial, level with the scanner, and every sequence is simulated on it: nothing is
resampled. Outside the closed surface of the brain and the lesion all samples are 0, as after
skull stripping. Labels are those of BraTS 2023: 1 necrosis, cysts and solid parts that hardly
enhance, 2 oedema, 3 enhancing; all three are 0 for a healthy patient.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from brainssl.simulation.archives.nifti import write_nifti
from brainssl.simulation.archives.stack import Stack, place_stack, signals
from brainssl.simulation.archives.study import (
    Setting,
    Study,
    digitised,
    exposure_of,
    timing_of,
)
from brainssl.simulation.archives.tables import write_table
from brainssl.simulation.lesions import Layers
from brainssl.simulation.series import compose

NAMES = {"T1": "t1n", "T1C+": "t1c", "T2": "t2w", "FLAIR": "t2f"}
"""How BraTS calls each sequence."""

COLLECTIONS = {
    "Glioma": "GLI",
    "Meningioma": "MEN",
    "Schwannoma": "SCH",
    "Neurocytoma": "NEU",
    "Other lesion": "OTH",
    "Normal": "NOR",
}
"""Part of a case's name; GLI and MEN are collections of BraTS, the others are made up."""

NECROTIC, OEDEMA, ENHANCING = 1, 2, 3
_ENHANCES_MMOL = 0.1  # uptake from which a solid part is brighter than white matter

Row = dict[str, object]


def write_patient(out: Path, study: Study) -> Row:
    """Writes one case with all four sequences; returns its row of `labels.csv`."""
    patient = f"BraTS-{COLLECTIONS[study.patient.family]}-{study.number:05d}"
    case = f"{patient}-000"
    generator = np.random.default_rng(study.chance)
    shape = study.settings[0].stack
    stack = place_stack(
        study.brain,
        "axial",
        slices=shape.slices,
        size=shape.size,
        generator=generator,
        tilt=0.0,
    )
    brain, labels = segmentation(study, stack)
    timings = [timing_of(study.scanner, sequence, generator) for sequence in NAMES]
    clean = signals(study.head, study.lesion, stack, timings, study.scanner.field)
    seeds = study.chance.spawn(len(NAMES))
    for (sequence, name), timing, signal, seed in zip(
        NAMES.items(), timings, clean, seeds, strict=True
    ):
        exposure = exposure_of(study.scanner, timing, generator)
        brightness = float(generator.uniform(900, 3200))
        setting = Setting(sequence, stack, timing, exposure, brightness, 0, seed)
        samples = np.where(brain, np.maximum(digitised(study, setting, signal), 1), 0)
        write_nifti(out / case / f"{case}-{name}.nii.gz", samples, stack.affine)
    write_nifti(out / case / f"{case}-seg.nii.gz", labels, stack.affine)
    return {
        "patient": patient,
        "label": study.patient.family,
        "site": study.console.site,
        "scanner": study.scanner.name,
        "age": study.age,
        "sex": study.sex,
    }


def write_dataset(out: Path, rows: list[Row], version: int) -> Path:
    """Writes `labels.csv`; returns where the record belongs."""
    del version
    write_table(out / "labels.csv", rows)
    return out / "phantom.json"


def segmentation(
    study: Study, stack: Stack
) -> tuple[Bool[np.ndarray, "slice h w"], UInt8[np.ndarray, "slice h w"]]:
    """Where brain or lesion is, and the labels of BraTS, at the middle of each voxel."""
    brains, labels = [], []
    for number in range(stack.slices):
        there = compose(study.head, study.lesion, stack.points(number))
        found = np.zeros(there.hull.size, np.uint8)
        if there.layers is not None:
            found[there.near] = _labels(there.layers)
        brains.append((there.hull < 1) | (found > 0))
        labels.append(found)
    shape = (stack.slices, stack.size, stack.size)
    return np.stack(brains).reshape(shape), np.stack(labels).reshape(shape)


def _labels(layers: Layers) -> UInt8[np.ndarray, " m"]:
    swollen, _, patches, bubbles, core = layers.alphas[:5]
    _, solid, patch, _, _ = layers.tissues[:5]
    found = np.where(layers.inside, _label_of(solid.gadolinium), 0)
    found = np.where(layers.inside & (patches > 0.4), _label_of(patch.gadolinium), found)
    found = np.where(layers.inside & (np.maximum(bubbles, core) > 0.5), NECROTIC, found)
    return np.where(~layers.inside & (swollen > 0.4), OEDEMA, found).astype(np.uint8)


def _label_of(gadolinium: float) -> int:
    return ENHANCING if gadolinium >= _ENHANCES_MMOL else NECROTIC
