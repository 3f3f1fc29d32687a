"""Where lesions of each family grow, in template millimetres.

Sites overlap: some meningiomas sit at the cerebellopontine angle or in a ventricle's trigone, some
neurocytomas in the trigone, gliomas and abscesses share the hemispheres.
"""

from dataclasses import dataclass

import numpy as np

from brainssl.simulation.anatomy import load_template

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Site:
    """A place to grow.

    Attributes:
        point: Template millimetres.
        convex: On the convexity of the brain, with the dura as its base.
        extra_axial: Outside the brain's substance, which it pushes aside.
        canal: Reaches into the internal auditory canal.
    """

    point: Vector
    convex: bool = False
    extra_axial: bool = False
    canal: bool = False


@dataclass(frozen=True)
class Spot:
    """A named site: share of the family's patients, centre on the right side, spread in mm."""

    share: float
    centre: Vector | None
    spread: float = 3.0


_CPA = (19.0, -37.0, -36.0)  # cerebellopontine angle
_TRIGONE = (22.0, -40.0, 11.0)
_SPOTS = {
    "Meningioma": (
        Spot(0.60, None),  # convexity
        Spot(0.13, (5.0, 5.0, 48.0), 18.0),  # falx
        Spot(0.12, (33.0, 22.0, -16.0), 4.0),  # sphenoid wing
        Spot(0.07, (4.0, 38.0, -18.0), 4.0),  # olfactory groove
        Spot(0.05, _CPA, 3.0),
        Spot(0.03, _TRIGONE, 4.0),
    ),
    "Schwannoma": (Spot(0.9, _CPA), Spot(0.1, (24.0, -12.0, -30.0))),  # vestibular, trigeminal
    "Neurocytoma": (Spot(0.85, (8.0, 2.0, 15.0), 5.0), Spot(0.15, _TRIGONE, 5.0)),
    "cyst": (Spot(0.5, (42.0, 10.0, -26.0), 4.0), Spot(0.5, None)),  # middle fossa, convexity
}


def draw_site(family: str, kind: str, radius: float, generator: np.random.Generator) -> Site:
    """Draws a site for a lesion of a family and kind with a mean radius in mm."""
    extra_axial_cyst = kind == "cyst" and generator.random() < 0.5
    spots = _SPOTS.get("cyst" if extra_axial_cyst else family)
    if spots is None:
        return Site(_in_the_brain(generator, radius))
    spot = spots[int(generator.choice(len(spots), p=[s.share for s in spots]))]
    extra_axial = family != "Neurocytoma"
    if spot.centre is None:
        return Site(_on_the_convexity(generator), convex=True, extra_axial=extra_axial)
    point = _near(spot.centre, spot.spread, generator)
    canal = family == "Schwannoma" and spot.centre == _CPA
    return Site(point, extra_axial=extra_axial, canal=canal)


def _near(centre: Vector, spread: float, generator: np.random.Generator) -> Vector:
    """A point about a named one, on either side, that lies inside the closed brain surface."""
    side = 1.0 if generator.random() < 0.5 else -1.0
    while True:
        # Sideways a broad spread would leave the falx; along it is free.
        offset = generator.normal(0, (min(spread, 4.0), spread, spread))
        x, y, z = (float(v) for v in np.add(centre, offset))
        point = (side * abs(x), y, z)
        if load_template().hull.at(np.array([point], np.float32).T)[0] < -1:
            return point


def _on_the_convexity(generator: np.random.Generator) -> Vector:
    """A point on the brain's upper surface: out from the middle until the surface."""
    while True:
        direction = generator.normal(size=3)
        direction /= np.linalg.norm(direction)
        if direction[2] < -0.15:
            continue
        steps = np.arange(30, 120, 0.5)
        path = (np.array([[0.0], [-18.0], [5.0]]) + direction[:, None] * steps).astype(np.float32)
        outside = np.flatnonzero(load_template().hull.at(path) > 0)
        if outside.size:
            x, y, z = (float(v) for v in path[:, outside[0]])
            return x, y, z


def _in_the_brain(generator: np.random.Generator, radius: float) -> Vector:
    """A point deep in the hemispheres, now and then in cerebellum or brain stem."""
    below = generator.random() < 0.08
    low, high = ((-40, -80, -50), (40, -30, -15)) if below else ((-55, -85, -22), (55, 60, 60))
    template = load_template()
    while True:
        point = generator.uniform(low, high).astype(np.float32)[:, None]
        deep = -template.hull.at(point)[0] > 4 + 0.45 * radius
        solid = template.white.at(point)[0] + template.grey.at(point)[0] > 0.6
        if deep and solid and (below or abs(point[0, 0]) > 7):
            x, y, z = (float(v) for v in point[:, 0])
            return x, y, z
