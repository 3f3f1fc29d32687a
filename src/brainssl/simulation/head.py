"""What lies around the brain: CSF, meninges, skull, scalp, face, orbits, sinuses and vessels.

The template is skull-stripped, so these are built from distances: shells at a distance from the
brain's closed surface, and simple solids (ellipsoids, capsules) placed at template coordinates
for what a radiologist looks for first. Coordinates are template millimetres.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Float32, Int

from brainssl.simulation.anatomy import INDEX, TISSUES, Head, load_template, ramp
from brainssl.simulation.volume import Points, Values

Fractions = Float32[np.ndarray, "tissue n"]
Vector = Sequence[float] | Float[np.ndarray, "3"]
"""Three coordinates in millimetres."""

_TABLE_MM = 1.6  # inner and outer table of the skull
_DURA_MM = 0.8
_SKIN_MM = 1.8
_AIR_MM = 3.0  # so far outside the skin nothing is left of the head


def ellipsoid(points: Points, centre: Vector, radii: Vector) -> Values:
    """Signed distance (mm, exact on the surface and near a sphere) to an ellipsoid."""
    offset = points - np.asarray(centre, np.float32)[:, None]
    radius = np.sqrt(((offset / np.asarray(radii, np.float32)[:, None]) ** 2).sum(axis=0))
    return np.asarray((radius - 1) * np.float32(min(radii)), np.float32)


def capsule(points: Points, start: Vector, end: Vector, radius: float) -> Values:
    """Signed distance in mm to a cylinder with round ends."""
    a = np.asarray(start, np.float32)[:, None]
    along = np.asarray(end, np.float32)[:, None] - a
    t = np.clip(((points - a) * along).sum(axis=0) / (along**2).sum(), 0, 1)
    return np.asarray(np.linalg.norm(points - a - t * along, axis=0) - radius, np.float32)


def smooth_union(a: Values, b: Values, blend: float) -> Values:
    """Union of two distances with a rounded seam (polynomial smooth minimum)."""
    h = np.clip(0.5 + 0.5 * (b - a) / blend, 0, 1)
    return np.asarray(b + (a - b) * h - blend * h * (1 - h), np.float32)


def _over(parts: Fractions, tissue: str, alpha: Values) -> None:
    """Lays a tissue over what is there: alpha 1 hides it, 0 leaves it."""
    parts *= 1 - alpha
    parts[INDEX[tissue]] += alpha


def _laid(parts: Fractions, tissue: str, alpha: Values) -> Fractions:
    _over(parts, tissue, alpha)
    return parts


def _box(points: Points, low: Vector, high: Vector) -> Int[np.ndarray, " m"]:
    """Indices of the points in a box with a margin: solids are small, slices are large."""
    near = np.ones(points.shape[1], bool)
    for axis in range(3):
        near &= (points[axis] > low[axis] - 1) & (points[axis] < high[axis] + 1)
    return np.flatnonzero(near)


def _mirror(points: Points) -> Points:
    """Folds the left half onto the right, so that paired structures are written once."""
    folded = points.copy()
    np.abs(points[0], out=folded[0])
    return folded


@dataclass(frozen=True)
class Mixture:
    """What lies at some points.

    Attributes:
        fractions: Fraction of each of `anatomy.TISSUES`; each column sums to 1.
        brain: White matter, grey matter and CSF of `Head.brain`; zeros from 2 mm outside the hull.
    """

    fractions: Fractions
    brain: Float32[np.ndarray, "3 n"]


def tissues(head: Head, skull_points: Points, brain_points: Points) -> Fractions:
    """Returns the fraction of each of `anatomy.TISSUES` at every point; each column sums to 1.

    Args:
        head: The patient.
        skull_points: Template points for everything that a mass cannot move.
        brain_points: The same points after the mass effect of a lesion.

    Returns:
        float32 fractions of shape (tissues, n).
    """
    hull = load_template().hull.at(skull_points)
    return mixture(head, skull_points, brain_points, hull).fractions


def mixture(head: Head, skull_points: Points, brain_points: Points, hull: Values) -> Mixture:
    """Returns the tissues at every point, and those of the brain alone.

    Args:
        head: The patient.
        skull_points: As in `tissues`.
        brain_points: As in `tissues`.
        hull: The template's distance to the closed brain surface at `skull_points`, mm.
    """
    parts = np.zeros((len(TISSUES), skull_points.shape[1]), np.float32)
    brain = np.zeros((3, skull_points.shape[1]), np.float32)
    parts[INDEX["void"]] = 1
    # Above the orbits nothing but scalp surrounds the skull: the rest is air, known at once.
    outside = np.flatnonzero((hull > -4) & ((hull < 42) | (skull_points[2] < 0)))
    if outside.size:
        points = np.take(skull_points, outside, axis=1)
        parts[:, outside] = _surroundings(head, points, hull[outside])
    inside = np.flatnonzero(hull < 2)
    if inside.size:
        points, moved = (np.take(p, inside, axis=1) for p in (skull_points, brain_points))
        ventricles = load_template().ventricles.at(moved)
        pure = head.brain(moved, ventricles)
        wet = _intracranial(pure, points, moved, hull[inside], ventricles - head.ventricle_growth)
        alpha = ramp(hull[inside], 1.2)
        parts[:, inside] = np.take(parts, inside, axis=1) * (1 - alpha) + wet * alpha
        brain[:, inside] = pure
    return Mixture(parts, brain)


def _intracranial(
    brain: Float32[np.ndarray, "3 n"],
    skull_points: Points,
    brain_points: Points,
    hull: Values,
    ventricles: Values,
) -> Fractions:
    """Lays meninges, plexus and vessels over the brain; the two distances are the patient's."""
    parts = np.zeros((len(TISSUES), brain_points.shape[1]), np.float32)
    parts[:3] = brain
    folded, csf = _mirror(brain_points), brain[INDEX["csf"]]
    ventricle = ramp(ventricles, 2.0)
    falx = ramp(folded[0] - 0.6, 1.0) * ramp(12 - brain_points[2], 8.0) * csf * (1 - ventricle)
    _over(parts, "dura", 0.8 * falx)
    plexus = capsule(folded, (21, -40, 8), (13, -22, 15), 3.5)
    _over(parts, "choroid", 0.7 * ramp(plexus, 3.0) * csf * ventricle)
    for start, end, radius in (
        ((0.0, -13.0, -46.0), (0.0, -14.0, -16.0), 1.9),
        ((13.0, 0.0, -40.0), (12.0, 3.0, -18.0), 2.2),
        ((12.0, 3.0, -18.0), (42.0, 4.0, -12.0), 1.5),
        ((2.0, 10.0, -16.0), (2.0, 38.0, 4.0), 1.2),
        ((2.0, 38.0, 4.0), (2.0, 20.0, 32.0), 1.1),
    ):
        _over(parts, "void", ramp(capsule(folded, start, end, radius), 1.2) * csf)
    sagittal = folded[0] - 3.0 - 0.6 * np.clip(hull, -6, 3)
    high = ramp(-10 - skull_points[2], 10.0)
    _over(parts, "venous", ramp(sagittal, 1.5) * ramp(-5 - hull, 2.0) * high)
    return parts


@dataclass(frozen=True)
class _Shells:
    """Distances, in mm, of points outside the brain to the layers around it."""

    distance: Values  # to the brain's surface
    skin: Values  # to the surface of the skin, negative inside
    bone_starts: np.float32
    bone_ends: Values
    diploe: Values
    scalp: Values

    def take(self, index: Int[np.ndarray, " m"]) -> "_Shells":
        return replace(
            self,
            distance=self.distance[index],
            skin=self.skin[index],
            bone_ends=self.bone_ends[index],
            diploe=self.diploe[index],
            scalp=self.scalp[index],
        )


def _surroundings(head: Head, points: Points, distance: Values) -> Fractions:
    broad = head.folds.at(points * np.float32(0.12))
    distance = distance + 0.4 * broad
    bone_starts = np.float32(1.3 * head.subarachnoid + _DURA_MM)
    # The vault's marrow is patchy; the temporal squama and the skull base have next to none.
    vault = np.clip((points[2] + 30) / 45, 0.15, 1) * np.clip(1 + 0.35 * broad, 0.3, 1.6)
    diploe = head.diploe * vault
    bone_ends = bone_starts + 2 * _TABLE_MM + diploe
    scalp = head.scalp * np.clip(1 + 0.15 * broad, 0.5, 1.5)
    skin = _skin_distance(points, distance, bone_ends + scalp + _SKIN_MM)
    shells = _Shells(distance, skin, bone_starts, bone_ends, diploe, scalp)

    parts = np.zeros((len(TISSUES), points.shape[1]), np.float32)
    parts[INDEX["void"]] = 1
    solid = np.flatnonzero(skin < _AIR_MM)
    if solid.size:
        parts[:, solid] = _scalp_and_skull(head, np.take(points, solid, axis=1), shells.take(solid))
    return parts


def _scalp_and_skull(head: Head, points: Points, shells: _Shells) -> Fractions:
    distance, skin, scalp = shells.distance, shells.skin, shells.scalp
    streaks = head.folds.at(points)
    csf_ends = np.clip(head.subarachnoid * (1 + 0.6 * streaks), 0, shells.bone_starts - _DURA_MM)
    parts = np.zeros((len(TISSUES), points.shape[1]), np.float32)
    streaky = np.clip(0.25 + 0.25 * head.folds.at(points * np.float32(1.7)), 0, 0.9)
    parts[INDEX["muscle"]] = 1 - streaky
    parts[INDEX["fat"]] = streaky
    _over(parts, "fat", ramp(-skin - _SKIN_MM - scalp, 1.0) * np.float32(0.92))
    _over(parts, "skin", ramp(-skin - _SKIN_MM, 0.8))
    _over(parts, "void", ramp(-skin, 1.0))
    low = np.flatnonzero(points[2] < 12)
    base = np.take(points, low, axis=1)
    if low.size:
        parts[:, low] = _skull_base(np.take(parts, low, axis=1), base)
    within = ramp(skin + _SKIN_MM, 1.0)
    _over(parts, "void", ramp(distance - shells.bone_ends, 1.0) * within)
    middle = (shells.bone_starts + shells.bone_ends) / 2
    marrow = ramp(np.abs(distance - middle) - shells.diploe / 2, 1.0)
    _over(parts, "marrow", marrow * np.clip(0.65 + 0.3 * streaks, 0.1, 1) * within)
    if low.size:
        parts[:, low] = _sinuses(np.take(parts, low, axis=1), base, streaks[low])
    _over(parts, "dura", ramp(distance - shells.bone_starts, 0.8))
    _over(parts, "csf", ramp(distance - csf_ends, 0.8))
    if low.size:
        parts[:, low] = _low_channels(np.take(parts, low, axis=1), base)
    return parts


def _skin_distance(points: Points, distance: Values, thickness: Values) -> Values:
    """Signed distance to the skin: scalp, temporal muscle, face, nose, chin and neck in one."""
    folded = _mirror(points)
    x, y, z = folded
    temporalis = 7 * np.exp(-(((z + 18) / 24) ** 2) - ((y - 18) / 26) ** 2) * ramp(40 - x, 12.0)
    skin = distance - (thickness + temporalis)
    neck = np.maximum((np.hypot(x / 54, (y + 28) / 56) - 1) * 54, z + 45)
    for solid, blend in (
        (ellipsoid(folded, (0, 36, -58), (62, 52, 62)), 14.0),
        (ellipsoid(folded, (0, 58, -100), (40, 32, 28)), 14.0),
        (neck, 22.0),
        (ellipsoid(folded, (0, 92, -58), (12, 16, 20)), 8.0),
        (ellipsoid(folded, (74, -20, -40), (6, 12, 20)), 6.0),
    ):
        skin = smooth_union(skin, np.asarray(solid, np.float32), blend)
    return np.asarray(skin, np.float32)


def _skull_base(parts: Fractions, points: Points) -> Fractions:
    """Orbits, face, petrous bone, clivus, pharynx and spine, each laid over the one before."""
    folded = _mirror(points)

    def ball(tissue: str, centre: Vector, radii: Vector, alpha: float = 1.0) -> None:
        near = _box(folded, np.subtract(centre, radii), np.add(centre, radii))
        solid = np.float32(alpha) * ramp(
            ellipsoid(np.take(folded, near, axis=1), centre, radii), 1.2
        )
        parts[:, near] = _laid(np.take(parts, near, axis=1), tissue, solid)

    def tube(tissue: str, start: Vector, end: Vector, radius: float, alpha: float = 1.0) -> None:
        near = _box(folded, np.minimum(start, end) - radius, np.maximum(start, end) + radius)
        solid = np.float32(alpha) * ramp(
            capsule(np.take(folded, near, axis=1), start, end, radius), 1.2
        )
        parts[:, near] = _laid(np.take(parts, near, axis=1), tissue, solid)

    # Bone of the face, its marrow and fat: the orbit's walls, the zygoma, the jaws.
    ball("void", (32, 50, -38), (21, 28, 20), 0.9)
    ball("fat", (32, 50, -38), (19, 26, 18))
    tube("void", (50, 58, -52), (62, 12, -52), 3.5)
    tube("marrow", (50, 58, -52), (62, 12, -52), 1.8)
    ball("void", (0, 74, -92), (25, 14, 13), 0.85)
    ball("void", (0, 72, -112), (27, 15, 9), 0.85)
    ball("marrow", (0, 72, -112), (24, 12, 6))
    ball("muscle", (0, 48, -100), (20, 27, 17))
    tube("muscle", (46, 12, -60), (44, 22, -92), 8.0)
    # Orbit: globe with lens, optic nerve, medial and lateral rectus.
    tube("muscle", (21, 56, -38), (14, 22, -32), 2.2)
    tube("muscle", (43, 54, -38), (22, 22, -34), 2.2)
    tube("white", (32, 50, -38), (10, 14, -29), 2.0)
    ball("muscle", (33, 62, -38), (13, 13, 13))
    ball("csf", (33, 62, -38), (11.5, 11.5, 11.5))
    ball("void", (34, 71, -38), (4.5, 2.0, 4.5), 0.7)
    # Central base: clivus, petrous ridge, spine.
    tube("void", (0, -4, -40), (0, -20, -66), 8.5)
    tube("marrow", (0, -4, -40), (0, -20, -66), 6.5)
    ball("void", (40, -26, -41), (26, 13, 12))
    tube("marrow", (22, -18, -38), (14, -10, -36), 3.5, 0.6)
    for z in (-84.0, -106.0):
        ball("void", (0, -24, z), (11, 10, 10))
        ball("marrow", (0, -24, z), (9.5, 8.5, 8.5))
        tube("void", (0, -72, z - 4), (0, -86, z - 8), 5.0)
        tube("marrow", (0, -72, z - 4), (0, -86, z - 8), 3.5)
        tube("void", (11, -32, z), (24, -40, z), 7.0, 0.9)
        tube("marrow", (11, -32, z), (24, -40, z), 5.0, 0.8)
    ball("mucosa", (0, 4, -82), (13, 10, 27))
    ball("void", (0, 6, -84), (9, 6, 26))
    ball("void", (37, -6, -88), (3, 3, 40), 0.9)  # internal carotid
    ball("venous", (40, -18, -88), (5, 5, 40))  # internal jugular
    return parts


def _sinuses(parts: Fractions, points: Points, streaks: Values) -> Fractions:
    """Air-filled cavities and their mucosa, which takes up gadolinium."""
    folded = _mirror(points)
    for centre, radii, lining in (
        ((0.0, 16.0, -41.0), (13.0, 11.0, 9.0), 1.3),
        ((28.0, 50.0, -68.0), (15.0, 17.0, 15.0), 1.6),
        ((8.0, 77.0, -16.0), (9.0, 4.5, 9.0), 1.0),
    ):
        shape = ellipsoid(folded, centre, radii)
        _over(parts, "mucosa", ramp(shape, 1.2))
        _over(parts, "void", ramp(shape + lining, 1.2))
    ethmoid = ramp(ellipsoid(folded, (5, 46, -40), (9, 22, 12)), 1.5)
    _over(parts, "mucosa", ethmoid)
    cells = np.sin(points[1] * 0.55 + 2 * streaks) * np.sin(points[2] * 0.6) + 0.5 * streaks
    _over(parts, "void", ethmoid * ramp(0.3 - np.abs(cells), 0.3))
    nose = ramp(ellipsoid(folded, (0, 58, -66), (13, 30, 17)), 1.5)
    turbinates = np.sin(folded[0] * 0.8 + 0.5) + 0.5 * np.sin(points[2] * 0.5) + 0.3 * streaks
    _over(parts, "mucosa", nose)
    _over(parts, "void", nose * ramp(turbinates - 0.1, 0.5))
    mastoid = ramp(ellipsoid(folded, (52, -30, -44), (13, 17, 18)), 3.0)
    _over(parts, "void", mastoid)
    _over(parts, "mucosa", 0.6 * mastoid * ramp(1.0 - streaks, 0.6))
    gland = ramp(ellipsoid(points, (0, 3, -32), (6, 5, 4)), 1.2)
    _over(parts, "mucosa", gland)
    return parts


def _low_channels(parts: Fractions, points: Points) -> Fractions:
    """The spinal cord below the template's edge, the inner ear and the large dural sinuses."""
    folded = _mirror(points)
    low = ramp(points[2] + 66, 4.0)
    for tissue, radius in (("fat", 11.5), ("csf", 9.5), ("white", 5.5)):
        cord = ramp(capsule(folded, (0, -44, -64), (0, -50, -140), radius), 1.2)
        _over(parts, tissue, cord * low)
    canal = ramp(capsule(folded, (12, -36, -35), (25, -34, -35), 2.6), 1.2)
    cochlea = ramp(ellipsoid(folded, (27, -28, -36), (3, 2.4, 2.4)), 1.2)
    _over(parts, "csf", np.maximum(canal, cochlea))
    path = ((0, -104, -6), (32, -90, -14), (54, -60, -22), (52, -42, -34), (34, -38, -54))
    for start, end in pairwise(path):
        _over(parts, "venous", ramp(capsule(folded, start, end, 3.8), 1.2))
    return parts
