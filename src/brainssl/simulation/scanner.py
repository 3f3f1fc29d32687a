"""From tissue fractions to an 8-bit slice: relaxation, spin echo, coil, noise, display window."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, UInt8
from scipy import ndimage

from brainssl.simulation.anatomy import TISSUES

Image = Float32[np.ndarray, "h w"]


@dataclass(frozen=True)
class Tissue:
    """What the spin-echo equation needs to know of a tissue.

    Attributes:
        t1: Longitudinal relaxation time, ms.
        t2: Transverse relaxation time, ms.
        pd: Proton density relative to CSF.
        gadolinium: Concentration of contrast agent that it takes up in a T1C+ scan, mmol/l.
    """

    t1: float
    t2: float
    pd: float
    gadolinium: float = 0.0


@dataclass(frozen=True)
class Timing:
    """What is set for a spin-echo scan.

    Attributes:
        tr: Repetition time, ms.
        te: Echo time, ms.
        contrast: Whether contrast agent is given.
        ti: Inversion time, ms, of an inversion recovery; None for a plain spin echo.
    """

    tr: float
    te: float
    contrast: bool = False
    ti: float | None = None


SOURCES = {
    "equation": "Spin echo for TE << TR: S = PD (1 - exp(-TR/T1)) exp(-TE/T2).",
    "brainweb": "1.5 T white, grey, CSF, fat, muscle: BrainWeb; Kwan, Evans and Pike, IEEE Trans. "
    "Med. Imaging 18:1085 (1999).",
    "wansapura": "3 T white and grey: Wansapura et al., J. Magn. Reson. Imaging 9:531 (1999).",
    "bazelaire": "Marrow, and fat at 3 T: de Bazelaire et al., Radiology 230:652 (2004).",
    "stanisz": "Blood and muscle at 3 T: Stanisz et al., Magn. Reson. Med. 54:507 (2005).",
    "gadobutrol": "T1 relaxivity of gadobutrol in plasma: Szomolanyi et al., Invest. Radiol. "
    "54:559 (2019).",
    "tumours": "Lesion ranges are chosen to overlap between families, as measured times do: "
    "Kjaer et al., Acta Radiol. 32:498 (1991).",
    "rician": "Noise of magnitude images: Gudbjartsson and Patz, Magn. Reson. Med. 34:910 (1995).",
    "template": "ICBM152 2009a: Fonov et al., NeuroImage 54:313 (2011), as carried by nilearn.",
    "assumed": "CSF's T1 at 3 T (rounded), the lesions' ratio of times at 3 T to 1.5 T, dura, "
    "mucosa, choroid plexus, skin, uptake of contrast agent and the short effective T2 of flowing "
    "venous blood (flow void) are assumed values of usual appearance.",
}

RELAXIVITY = {1.5: 4.78, 3.0: 4.97}
"""Longitudinal relaxivity of gadobutrol, l/(mmol s), by field in tesla."""

TISSUE_CONSTANTS: dict[float, dict[str, Tissue]] = {
    1.5: {
        "white": Tissue(500, 70, 0.77),
        "grey": Tissue(833, 83, 0.86, 0.01),
        "csf": Tissue(2569, 329, 1.0),
        "dura": Tissue(900, 55, 0.70, 0.30),
        "marrow": Tissue(549, 49, 0.55),
        "fat": Tissue(350, 70, 1.0),
        "muscle": Tissue(900, 47, 1.0, 0.06),
        "skin": Tissue(800, 45, 0.80, 0.10),
        "mucosa": Tissue(1000, 95, 0.90, 0.50),
        "choroid": Tissue(1100, 110, 0.90, 0.60),
        "venous": Tissue(1441, 40, 0.75, 1.20),
        "void": Tissue(1000, 10, 0.0),
    },
    3.0: {
        "white": Tissue(832, 80, 0.77),
        "grey": Tissue(1331, 110, 0.86, 0.01),
        "csf": Tissue(4000, 329, 1.0),
        "dura": Tissue(1100, 55, 0.70, 0.30),
        "marrow": Tissue(586, 49, 0.55),
        "fat": Tissue(382, 68, 1.0),
        "muscle": Tissue(1412, 50, 1.0, 0.06),
        "skin": Tissue(1000, 45, 0.80, 0.10),
        "mucosa": Tissue(1200, 95, 0.90, 0.50),
        "choroid": Tissue(1300, 110, 0.90, 0.60),
        "venous": Tissue(1932, 40, 0.75, 1.20),
        "void": Tissue(1000, 10, 0.0),
    },
}


def shortened_t1(t1: float, gadolinium: float, relaxivity: float) -> float:
    """T1 in ms under contrast agent: 1/T1' = 1/T1 + r1 C.

    Its effect on T2 is left out: at TE 12 ms and 1 mmol/l it takes away under 8 % of the signal.

    Args:
        t1: Native T1, ms.
        gadolinium: Concentration C, mmol/l.
        relaxivity: r1, l/(mmol s).
    """
    return 1000.0 / (1000.0 / t1 + relaxivity * gadolinium)


def spin_echo(tissue: Tissue, timing: Timing, field: float) -> float:
    """Signal of a spin echo, S = PD (1 - exp(-TR/T1)) exp(-TE/T2), in units of the CSF's PD.

    After an inversion, S = PD (1 - 2 exp(-TI/T1) + exp(-TR/T1)) exp(-TE/T2), which is negative
    where less than half of the magnetisation has recovered.

    Args:
        tissue: Relaxation times at this field.
        timing: TR, TE, TI and whether the tissue's gadolinium counts.
        field: Tesla; 1.5 or 3.0.
    """
    t1 = tissue.t1
    if timing.contrast:
        t1 = shortened_t1(t1, tissue.gadolinium, RELAXIVITY[field])
    recovered = -np.expm1(-timing.tr / t1)
    if timing.ti is not None:
        recovered = 1 - 2 * np.exp(-timing.ti / t1) + np.exp(-timing.tr / t1)
    return float(tissue.pd * recovered * np.exp(-timing.te / tissue.t2))


def nulling_time(t1: float, tr: float) -> float:
    """Inversion time in ms at which a tissue gives no signal: TI = T1 ln(2 / (1 + exp(-TR/T1)))."""
    return float(t1 * np.log(2 / (1 + np.exp(-tr / t1))))


def normal_signals(timing: Timing, field: float) -> Float32[np.ndarray, " tissue"]:
    """Signal of each of `anatomy.TISSUES`, in their order."""
    constants = TISSUE_CONSTANTS[field]
    return np.array([spin_echo(constants[t], timing, field) for t in TISSUES], np.float32)


@dataclass(frozen=True)
class Scanner:
    """What one machine does to every image that it makes.

    Attributes:
        name: Its name in `patients.csv`.
        field: Tesla.
        noise: Standard deviation of the noise in each channel over the white matter's signal.
        bias: Peak relative deviation of the coil's sensitivity.
        blur_mm: Full width at half maximum of the point spread function, mm.
        t1: Ranges of TR and TE for T1 and T1C+, ms.
        t2: Ranges of TR and TE for T2, ms.
        white_level: Percentile of the head's signal that is shown white.
        gamma: Exponent of the display curve.
    """

    name: str
    field: float
    noise: float
    bias: float
    blur_mm: float
    t1: tuple[tuple[float, float], tuple[float, float]]
    t2: tuple[tuple[float, float], tuple[float, float]]
    white_level: float
    gamma: float

    def timing(self, sequence: str, generator: np.random.Generator) -> Timing:
        """Draws TR and TE for "T1", "T1C+" or "T2"."""
        (tr_low, tr_high), (te_low, te_high) = self.t2 if sequence == "T2" else self.t1
        return Timing(
            tr=float(generator.uniform(tr_low, tr_high)),
            te=float(generator.uniform(te_low, te_high)),
            contrast=sequence == "T1C+",
        )


# fmt: off
SCANNERS = (
    Scanner("A-1.5T", 1.5, 0.035, 0.12, 1.2, ((420, 520), (10, 15)), ((3600, 4400), (95, 110)),
            99.3, 0.95),
    Scanner("B-1.5T", 1.5, 0.070, 0.25, 1.8, ((500, 650), (12, 20)), ((2800, 3600), (80, 100)),
            98.5, 1.05),
    Scanner("C-1.5T", 1.5, 0.050, 0.18, 1.5, ((380, 480), (8, 13)), ((4200, 5200), (85, 105)),
            99.7, 0.85),
    Scanner("D-3T", 3.0, 0.025, 0.35, 1.0, ((550, 700), (8, 12)), ((4500, 6000), (90, 110)),
            99.5, 1.10),
    Scanner("E-3T", 3.0, 0.040, 0.28, 1.3, ((600, 800), (9, 14)), ((4500, 5500), (95, 115)),
            99.3, 0.90),
)
# fmt: on


def add_rician_noise(
    signal: Image, sigma: float, generator: np.random.Generator
) -> Float32[np.ndarray, "h w"]:
    """Magnitude of a complex signal with Gaussian noise in both channels.

    M = sqrt((A + n1)^2 + n2^2), n1 and n2 normal with standard deviation sigma; the background
    is then Rayleigh with mean sigma sqrt(pi/2) (Gudbjartsson and Patz 1995).
    """
    real = signal + generator.normal(0, sigma, signal.shape)
    imaginary = generator.normal(0, sigma, signal.shape)
    return np.asarray(np.hypot(real, imaginary), np.float32)


def bias_field(
    shape: tuple[int, int], centre: Float[np.ndarray, "2"], peak: float, tilt: float
) -> Image:
    """Smooth coil sensitivity with mean near 1: a broad bump plus a slope.

    Args:
        shape: Rows and columns.
        centre: Row and column of the bump, in [-1, 1].
        peak: Largest relative deviation.
        tilt: Direction of the slope, radians.
    """
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    bump = np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / 0.8) - 0.5
    slope = 0.6 * (np.cos(tilt) * rows + np.sin(tilt) * columns)
    return np.asarray(1 + peak * (bump + slope), np.float32)


def to_display(image: Image, black: float, white: float, gamma: float) -> UInt8[np.ndarray, "h w"]:
    """Windows a magnitude image to 8 bits: black and below is 0, white and above 255."""
    scaled = np.clip((image - black) / max(white - black, 1e-6), 0, 1) ** gamma
    return np.asarray(np.rint(255 * scaled), np.uint8)


@dataclass(frozen=True)
class Exposure:
    """What stays the same over the slices of one series: coil position and display window."""

    centre: Float[np.ndarray, "2"]
    tilt: float
    peak: float
    sigma: float
    white_percentile: float
    black_sigmas: float
    gamma: float

    @classmethod
    def draw(cls, scanner: Scanner, white: float, generator: np.random.Generator) -> "Exposure":
        """Draws a series' exposure; `white` is the white matter's signal, the noise's unit."""
        level = scanner.white_level + generator.normal(0, 0.4)
        return cls(
            centre=generator.uniform(-0.7, 0.7, 2),
            tilt=float(generator.uniform(0, 2 * np.pi)),
            peak=float(scanner.bias * generator.uniform(0.5, 1.2)),
            sigma=float(scanner.noise * white * generator.uniform(0.7, 1.3)),
            white_percentile=float(np.clip(level, 97, 99.95)),
            black_sigmas=float(generator.uniform(0.0, 1.5)),
            gamma=float(scanner.gamma * generator.uniform(0.85, 1.15)),
        )


def expose(
    signals: Float32[np.ndarray, "slice h w"],
    exposure: Exposure,
    blur_px: float,
    generator: np.random.Generator,
) -> Float32[np.ndarray, "slice h w"]:
    """Magnitudes of one series: blurred, shaded by the coil, noisy.

    Args:
        signals: Noise-free spin-echo signal of each slice.
        exposure: Coil and noise of the series.
        blur_px: Standard deviation of the point spread function, pixels.
        generator: Source of the noise.
    """
    shape = (signals.shape[1], signals.shape[2])
    bias = bias_field(shape, exposure.centre, exposure.peak, exposure.tilt)
    return np.stack(
        [
            add_rician_noise(
                ndimage.gaussian_filter(signal, blur_px) * bias, exposure.sigma, generator
            )
            for signal in signals
        ]
    )


def acquire(
    signals: Float32[np.ndarray, "slice h w"],
    exposure: Exposure,
    blur_px: float,
    generator: np.random.Generator,
) -> UInt8[np.ndarray, "slice h w"]:
    """Images of one series: what `expose` gives, in one common window."""
    images = expose(signals, exposure, blur_px, generator)
    head = images[images > 4 * exposure.sigma]
    white = float(np.percentile(head if head.size else images, exposure.white_percentile))
    black = exposure.black_sigmas * exposure.sigma
    return np.stack([to_display(image, black, white, exposure.gamma) for image in images])
