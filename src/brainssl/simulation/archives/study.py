"""One patient's examination: who is examined, which series are taken, and their samples."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt16

from brainssl.simulation.anatomy import Head
from brainssl.simulation.archives.console import CONSOLES, Console
from brainssl.simulation.archives.stack import (
    Stack,
    brain_points,
    masks,
    place_stack,
    scout,
    signals,
)
from brainssl.simulation.cohort import PLANE_SHARES, Patient, draw_patient
from brainssl.simulation.lesions import Lesion
from brainssl.simulation.scanner import (
    TISSUE_CONSTANTS,
    Exposure,
    Scanner,
    Timing,
    expose,
    normal_signals,
    nulling_time,
)
from brainssl.simulation.series import PLANES, lesion_mask

BITS = 12
"""Samples are whole numbers below 2 to the power of this."""

ORDER = ("T1", "T2", "FLAIR", "T1C+")
"""In which the series of a study are taken: contrast agent comes last."""

LOCALISER = "localiser"
_LOCALISER_PX = 64
_FLAIR_SHARE = 0.4  # of the patients with T2
_OUTMOST = 1.5  # radii; a slice through the middle misses islands far away, a volume shows them
_YOUNGEST, _OLDEST = 18, 85


@dataclass(frozen=True)
class Setting:
    """One series as it is set at the scanner.

    Attributes:
        sequence: One of `ORDER`, or `LOCALISER`.
        stack: Geometry; series that share it are the same object.
        timing: TR, TE, TI, contrast agent.
        exposure: Coil and noise.
        brightness: Sample that the brightest 0.1 % of the series begin with.
        minute: Since the study's beginning.
        seed: Of the noise.
    """

    sequence: str
    stack: Stack
    timing: Timing
    exposure: Exposure
    brightness: float
    minute: int
    seed: np.random.SeedSequence


@dataclass(frozen=True)
class Study:
    """A patient and what is to be taken.

    Attributes:
        patient: Name, family, which sequences.
        number: Of the patient, from 1.
        sex: "F" or "M"; nothing simulated depends on it.
        age: Years, by which ventricles and sulci are wide.
        head: Anatomy.
        lesion: None of a healthy patient.
        scanner: Physics of the machine.
        brain: Of `stack.brain_points`.
        begun: Minutes after midnight.
        settings: Series in the order in which they are taken.
        chance: For what a writer has to draw.
        population: What sets this population apart from others, for identifiers.
    """

    patient: Patient
    number: int
    sex: str
    age: int
    head: Head
    lesion: Lesion | None
    scanner: Scanner
    brain: Float32[np.ndarray, "3 n"]
    begun: int
    settings: tuple[Setting, ...]
    chance: np.random.SeedSequence
    population: str

    @property
    def console(self) -> Console:
        """What the machine writes."""
        return CONSOLES[self.scanner.name]


@dataclass(frozen=True)
class Taken:
    """A series with its samples.

    Attributes:
        setting: How it was set.
        samples: Whole numbers below 4096, slices in the order of the stack.
        mask: Where the lesion is.
    """

    setting: Setting
    samples: UInt16[np.ndarray, "slice h w"]
    mask: Bool[np.ndarray, "slice h w"]


def draw_study(
    patient: Patient,
    number: int,
    seed: np.random.SeedSequence,
    *,
    slices: int,
    size: int,
    population: str = "",
) -> Study:
    """Draws a patient, the one that a phantom of slices has under this seed, and the series.

    Nothing drawn here depends on `slices` and `size`.
    """
    generator = np.random.default_rng(seed)
    head, scanner, target = draw_patient(patient.family, generator)
    sequences = set(patient.slices)
    if "T2" in sequences and generator.random() < _FLAIR_SHARE:
        sequences.add("FLAIR")
    noise, chance = seed.spawn(2)
    brain = brain_points(head)
    settings = _settings(sequences, scanner, brain, (slices, size), generator, noise)
    return Study(
        patient=patient,
        number=number,
        sex="FM"[int(generator.integers(2))],
        age=round(_YOUNGEST + (_OLDEST - _YOUNGEST) * head.age),
        head=head,
        lesion=None if patient.family == "Normal" else replace(target, outmost=_OUTMOST),
        scanner=scanner,
        brain=brain,
        begun=int(generator.integers(7 * 60, 19 * 60)),
        settings=settings,
        chance=chance,
        population=population,
    )


def _settings(
    sequences: set[str],
    scanner: Scanner,
    brain: Float32[np.ndarray, "3 n"],
    shape: tuple[int, int],
    generator: np.random.Generator,
    noise: np.random.SeedSequence,
) -> tuple[Setting, ...]:
    slices, size = shape
    minute = int(generator.integers(2, 5))
    made: dict[tuple[bool, str], Stack] = {}
    settings = []
    wanted = [sequence for sequence in ORDER if sequence in sequences]
    for sequence, seed in zip(wanted, noise.spawn(len(wanted)), strict=True):
        plane = PLANES[int(generator.choice(len(PLANES), p=PLANE_SHARES))]
        stack = place_stack(brain, plane, slices=slices, size=size, generator=generator)
        # Who takes T1 again after contrast agent, or FLAIR after T2, keeps the slices' places.
        stack = made.setdefault((sequence.startswith("T1"), plane), stack)
        timing = timing_of(scanner, sequence, generator)
        settings.append(
            Setting(
                sequence=sequence,
                stack=stack,
                timing=timing,
                exposure=exposure_of(scanner, timing, generator),
                brightness=float(generator.uniform(900, 3200)),
                minute=minute,
                seed=seed,
            )
        )
        minute += int(generator.integers(4, 8))
    return tuple(settings)


def timing_of(scanner: Scanner, sequence: str, generator: np.random.Generator) -> Timing:
    """Draws what is set for a sequence of `ORDER`; FLAIR is the inversion recovery without CSF."""
    if sequence != "FLAIR":
        return scanner.timing(sequence, generator)
    tr = float(generator.uniform(8000, 10000))
    te = float(generator.uniform(100, 130))
    return Timing(tr, te, ti=nulling_time(TISSUE_CONSTANTS[scanner.field]["csf"].t1, tr))


def exposure_of(scanner: Scanner, timing: Timing, generator: np.random.Generator) -> Exposure:
    """Draws coil and noise; the unit of the noise is the white matter's signal."""
    white = float(normal_signals(timing, scanner.field)[0])
    return Exposure.draw(scanner, white, generator)


def take(study: Study) -> list[Taken]:
    """Simulates all series of a study; those on one stack at once, which saves time."""
    by_stack: dict[int, list[Setting]] = {}
    for setting in study.settings:
        by_stack.setdefault(id(setting.stack), []).append(setting)
    found: dict[str, Taken] = {}
    for together in by_stack.values():
        stack = together[0].stack
        timings = [setting.timing for setting in together]
        clean = signals(study.head, study.lesion, stack, timings, study.scanner.field)
        mask = masks(study.head, study.lesion, stack)
        for setting, signal in zip(together, clean, strict=True):
            found[setting.sequence] = Taken(setting, digitised(study, setting, signal), mask)
    return [found[setting.sequence] for setting in study.settings]


def take_localiser(study: Study) -> list[Taken]:
    """Three planes of three slices each, on one series."""
    first, *seeds = study.chance.spawn(1 + len(PLANES))
    generator = np.random.default_rng(first)
    timing = study.scanner.timing("T1", generator)
    exposure = exposure_of(study.scanner, timing, generator)
    found = []
    for plane, seed in zip(PLANES, seeds, strict=True):
        stack = scout(study.brain, plane, _LOCALISER_PX)
        setting = Setting(LOCALISER, stack, timing, exposure, 1500.0, 0, seed)
        middle = [(0.0, 0.0, 0.0)]  # nobody measures on a localiser
        field = study.scanner.field
        (signal,) = signals(study.head, study.lesion, stack, [timing], field, middle)
        mask = np.zeros(signal.shape, bool)
        found.append(Taken(setting, digitised(study, setting, signal), mask))
    return found


def digitised(
    study: Study, setting: Setting, signal: Float32[np.ndarray, "slice h w"]
) -> UInt16[np.ndarray, "slice h w"]:
    """Adds what the scanner does and rounds to whole numbers; what is too bright is clipped."""
    blur = study.scanner.blur_mm / 2.355 / setting.stack.pixel
    generator = np.random.default_rng(setting.seed)
    magnitudes = expose(signal, setting.exposure, blur, generator)
    gain = setting.brightness / np.percentile(magnitudes, 99.9)
    return np.asarray(np.clip(np.rint(magnitudes * gain), 0, 2**BITS - 1), np.uint16)


def lesion_centre(study: Study) -> Float64[np.ndarray, "3"] | None:
    """Centre of mass of the lesion, mm RAS, from points 2 mm apart; None of a healthy patient."""
    if study.lesion is None:
        return None
    reach = 3 * study.lesion.radius
    steps = np.arange(-reach, reach, 2.0)
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij")).reshape(3, -1)
    points = (study.lesion.centre[:, None] + offsets).astype(np.float32)
    inside = lesion_mask(study.head, study.lesion, points)
    return np.asarray(points[:, inside].mean(axis=1), np.float64)
