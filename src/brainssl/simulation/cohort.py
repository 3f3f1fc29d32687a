"""A whole simulated study population: who has what, which slices are taken, and the files."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from brainssl.simulation import assembly
from brainssl.simulation.anatomy import Head
from brainssl.simulation.growth import TUMOUR_FAMILIES
from brainssl.simulation.lesions import Lesion, draw_lesion
from brainssl.simulation.scanner import (
    RELAXIVITY,
    SCANNERS,
    SOURCES,
    TISSUE_CONSTANTS,
    Exposure,
    Scanner,
    acquire,
    normal_signals,
)
from brainssl.simulation.series import PLANES, place_series, render

VERSION = 1
"""Version of the simulator: the same version, seed and sizes give the same bytes."""

CLASS_COUNTS: dict[str, dict[str, int]] = {
    "Glioma": {"T1": 430, "T1C+": 508, "T2": 346},
    "Meningioma": {"T1": 345, "T1C+": 625, "T2": 329},
    "Schwannoma": {"T1": 153, "T1C+": 194, "T2": 123},
    "Neurocytoma": {"T1": 169, "T1C+": 261, "T2": 112},
    "Other lesion": {"T1": 152, "T1C+": 48, "T2": 57},
    "Normal": {"T1": 272, "T2": 291},
}
"""Images of each class in Table 1 of the published study, whose proportions the phantom keeps."""

PLANE_SHARES = (0.76, 0.12, 0.12)
_SLICES_PER_PATIENT = 1000 / 130
_FEWEST, _MOST, _TYPICAL = 2, 6, 3.9  # slices of one patient and sequence
_PATIENTS_A_CLASS = 4  # what a split into training, validation and test by patient needs
_COLUMNS = ("path", "patient", "family", "sequence", "plane", "scanner", "position_mm")


@dataclass(frozen=True)
class Patient:
    """One patient's plan.

    Attributes:
        name: For instance "p007".
        family: A key of `CLASS_COUNTS`.
        slices: Number of slices of each sequence that the patient has.
    """

    name: str
    family: str
    slices: dict[str, int]


def plan_cohort(patients: int, generator: np.random.Generator) -> list[Patient]:
    """Shares families, sequences and slices out among patients.

    Class counts follow `CLASS_COUNTS`. From 30 patients on every class has at least four
    patients, which a rare class may exceed its share for; from 6 on every class has one.

    Args:
        patients: How many; at least 1.
        generator: Decides who has what.
    """
    families = list(CLASS_COUNTS)
    weights = np.array([sum(CLASS_COUNTS[f].values()) for f in families], float)
    fewest = min(_PATIENTS_A_CLASS, patients // len(families))
    sizes = _shares(weights, patients, fewest)
    slots = [f for f, n in zip(families, sizes, strict=True) for _ in range(n)]
    order = generator.permutation(patients)
    members: dict[str, list[int]] = {f: [] for f in families}
    for place, family in zip(order, slots, strict=True):
        members[family].append(int(place))

    slices: list[dict[str, int]] = [{} for _ in range(patients)]
    total, everything = patients * _SLICES_PER_PATIENT, weights.sum()
    for family in families:
        people = members[family]
        if not people:
            continue
        counts = CLASS_COUNTS[family]
        wanted = {s: total * n / everything for s, n in counts.items()}
        havers = {s: _patients_for(w, len(people)) for s, w in wanted.items()}
        while sum(havers.values()) < len(people):  # nobody goes without a scan
            poorest = min(havers, key=lambda s: havers[s] / wanted[s])
            havers[poorest] += 1
        for sequence, chosen in _choose(people, havers, generator).items():
            dealt = _deal(round(wanted[sequence]), len(chosen), generator)
            for person, n in zip(chosen, dealt, strict=True):
                slices[person][sequence] = n
    family_of = {person: f for f, people in members.items() for person in people}
    width = max(3, len(str(patients)))
    return [Patient(f"p{i + 1:0{width}d}", family_of[i], slices[i]) for i in range(patients)]


def _shares(weights: np.ndarray, total: int, fewest: int) -> list[int]:
    """Whole numbers that sum to `total`, near the weights' proportions, none below `fewest`."""
    counts = np.full(len(weights), fewest)
    for _ in range(total - int(counts.sum())):
        counts[int(np.argmax(weights / (counts + 0.5)))] += 1
    return [int(n) for n in counts]


def _patients_for(slices: float, people: int) -> int:
    return int(np.clip(round(slices / _TYPICAL), min(_PATIENTS_A_CLASS, people), people))


def _choose(
    people: list[int], havers: dict[str, int], generator: np.random.Generator
) -> dict[str, list[int]]:
    """Chooses who has each sequence, so many people each, and everybody at least one."""
    chosen = {
        s: [int(p) for p in generator.choice(people, n, replace=False)] for s, n in havers.items()
    }
    owned = Counter(p for scans in chosen.values() for p in scans)
    for person in people:
        if owned[person]:
            continue
        # Somebody with the most sequences gives one up.
        donor = max(people, key=lambda p: owned[p])
        scans = next(scans for scans in chosen.values() if donor in scans)
        scans[scans.index(donor)] = person
        owned[donor] -= 1
        owned[person] = 1
    return chosen


def _deal(total: int, people: int, generator: np.random.Generator) -> list[int]:
    """Deals slices to people, 2 to 6 each, as unevenly as chance has it."""
    hands = np.full(people, _FEWEST)
    total = min(max(total, _FEWEST * people), _MOST * people)
    while hands.sum() < total:
        hands[generator.choice(np.flatnonzero(hands < _MOST))] += 1
    return [int(n) for n in hands]


def _ventricle_growth(family: str, generator: np.random.Generator) -> float | None:
    """Hydrocephalus is the rule with neurocytoma and happens with every tumour."""
    if family == "Neurocytoma":
        return float(generator.uniform(2.0, 10.0))
    if generator.random() < (0.04 if family == "Normal" else 0.08):
        return float(generator.uniform(3.0, 9.0))
    return None


def draw_patient(family: str, generator: np.random.Generator) -> tuple[Head, Scanner, Lesion]:
    """Draws a patient's head, scanner, and lesion, or where a healthy patient's might have been."""
    head = Head.draw(generator, _ventricle_growth(family, generator))
    scanner = SCANNERS[int(generator.integers(len(SCANNERS)))]
    weights = np.array([sum(CLASS_COUNTS[f].values()) for f in TUMOUR_FAMILIES], float)
    # A healthy patient is cut where somebody's tumour would be: the position says nothing.
    target_family = (
        TUMOUR_FAMILIES[int(generator.choice(len(weights), p=weights / weights.sum()))]
        if family == "Normal"
        else family
    )
    return head, scanner, draw_lesion(target_family, head, generator)


def _image_patient(
    patient: Patient, seed: np.random.SeedSequence, size: int, out: Path
) -> list[tuple[str, ...]]:
    """Simulates one patient, writes the slices and masks, and returns the rows of the table."""
    generator = np.random.default_rng(seed)
    head, scanner, target = draw_patient(patient.family, generator)
    healthy = patient.family == "Normal"
    rows: list[tuple[str, ...]] = []
    for sequence, count in sorted(patient.slices.items()):
        plane = PLANES[int(generator.choice(len(PLANES), p=PLANE_SHARES))]
        series = place_series(head, target, plane, count, generator)
        timing = scanner.timing(sequence, generator)
        lesion = None if healthy else target
        signals, masks = render(head, lesion, series, timing, scanner.field, size)
        white = float(normal_signals(timing, scanner.field)[0])
        exposure = Exposure.draw(scanner, white, generator)
        blur = scanner.blur_mm / 2.355 * size / series.field_of_view
        images = acquire(signals, exposure, blur, generator)
        label = f"{patient.family} {sequence}"
        for number, (image, mask) in enumerate(zip(images, masks, strict=True), start=1):
            code = sequence.lower().replace("+", "")
            path = f"{label}/{patient.name}_{code}_{plane}_{number}.png"
            for folder, pixels in (("images", image), ("masks", np.uint8(255) * mask)):
                file = out / folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(file)
            position = f"{series.positions[number - 1]:.1f}"
            rows.append(
                (path, patient.name, patient.family, sequence, plane, scanner.name, position)
            )
    return rows


def simulate(
    out: Path,
    *,
    patients: int = 130,
    size: int = 224,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Simulates a study population and writes it as a folder of images.

    Writes ``images/<class>/<name>.png`` (8-bit grey), ``masks/<class>/<name>.png`` (0 or 255),
    ``patients.csv`` and ``phantom.json``. The folder is built aside and renamed: it is complete
    or absent.

    Args:
        out: Folder to make; may exist if it is empty.
        patients: How many patients; 130 give about 1,000 slices.
        size: Rows and columns of a slice, at least 64.
        seed: The same seed gives the same bytes, however many workers.
        workers: Processes; by default one a core. With 1 no process is started.
        progress: Called with slices done and slices in all.

    Returns:
        `out`.

    Raises:
        ValueError: An argument is out of range, or `out` exists and is not an empty folder.
    """
    out = Path(out)
    assembly.check(patients, size, seed, workers)
    with assembly.built_aside(out) as built:
        _build(built, patients, size, seed, workers, progress)
    return out


def _build(
    out: Path,
    patients: int,
    size: int,
    seed: int,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    plan, seeds = draw_plan(patients, seed)
    total = sum(sum(p.slices.values()) for p in plan)
    rows: list[tuple[str, ...]] = []

    def done(new: list[tuple[str, ...]]) -> None:
        rows.extend(new)
        if progress is not None:
            progress(len(rows), total)

    jobs = [(patient, child, size, out) for patient, child in zip(plan, seeds, strict=True)]
    assembly.each(_image_patient, jobs, workers, done)
    with (out / "patients.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(sorted(rows))
    sizes = {"seed": seed, "patients": patients, "size": size, "slices": total}
    write_record(out / "phantom.json", sizes)


def draw_plan(patients: int, seed: int) -> tuple[list[Patient], list[np.random.SeedSequence]]:
    """Returns the plan of a population, and a seed of each patient's own."""
    plan_seed, *seeds = np.random.SeedSequence(seed).spawn(patients + 1)
    return plan_cohort(patients, np.random.default_rng(plan_seed)), seeds


def write_record(file: Path, sizes: Mapping[str, object]) -> None:
    """Writes how a phantom was made: what was asked for, constants, scanners and sources."""
    record = {
        "simulator_version": VERSION,
        **sizes,
        "class_counts_followed": CLASS_COUNTS,
        "tissues": {
            f"{field} T": {name: asdict(t) for name, t in constants.items()}
            for field, constants in TISSUE_CONSTANTS.items()
        },
        "relaxivity_l_per_mmol_s": RELAXIVITY,
        "scanners": [asdict(s) for s in SCANNERS],
        "sources": SOURCES,
    }
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    file.write_text(text, encoding="utf-8")
