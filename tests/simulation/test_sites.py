"""Where lesions grow."""

import numpy as np
import pytest

from brainssl.simulation.anatomy import load_template
from brainssl.simulation.growth import TUMOUR_FAMILIES
from brainssl.simulation.sites import Site, draw_site


def draw(family: str, kind: str = "", count: int = 40) -> list[Site]:
    generator = np.random.default_rng(0)
    return [draw_site(family, kind, 12.0, generator) for _ in range(count)]


@pytest.mark.parametrize("family", TUMOUR_FAMILIES)
def test_sites_lie_within_the_closed_brain_surface_on_both_sides(family: str) -> None:
    points = np.array([s.point for s in draw(family)], np.float32).T
    assert load_template().hull.at(points).max() < 1.0
    assert points[0].min() < 0 < points[0].max()


def test_gliomas_grow_deep_in_tissue_and_meningiomas_mostly_on_the_surface() -> None:
    hull = load_template().hull
    deep = hull.at(np.array([s.point for s in draw("Glioma")], np.float32).T)
    assert deep.max() < -9
    meningiomas = draw("Meningioma")
    assert all(s.extra_axial for s in meningiomas)
    assert 0.3 < np.mean([s.convex for s in meningiomas]) < 0.8


def test_most_schwannomas_enter_the_canal_at_the_cerebellopontine_angle() -> None:
    sites = draw("Schwannoma")
    inside = [s for s in sites if s.canal]
    assert 0.7 < len(inside) / len(sites) < 1
    for site in inside:
        x, y, z = site.point
        assert np.linalg.norm([abs(x) - 19, y + 37, z + 36]) < 14


def test_neurocytomas_touch_the_lateral_ventricles() -> None:
    points = np.array([s.point for s in draw("Neurocytoma")], np.float32).T
    assert np.percentile(load_template().ventricles.at(points), 80) < 8
