"""The brain of one simulated patient: a deformed ICBM152 template, read at any point in space.

All coordinates are millimetres in the template's frame: x to the right, y to the front, z up, the
origin at the anterior commissure. Arrays of points have shape (3, n). Nothing is resampled to a
patient grid: a slice in any plane asks for the tissues at its own points, which costs the same
for every plane and loses no detail.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from brainssl.simulation.volume import Grid, Points, Values, at_once

TISSUES = (
    "white", "grey", "csf", "dura", "marrow", "fat", "muscle", "skin", "mucosa", "choroid",
    "venous", "void",
)  # fmt: skip
"""Order of the tissue fractions; `void` is cortical bone, air and fast-flowing arterial blood."""

INDEX = {name: i for i, name in enumerate(TISSUES)}

# Mean intensity of the three pure tissues in the template, read off voxels with probability > 0.9
# (white, grey) or < 0.1 of both (CSF).
_TEMPLATE_INTENSITY = (0.87, 0.65, 0.27)
_COARSE_MM = 2.5
_WARP_MM = 8.0
_FOLD_MM = 3.0
_BOX_LOW = np.array([-120.0, -150.0, -135.0], dtype=np.float32)
_BOX_HIGH = np.array([120.0, 130.0, 120.0], dtype=np.float32)


@dataclass(frozen=True)
class Template:
    """ICBM152 maps and two distances derived from them.

    Attributes:
        white: Probability of white matter.
        grey: Probability of grey matter.
        intensity: Skull-stripped T1-weighted template in [0, 1].
        hull: Signed distance in mm to the closed surface of the brain, negative inside.
        ventricles: Signed distance in mm to the lateral ventricles, negative inside.
        outward: Unit vectors (x, y, z) that point away from the ventricles.
    """

    white: Grid
    grey: Grid
    intensity: Grid
    hull: Grid
    ventricles: Grid
    outward: tuple[Grid, Grid, Grid]


def ramp(distance: Values, width: float) -> Values:
    """Soft indicator of ``distance < 0``: 1 below ``-width/2``, 0 above ``width/2``."""
    return np.clip(np.float32(0.5) - distance / np.float32(width), 0, 1)


def _box_shape(spacing: float) -> tuple[int, int, int]:
    x, y, z = (int(n) + 1 for n in np.ceil((_BOX_HIGH - _BOX_LOW) / spacing))
    return x, y, z


def _signed_distance(
    inside: Bool[np.ndarray, "x y z"], spacing: float
) -> Float32[np.ndarray, "x y z"]:
    outer = ndimage.distance_transform_edt(~inside)
    inner = ndimage.distance_transform_edt(inside)
    return np.asarray((outer - inner) * spacing, np.float32)


@lru_cache(maxsize=1)
def load_template() -> Template:
    """Loads the maps that nilearn carries (no download) and derives the two distances.

    ICBM152 2009a nonlinear symmetric: Fonov et al., NeuroImage 54:313 (2011).
    """
    from nilearn import datasets

    def grid(image: object) -> Grid:
        affine = np.asarray(image.affine)  # type: ignore[attr-defined]
        values = np.asarray(image.get_fdata(dtype=np.float32))  # type: ignore[attr-defined]
        return Grid(values, affine[:3, 3].astype(np.float32), float(affine[0, 0]))

    intensity = grid(datasets.load_mni152_template(resolution=1))
    grey = grid(datasets.load_mni152_gm_template(resolution=1))
    white = grid(datasets.load_mni152_wm_template(resolution=1))

    shape = _box_shape(_COARSE_MM)
    points = (np.indices(shape).reshape(3, -1) * _COARSE_MM + _BOX_LOW[:, None]).astype(np.float32)
    brain = (intensity.at(points) > 0.05).reshape(shape)
    brain &= (points[2] > -72).reshape(shape)
    # Closing bridges sulci (subarachnoid CSF), not the gaps that the skull base fills.
    closing = 6.0
    closed = _signed_distance(_signed_distance(brain, _COARSE_MM) <= closing, _COARSE_MM) < -closing
    hull = ndimage.gaussian_filter(_signed_distance(closed | brain, _COARSE_MM), 0.6)

    fluid = (grey.at(points) + white.at(points) < 0.45).reshape(shape)
    x, y, z = points.reshape(3, *shape)
    deep = fluid & (hull < -14) & (np.abs(x) < 42) & (y > -62) & (y < 40) & (z > -14) & (z < 32)
    # Cisterns of the midline are no ventricle, and the third widens far less than the lateral.
    deep &= ~((np.abs(x) < 5) & (z < 4)) & ~((np.abs(x) < 9) & (y < -28))
    parts, count = ndimage.label(deep)
    sizes = ndimage.sum_labels(deep, parts, np.arange(1, count + 1)) * _COARSE_MM**3
    ventricles = np.isin(parts, 1 + np.flatnonzero(sizes > 600))
    distance = ndimage.gaussian_filter(_signed_distance(ventricles, _COARSE_MM), 0.7)
    gradient = np.stack(np.gradient(ndimage.gaussian_filter(distance, 1.0), _COARSE_MM))
    gradient /= np.maximum(np.linalg.norm(gradient, axis=0), 0.5)

    def coarse(values: Float32[np.ndarray, "x y z"]) -> Grid:
        return Grid(np.ascontiguousarray(values, np.float32), _BOX_LOW, _COARSE_MM)

    outward = (coarse(gradient[0]), coarse(gradient[1]), coarse(gradient[2]))
    return Template(white, grey, intensity, coarse(hull), coarse(distance), outward)


def smooth_noise(
    generator: np.random.Generator, spacing: float, correlation_mm: float
) -> Float32[np.ndarray, "x y z"]:
    """Returns Gaussian noise of unit variance over the head, smooth over `correlation_mm`."""
    white = generator.standard_normal(_box_shape(spacing), dtype=np.float32)
    smooth = ndimage.gaussian_filter(white, correlation_mm / spacing, mode="wrap")
    return np.asarray(smooth / smooth.std(), np.float32)


@dataclass(frozen=True)
class Head:
    """What makes one patient's head different from the template.

    Attributes:
        affine: From patient to template directions (size, shear and left-right asymmetry).
        warp: Smooth displacement in mm, one grid an axis.
        folds: Unit-variance noise that opens and closes sulci.
        ventricle_growth: Millimetres by which the ventricles are wider than the template's.
        atrophy: Weight of CSF against brain where both share a voxel; 1 leaves the template.
        subarachnoid: Thickness of the CSF shell outside the closed brain surface, mm.
        diploe: Thickness of the marrow between the two tables of the skull, mm.
        scalp: Thickness of subcutaneous fat, mm.
        age: The number from 0 to 1 that widened ventricles, sulci and subarachnoid space.
    """

    affine: Float32[np.ndarray, "3 3"]
    warp: tuple[Grid, Grid, Grid]
    folds: Grid
    ventricle_growth: float
    atrophy: float
    subarachnoid: float
    diploe: float
    scalp: float
    age: float

    @classmethod
    def draw(cls, generator: np.random.Generator, ventricle_growth: float | None = None) -> "Head":
        """Draws a head; `ventricle_growth` (mm) is given where a lesion blocks the ventricles."""
        scale = generator.normal(1.0, 0.035, 3) * generator.normal(1.0, 0.02)
        shear = generator.normal(0.0, 0.018, (3, 3)) * (1 - np.eye(3))
        warp = []
        for _ in range(3):
            broad = smooth_noise(generator, _WARP_MM, 22.0) * generator.uniform(1.6, 3.0)
            local = smooth_noise(generator, _WARP_MM, 9.0) * generator.uniform(0.7, 1.4)
            warp.append(Grid(np.asarray(broad + local, np.float32), _BOX_LOW, _WARP_MM))
        age = generator.beta(1.3, 2.0)  # one number ages brain, sulci and ventricles together
        if ventricle_growth is None:
            ventricle_growth = float(np.clip(generator.normal(3.0 * age, 0.5), 0, 5))
        return cls(
            affine=(np.diag(1 / scale) + shear).astype(np.float32),
            warp=(warp[0], warp[1], warp[2]),
            folds=Grid(smooth_noise(generator, _FOLD_MM, 4.0), _BOX_LOW, _FOLD_MM, periodic=True),
            ventricle_growth=ventricle_growth,
            atrophy=float(0.9 + 1.3 * age + generator.normal(0, 0.1)),
            subarachnoid=float(0.4 + 1.6 * age),
            diploe=float(generator.uniform(1.5, 4.5)),
            scalp=float(generator.uniform(2.5, 6.5)),
            age=float(age),
        )

    def to_template(self, points: Points) -> Points:
        """Maps patient millimetres to template millimetres."""
        mapped = self.affine @ points
        return np.asarray(mapped + at_once(self.warp, points), np.float32)

    def from_template(self, point: tuple[float, float, float]) -> Float32[np.ndarray, "3"]:
        """Finds the patient point that maps to a template point (fixed-point iteration)."""
        target = np.asarray(point, np.float32)[:, None]
        guess = target.copy()
        for _ in range(12):
            guess += target - self.to_template(guess)
        return guess[:, 0]

    def brain(self, points: Points, ventricles: Values | None = None) -> Float32[np.ndarray, "3 n"]:
        """Fractions of white matter, grey matter and CSF at template points inside the hull.

        The template averages many brains, so its sulci are grey. Squaring the probabilities and
        weighting CSF by `atrophy` and `folds` gives back the sharp sulci of a single brain.
        The template's T1 intensity then moves weight between white and grey, which restores the
        deep nuclei that the two maps blur.

        Args:
            points: Template millimetres.
            ventricles: The template's distance to its ventricles there, if it is known already.
        """
        template = load_template()
        if ventricles is None:
            ventricles = template.ventricles.at(points)
        points, flooded = self._widen_ventricles(points, ventricles)
        maps = (template.white, template.grey, template.intensity)
        white, grey, intensity = at_once(maps, points)
        csf = np.clip(1 - white - grey, 0, 1)
        pure_white, pure_grey, pure_csf = _TEMPLATE_INTENSITY
        residual = intensity - (pure_white * white + pure_grey * grey + pure_csf * csf)
        shift = np.clip(0.6 * residual / (pure_white - pure_grey), -white, grey)
        weight = self.atrophy * np.exp(0.55 * self.folds.at(points))
        parts = np.stack([white + shift, grey - shift, csf * weight]) ** 2.2
        parts /= np.maximum(parts.sum(axis=0), 1e-6)
        parts[:, parts.sum(axis=0) < 0.5] = np.array([[0], [0], [1]], np.float32)
        # The septum pellucidum outlives the widening of the ventricles on both its sides.
        septum = ramp(np.abs(points[0]) - 0.7, 1.0) * ramp(np.abs(points[1] - 5) - 25, 6.0)
        septum *= ramp(8 - points[2], 4.0) * ramp(points[2] - 26, 4.0)
        parts *= 1 - flooded
        parts[0] += flooded * septum
        parts[2] += flooded * (1 - septum)
        return np.asarray(parts, np.float32)

    def _widen_ventricles(self, points: Points, distance: Values) -> tuple[Points, Values]:
        """Moves the ventricles' walls outwards by `ventricle_growth`; returns what they flood.

        A point within the growth of the old wall becomes CSF; one further out takes the tissue
        that lay nearer to the ventricle, by an amount that fades over 22 mm.
        """
        growth = self.ventricle_growth
        reach = growth * np.exp(-np.maximum(distance - growth, 0) / 22)
        inwards = np.where(distance > growth, reach, np.clip(distance, 0, None))
        moved = points.copy()
        near = np.flatnonzero((inwards > 0.1) & (distance < growth + 60))
        moved[:, near] -= inwards[near] * at_once(
            load_template().outward, np.take(points, near, axis=1)
        )
        flooded = ramp(distance - growth, 1.2) * np.float32(growth > 0.3)
        return moved, flooded
