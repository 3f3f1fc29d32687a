"""Lesions by family: where they grow, what they are made of, how they push the brain aside.

A lesion is an implicit solid around a centre. Its boundary distance, in mm, is

    D(p) = (|A (p - c)| (1 + a n(p)) - 1) R,

with A the ellipsoid's axes, n smooth noise and a the irregularity; every compartment (rim, core,
bubbles, oedema) is a soft threshold of D and further noise. Families differ in the ranges that
these numbers are drawn from, and the ranges overlap, as the families' pictures do.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32

from brainssl.simulation.anatomy import Head, ramp
from brainssl.simulation.growth import GROWTHS, TUMOUR_FAMILIES
from brainssl.simulation.head import capsule
from brainssl.simulation.scanner import Tissue
from brainssl.simulation.sites import draw_site
from brainssl.simulation.volume import Points, Values


@dataclass(frozen=True)
class Noise:
    """A smooth random field of unit variance, evaluated at any point (random cosines)."""

    waves: Float32[np.ndarray, "k 3"]
    phases: Float32[np.ndarray, "k 1"]

    @classmethod
    def draw(cls, generator: np.random.Generator, scale_mm: float, count: int = 20) -> "Noise":
        """Draws a field whose features are about `scale_mm` wide."""
        waves = generator.normal(0, 1.6 / scale_mm, (count, 3))
        phases = generator.uniform(0, 2 * np.pi, (count, 1))
        return cls(waves.astype(np.float32), phases.astype(np.float32))

    def at(self, points: Points) -> Values:
        """Returns the field at points in millimetres."""
        total = np.cos(self.waves @ points + self.phases).sum(axis=0)
        return np.asarray(total * np.sqrt(2 / len(self.waves)), np.float32)


@dataclass(frozen=True)
class Layers:
    """The compartments of a lesion at some points, to be laid over the head in this order.

    Attributes:
        tissues: Relaxation times at 1.5 T and uptake of each compartment.
        alphas: Opacity of each compartment in [0, 1].
        inside: True within the lesion itself; oedema and dural tail do not count.
    """

    tissues: tuple[Tissue, ...]
    alphas: Float32[np.ndarray, "layer n"]
    inside: Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class Lesion:
    """One patient's lesion; numbers as in `growth.Growth`, drawn.

    Attributes:
        family: One of `growth.TUMOUR_FAMILIES`.
        kind: Kind within the family.
        centre: Patient millimetres.
        axes: From an offset in mm to the unit ball.
        noises: Fields for the boundary, the core's boundary, the patches and the oedema.
        bubbles: Centres of the bubbles, patient mm.
        extra_axial: Grows on the dura: it may touch the skull, and pushes sulci aside.
        tail: Reach of the enhancing dura beyond the lesion, mm; 0 for none.
        canal: End of a stem in the internal auditory canal, patient mm, or None.
        solid: The solid part.
        core: Necrosis, pus or fluid.
        swollen: Oedema.
        outmost: Distance from the centre, in radii, beyond which only a stem in the canal belongs
            to the lesion. Where the boundary is very irregular, the equation alone gives small
            islands far from it.
    """

    family: str
    kind: str
    centre: Float32[np.ndarray, "3"]
    axes: Float32[np.ndarray, "3 3"]
    radius: float
    irregularity: float
    softness: float
    rim: float
    oedema: float
    patchiness: float
    mass: float
    noises: tuple[Noise, Noise, Noise, Noise]
    bubbles: Float32[np.ndarray, "bubble 4"]
    extra_axial: bool
    tail: float
    canal: Float32[np.ndarray, "3"] | None
    solid: Tissue
    core: Tissue
    swollen: Tissue
    outmost: float = np.inf

    def boundary(self, points: Points) -> Values:
        """Approximate signed distance in mm to the lesion's surface, negative inside."""
        offset = points - self.centre[:, None]
        radius = np.linalg.norm(self.axes @ offset, axis=0)
        distance = (radius * (1 + self.irregularity * self.noises[0].at(points)) - 1) * self.radius
        if np.isfinite(self.outmost):
            distance = np.maximum(distance, (radius - self.outmost) * self.radius)
        if self.canal is not None:
            stem = capsule(points, self.centre, self.canal, 3.2)
            distance = np.minimum(distance, stem)
        return np.asarray(distance, np.float32)

    def push(self, points: Points, depth: Values) -> Points:
        """Where the brain seen at `points` lay before the lesion grew (mass effect).

        The lesion grows from a smaller ball, without compressing what is around:
        r'^3 = r^3 - m R^3. The shift fades with distance and towards the skull, which holds the
        brain.

        Args:
            points: Patient millimetres.
            depth: Distance below the closed brain surface, mm, positive inside.
        """
        offset = points - self.centre[:, None]
        r = np.maximum(np.linalg.norm(offset, axis=0), 1e-3)
        before = np.cbrt(np.maximum(r**3 - self.mass * self.radius**3, 0))
        hold = np.clip((depth + 2) / 14, 0, 1) if not self.extra_axial else np.clip(depth + 3, 0, 1)
        shift = (r - before) * np.exp(-((r / (2.6 * self.radius + 14)) ** 2)) * hold
        return np.asarray(points - offset / r * shift, np.float32)

    def body(self, distance: Values, hull: Values, csf: Values) -> Values:
        """Opacity of the lesion itself; never above the soft indicator of its `boundary`.

        Args:
            distance: Of `boundary`, mm.
            hull: Signed distance to the closed brain surface, mm, negative inside.
            csf: Fraction of CSF there; counts only where `extra_axial` is false.
        """
        if self.extra_axial:
            gate = ramp(hull - (4.0 if self.canal is not None else 1.5), 1.0)
        else:
            gate = ramp(hull + 1.0, 1.5) * (1 - np.float32(min(self.softness / 12, 0.45)) * csf)
        return np.asarray(ramp(distance, self.softness) * gate, np.float32)

    def layers(self, points: Points, hull: Values, brain: Float32[np.ndarray, "3 n"]) -> Layers:
        """Compartments at points near the lesion.

        Args:
            points: Patient millimetres.
            hull: Signed distance to the closed brain surface, mm, negative inside.
            brain: Fractions of white matter, grey matter and CSF there; where `hull` is 2 mm or
                more they count for nothing.
        """
        distance = self.boundary(points)
        white, grey, csf = brain
        body = self.body(distance, hull, csf)
        n_core, n_patch, n_oedema = (noise.at(points) for noise in self.noises[1:])
        wall = min(self.rim, 1e3) * np.clip(1 + 0.35 * n_core, 0.3, None)
        core = ramp(distance + wall, 1.2) * body
        threshold = np.float32(-1.0 + 2.0 * self.patchiness)
        patches = ramp(n_patch - threshold, 0.8) * body * np.float32(self.patchiness > 0.02)
        bubbles = self._bubbles(points, distance) * body
        reach = self.oedema * (1 + 0.5 * n_oedema)
        spread = np.clip(1 - np.maximum(distance, 0) / np.maximum(reach, 0.5), 0, 1)
        swollen = np.sqrt(spread) * ramp(hull + 1, 1.0) * np.clip(white + 0.15 * grey, 0, 1) * 0.9
        alphas = [swollen, body, 0.8 * patches, bubbles, core]
        tissues = [
            self.swollen,
            self.solid,
            replace(self.solid, gadolinium=self.solid.gadolinium / 4, t2=self.solid.t2 * 1.12),
            self.core,
            self.core,
        ]
        if self.tail > 0:
            sheet = ramp(np.abs(hull - 0.6) - 1.0, 1.0)
            alphas.append(sheet * np.clip(1 - np.maximum(distance, 0) / self.tail, 0, 1) * 0.9)
            tissues.append(self.solid)
        return Layers(tuple(tissues), np.stack(alphas).astype(np.float32), body > 0.5)

    def _bubbles(self, points: Points, distance: Values) -> Values:
        gap = np.full(points.shape[1], np.inf, np.float32)
        near = np.flatnonzero(distance < 2)
        within = np.take(points, near, axis=1)
        for *centre, radius in self.bubbles:
            offset = within - np.asarray(centre, np.float32)[:, None]
            gap[near] = np.minimum(gap[near], np.linalg.norm(offset, axis=0) - radius)
        return ramp(gap, 1.0)


def _pick(generator: np.random.Generator, span: tuple[float, float]) -> float:
    return float(generator.uniform(*span))


def _axes(
    elongation: float, radius: float, generator: np.random.Generator
) -> Float32[np.ndarray, "3 3"]:
    rotation, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    stretch = np.exp(generator.normal(0, elongation, 3))
    stretch /= np.cbrt(stretch.prod())
    return np.asarray(np.diag(1 / (stretch * radius)) @ rotation, np.float32)


def draw_lesion(family: str, head: Head, generator: np.random.Generator) -> Lesion:
    """Draws a lesion of a family in a patient's head.

    Args:
        family: One of `growth.TUMOUR_FAMILIES`.
        head: Where it grows.
        generator: Source of all that is random.

    Raises:
        ValueError: The family has no lesion.
    """
    if family not in GROWTHS:
        raise ValueError(f"no lesion of family {family!r}; take one of {TUMOUR_FAMILIES}")
    kinds = GROWTHS[family]
    growth = kinds[int(generator.choice(len(kinds), p=[k.share for k in kinds]))]
    radius = _pick(generator, growth.radius)
    site = draw_site(family, growth.kind, radius, generator)
    centre = head.from_template(site.point)
    if site.convex:  # sinks into the brain so far that a broad base stays on the dura
        inwards = head.from_template((0.0, -18.0, 5.0)) - centre
        centre = centre + inwards / np.linalg.norm(inwards) * radius * generator.uniform(0.3, 0.75)
    canal = None
    if site.canal:
        canal = head.from_template((float(np.sign(site.point[0])) * 27.0, -34.0, -35.0))
    count = round(_pick(generator, growth.bubbles))
    spots = generator.normal(0, 0.5, (count, 3)) * radius + centre
    sizes = generator.uniform(0.08, 0.22, (count, 1)) * radius
    tailed = family == "Meningioma" and generator.random() < 0.6
    return Lesion(
        family=family,
        kind=growth.kind,
        centre=np.asarray(centre, np.float32),
        axes=_axes(growth.elongation, radius, generator),
        radius=radius,
        irregularity=_pick(generator, growth.irregularity),
        softness=_pick(generator, growth.softness),
        rim=np.inf if growth.rim is None else _pick(generator, growth.rim),
        oedema=_pick(generator, growth.oedema),
        patchiness=_pick(generator, growth.patchiness),
        mass=_pick(generator, growth.mass),
        noises=(
            Noise.draw(generator, 0.8 * radius),
            Noise.draw(generator, 0.5 * radius),
            Noise.draw(generator, 5.0),
            Noise.draw(generator, 11.0),
        ),
        bubbles=np.hstack([spots, sizes]).astype(np.float32),
        extra_axial=site.extra_axial,
        tail=_pick(generator, (6, 16)) if tailed else 0.0,
        canal=canal,
        solid=Tissue(
            t1=_pick(generator, growth.solid_t1),
            t2=_pick(generator, growth.solid_t2),
            pd=0.88,
            gadolinium=_pick(generator, growth.uptake),
        ),
        core=Tissue(_pick(generator, growth.core_t1), _pick(generator, growth.core_t2), 0.97, 0.01),
        swollen=Tissue(_pick(generator, (1000, 1300)), _pick(generator, (120, 170)), 0.90),
    )
