"""One series of slices: where its planes lie, and the noise-free signal and mask in each."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from brainssl.simulation.anatomy import INDEX, Head, load_template, ramp
from brainssl.simulation.head import mixture
from brainssl.simulation.lesions import Layers, Lesion
from brainssl.simulation.scanner import Timing, Tissue, normal_signals, spin_echo
from brainssl.simulation.volume import Points, Values

PLANES = ("axial", "coronal", "sagittal")
"""Directions a slice can be taken in."""

FRAMES = {
    "axial": ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "coronal": ((-1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "sagittal": ((0, -1, 0), (0, 0, -1), (1, 0, 0)),
}
"""Columns, rows and normal of an image in each plane, as radiologists hang them: the patient's
right on the left of the image, the nose up (axial) or to the left (sagittal)."""

_CENTRES = {"axial": (0.0, -12.0, 0.0), "coronal": (0.0, 0.0, -6.0), "sagittal": (0.0, -6.0, -8.0)}
_SUBSLICES = (-0.25, 0.25)  # of the thickness: partial volume through the slice
_OUTMOST_MM = 5.0  # no part of a lesion lies further outside the closed brain surface
# Ratio of lesion times at 3 T to those at 1.5 T, between that of white and of grey matter.
_T1_AT_3T, _T2_AT_3T = 1.55, 1.15


@dataclass(frozen=True)
class Series:
    """Geometry of adjacent slices.

    Attributes:
        plane: One of `PLANES`.
        frame: Unit vectors along columns, rows and the normal, as rows of the matrix.
        origin: Patient point in the middle of a slice at position 0, mm.
        field_of_view: Side of the square image, mm.
        thickness: Slice thickness, mm.
        positions: Place of each slice along the normal, mm.
    """

    plane: str
    frame: Float32[np.ndarray, "3 3"]
    origin: Float32[np.ndarray, "3"]
    field_of_view: float
    thickness: float
    positions: tuple[float, ...]

    def grid(self, size: int, position: float) -> Points:
        """Patient points of a slice's pixel centres, row by row, shape (3, size * size)."""
        pixel = self.field_of_view / size
        steps = ((np.arange(size) - (size - 1) / 2) * pixel).astype(np.float32)
        rows, columns = np.meshgrid(steps, steps, indexing="ij")
        plane = np.stack([columns.ravel(), rows.ravel(), np.full(size * size, position)])
        return np.asarray(self.origin[:, None] + self.frame.T @ plane, np.float32)


def place_series(
    head: Head, target: Lesion, plane: str, count: int, generator: np.random.Generator
) -> Series:
    """Places `count` adjacent slices through a lesion (or through where one might be).

    Every slice cuts the lesion where its area is at least a quarter of the largest; slices move
    closer together where the lesion is too small for the usual gap.
    """
    angles = np.deg2rad(generator.normal(0, 4.0, 3))
    frame = np.asarray(FRAMES[plane], np.float64) @ rotation(angles).T
    field_of_view = generator.uniform(212, 252) + (0 if plane == "axial" else 12)
    origin = np.asarray(_CENTRES[plane]) + generator.normal(0, 4.0, 3)
    origin -= frame[2] * (origin @ frame[2])  # positions count from the frame's own zero
    low, high = lesion_extent(head, target, frame[2].astype(np.float32))
    thickness = float(generator.uniform(3.0, 6.0))
    spacing = min(thickness * generator.uniform(1.0, 1.3), (high - low) / max(count - 1, 1))
    reach = spacing * (count - 1)
    first = low + generator.uniform(0, 1) * max(high - low - reach, 0.0)
    return Series(
        plane=plane,
        frame=frame.astype(np.float32),
        origin=origin.astype(np.float32),
        field_of_view=float(field_of_view),
        thickness=min(thickness, max(spacing, 1.5)),
        positions=tuple(float(first + i * spacing) for i in range(count)),
    )


def rotation(angles: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Rotation by angles in radians about z, then y, then x."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_x @ about_y @ about_z)


def lesion_extent(
    head: Head, lesion: Lesion, normal: Float32[np.ndarray, "3"]
) -> tuple[float, float]:
    """First and last position along a normal where a slice cuts much of the lesion.

    Much is a quarter of the largest area.
    """
    step = 2.5
    half = np.arange(-2.2 * lesion.radius, 2.2 * lesion.radius + step, step)
    offsets = np.stack(np.meshgrid(half, half, half, indexing="ij")).reshape(3, -1)
    points = (offsets + lesion.centre[:, None]).astype(np.float32)
    inside = points[:, lesion_mask(head, lesion, points)]
    along = normal @ (inside if inside.size else lesion.centre[:, None])
    edges = np.arange(along.min(), along.max() + 2 * step, step)
    area, _ = np.histogram(along, edges)
    wide = np.flatnonzero(area >= 0.25 * area.max())
    return float(edges[wide[0]] + step / 2), float(edges[wide[-1]] + step / 2)


def _brain_points(
    head: Head, lesion: Lesion, points: Points, mapped: Points, hull: Values
) -> Points:
    """Template points of the brain after the lesion has pushed it; the skull stays."""
    moved = mapped.copy()
    reach = 2.2 * (2.6 * lesion.radius + 14)
    near = np.linalg.norm(points - lesion.centre[:, None], axis=0) < reach
    pushed = np.flatnonzero(near & (hull < 3))
    if pushed.size:
        before = lesion.push(np.take(points, pushed, axis=1), -hull[pushed])
        moved[:, pushed] = head.to_template(before)
    return moved


def lesion_mask(head: Head, lesion: Lesion, points: Points) -> Bool[np.ndarray, " n"]:
    """True where a point lies in the lesion (oedema and dural tail not counted)."""
    inside = np.zeros(points.shape[1], bool)
    near = np.flatnonzero(np.linalg.norm(points - lesion.centre[:, None], axis=0) < _reach(lesion))
    distance = lesion.boundary(np.take(points, near, axis=1))
    # Anatomy only takes away from the lesion: few points need it.
    likely = ramp(distance, lesion.softness) > 0.5
    near, distance = near[likely], distance[likely]
    if near.size:
        local = np.take(points, near, axis=1)
        mapped = head.to_template(local)
        hull = load_template().hull.at(mapped)
        csf = np.zeros(near.size, np.float32)
        if not lesion.extra_axial:
            csf = head.brain(_brain_points(head, lesion, local, mapped, hull))[INDEX["csf"]]
        inside[near] = lesion.body(distance, hull, csf) > 0.5
    return inside


def _reach(lesion: Lesion) -> float:
    """Distance in mm from the centre beyond which nothing of the lesion can be."""
    return 2.5 * lesion.radius + 2 * lesion.oedema + lesion.tail + 10


def _at_field(tissue: Tissue, field: float) -> Tissue:
    if field == 1.5:
        return tissue
    return Tissue(tissue.t1 * _T1_AT_3T, tissue.t2 * _T2_AT_3T, tissue.pd, tissue.gadolinium)


@dataclass(frozen=True)
class Composition:
    """What lies at some points, whatever the scan: one composition serves several timings.

    Attributes:
        fractions: Fraction of each of `anatomy.TISSUES`.
        hull: Signed distance to the closed brain surface, mm, negative inside.
        near: Indices of the points that the lesion may reach.
        layers: The lesion's compartments at those; None where it reaches nothing.
    """

    fractions: Float32[np.ndarray, "tissue n"]
    hull: Values
    near: Int64[np.ndarray, " m"]
    layers: Layers | None

    def signal(self, timing: Timing, field: float) -> Values:
        """Noise-free signal; tissues that share a point add in proportion to their fractions."""
        signal = normal_signals(timing, field) @ self.fractions
        if self.layers is not None:
            local = signal[self.near]
            for tissue, alpha in zip(self.layers.tissues, self.layers.alphas, strict=True):
                local += alpha * (
                    np.float32(spin_echo(_at_field(tissue, field), timing, field)) - local
                )
            signal[self.near] = local
        return np.asarray(signal, np.float32)

    @property
    def inside(self) -> Bool[np.ndarray, " n"]:
        """True within the lesion; oedema and dural tail do not count."""
        inside = np.zeros(self.hull.size, bool)
        if self.layers is not None:
            inside[self.near] = self.layers.inside
        return inside


def compose(head: Head, lesion: Lesion | None, points: Points) -> Composition:
    """Returns what lies at patient points."""
    mapped = head.to_template(points)
    hull = load_template().hull.at(mapped)
    moved = mapped if lesion is None else _brain_points(head, lesion, points, mapped, hull)
    mixed = mixture(head, mapped, moved, hull)
    near, layers = np.zeros(0, np.int64), None
    if lesion is not None:
        close = np.linalg.norm(points - lesion.centre[:, None], axis=0) < _reach(lesion)
        near = np.flatnonzero(close & (hull < _OUTMOST_MM))
        if near.size:
            brain = np.take(mixed.brain, near, axis=1)
            layers = lesion.layers(np.take(points, near, axis=1), hull[near], brain)
    return Composition(mixed.fractions, hull, near, layers)


def signal_at(
    head: Head, lesion: Lesion | None, points: Points, timing: Timing, field: float
) -> tuple[Values, Bool[np.ndarray, " n"]]:
    """Noise-free spin-echo signal and lesion membership at patient points."""
    composition = compose(head, lesion, points)
    return composition.signal(timing, field), composition.inside


def render(
    head: Head, lesion: Lesion | None, series: Series, timing: Timing, field: float, size: int
) -> tuple[Float32[np.ndarray, "slice h w"], Bool[np.ndarray, "slice h w"]]:
    """Noise-free slices of a series and their lesion masks.

    Args:
        head: The patient.
        lesion: The patient's lesion, or None.
        series: Geometry.
        timing: TR, TE, contrast agent.
        field: Tesla.
        size: Rows and columns.

    Returns:
        Signals of shape (slices, size, size), averaged over the slice's thickness and over the
        pixel where pixels are large; masks of the same shape, taken in the middle of the slice.
    """
    fine = max(1, round(160 / size))
    signals, masks = [], []
    for position in series.positions:
        total = np.zeros(size * size, np.float32)
        for share in _SUBSLICES:
            points = series.grid(size * fine, position + share * series.thickness)
            signal, _ = signal_at(head, lesion, points, timing, field)
            total += signal.reshape(size, fine, size, fine).mean(axis=(1, 3)).ravel()
        signals.append(total.reshape(size, size) / len(_SUBSLICES))
        mask = np.zeros(size * size, bool)
        if lesion is not None:
            mask = lesion_mask(head, lesion, series.grid(size, position))
        masks.append(mask.reshape(size, size))
    return np.stack(signals), np.stack(masks)
