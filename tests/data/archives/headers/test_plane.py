"""Planes by cosines and by words."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainssl.data.archives.archive import UNKNOWN
from brainssl.data.archives.headers.plane import plane_from_orientation, plane_from_words

AXIAL = [1, 0, 0, 0, 1, 0]
CORONAL = [1, 0, 0, 0, 0, -1]
SAGITTAL = [0, 1, 0, 0, 0, -1]


@pytest.mark.parametrize(
    ("orientation", "plane"),
    [
        (AXIAL, "axial"),
        (CORONAL, "coronal"),
        (SAGITTAL, "sagittal"),
        ([-1, 0, 0, 0, -1, 0], "axial"),
    ],
)
def test_straight_slices_are_told_with_certainty(orientation: list[float], plane: str) -> None:
    told = plane_from_orientation(orientation)
    assert (told.value, told.confidence, told.against) == (plane, 0.99, ())
    assert told.evidence == (f"orientation: 0 degrees from {plane}",)


@pytest.mark.parametrize("degrees", [5, 14, 20, 40, 44, 46, 70])
def test_an_oblique_slice_is_less_sure(degrees: float) -> None:
    angle = math.radians(degrees)  # of an axial slice that is tilted towards coronal
    told = plane_from_orientation([1, 0, 0, 0, math.cos(angle), -math.sin(angle)])
    assert told.value == ("axial" if degrees < 45 else "coronal")
    away = min(degrees, 90 - degrees)
    assert told.confidence == pytest.approx(min(0.99, math.cos(math.radians(away)) ** 2), abs=1e-3)
    assert bool(told.against) == (away > 15)
    assert f"{away:.0f} degrees from {told.value}" in told.evidence[0]


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=3), st.floats(0.1, 3.0))
def test_the_nearest_plane_is_that_of_the_normals_largest_part(
    axis: list[float], angle: float
) -> None:
    # Rodrigues' rotation of an axial slice about any axis.
    k = np.array(axis) + np.array([0.1, 0.02, 0.003])
    k /= np.linalg.norm(k)
    cross = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    turn = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
    told = plane_from_orientation([*turn[:, 0], *turn[:, 1]])
    normal = np.abs(turn[:, 2])
    parts = dict(zip(("sagittal", "coronal", "axial"), normal, strict=True))
    assert parts[told.value] == pytest.approx(normal.max())
    first, second = np.sort(normal)[:0:-1]
    assert told.confidence == pytest.approx(min(0.99, first**2 / (first**2 + second**2)), abs=1e-3)


@pytest.mark.parametrize(
    "orientation",
    [
        [],
        [1, 0, 0],
        [0] * 6,
        [1, 0, 0, 1, 0, 0],
        [math.nan] * 6,
        ["a"] * 6,
        [5, 0, 0, 0, 5, 0],
        None,
    ],
)
def test_what_is_no_orientation_tells_no_plane(orientation: list[float]) -> None:
    told = plane_from_orientation(orientation)
    assert (told.value, told.confidence) == (UNKNOWN, 0)


@pytest.mark.parametrize(
    ("words", "plane"),
    [
        ("t1_mprage_sag_p2_iso", "sagittal"),
        ("t2_tse_tra_512", "axial"),
        ("Ax T2 FLAIR", "axial"),
        ("OAX T2", "axial"),
        ("AxT1", "axial"),
        ("CORT1 post", "coronal"),
        ("COR T1 FS", "coronal"),
        ("koronar", "coronal"),
        ("T1 coronaal", "coronal"),
        ("assiale T2", "axial"),
        ("T1 axiaal", "axial"),
        ("T2 axial cráneo", "axial"),
        ("T2 AXIALE", "axial"),
        ("transversal", "axial"),
        ("sagittal T1", "sagittal"),
        ("T1 sagital", "sagittal"),
        ("frontal T2", "coronal"),
        ("T1WI 轴位", "axial"),
        ("矢状 T1", "sagittal"),
        ("T2 冠状断", "coronal"),
        ("paratra T2", "axial"),
        ("3-plane loc", UNKNOWN),
        ("t1_mprage_sag_MPR_tra", "axial"),
        ("sag and cor T1", UNKNOWN),
        ("trace DWI", UNKNOWN),
        ("core T1", UNKNOWN),
        ("cortex", UNKNOWN),
        ("contrast", UNKNOWN),
        ("T1 extra", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_planes_are_named_in_several_languages(words: str, plane: str) -> None:
    assert plane_from_words(words).value == plane


def test_a_reformatted_plane_has_the_original_one_against_it() -> None:
    told = plane_from_words("t1_mprage_sag MPR cor")
    assert (told.value, told.against) == ("coronal", ("word: sagittal",))
    assert told.confidence < plane_from_words("t1 cor").confidence


@given(st.text(max_size=60))
def test_words_never_raise(words: str) -> None:
    assert plane_from_words(words).value in {"axial", "coronal", "sagittal", UNKNOWN}
