"""Volumes of all spacings and matrices: a head is as large in all, and as predictions see it."""

from pathlib import Path

import numpy as np
import pytest
from oracles.heads import SHAPE, ball, distance, head, save
from oracles.nifti_volumes import without_place, write_nifti

from brainssl.data.field_of_view import HEAD_CUT, NO_MILLIMETRES
from brainssl.data.letterbox import letterbox
from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.choice import ALL
from brainssl.data.volumes.origin import look_at_volume
from brainssl.data.volumes.slices import open_volume
from brainssl.data.volumes.square import NOT_SQUARE
from brainssl.data.volumes.volume import VolumeRef
from brainssl.inference.volumes import Cut, cut
from brainssl.simulation.anatomy import Head
from brainssl.simulation.archives.stack import Stack, signals
from brainssl.simulation.scanner import Timing
from brainssl.simulation.series import FRAMES

SIZE, MM = 64, 260.0


def ref_of(file: Path) -> VolumeRef:
    return VolumeRef("nifti", (file,), file.name)


def side_of(square: np.ndarray) -> tuple[int, int]:
    """Rows and columns that the head spans."""
    return tuple(int(np.ptp(np.flatnonzero((square > 40).any(axis)))) + 1 for axis in (1, 0))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One simulated head, scanned with three matrices, pixels and places of it in the picture."""
    folder, generator = tmp_path_factory.mktemp("phantoms"), np.random.default_rng(3)
    simulated = Head.draw(generator)
    frame, files = np.asarray(FRAMES["axial"], np.float64), []
    for number, (mm, size, away) in enumerate(((5.0, 48, 0), (7.2, 48, 9), (4.0, 80, -6))):
        reach = mm * (size - 1) / 2
        corner = frame.T @ np.array([away - reach, 15 - away - reach, -20])
        stack = Stack("axial", frame, corner, mm, 12.0, 6.0, 5, size)
        [values] = signals(simulated, None, stack, [Timing(500, 14)], 1.5, ((0.0, 0.0, 0.0),))
        file = folder / f"{number}.nii"
        levels = (1000 * values / values.max()).astype(np.int16)
        write_nifti(file, levels.transpose(2, 1, 0), stack.affine)
        files.append(file)
    return files


def test_a_head_is_as_large_whatever_the_pixels(phantoms: list[Path]) -> None:
    opened = [open_volume(ref_of(file), field_of_view=MM) for file in phantoms]
    assert len({one.volume.spacing[1] for one in opened if one.volume.spacing}) == 3
    for number in (2, 3):
        slices = [one.slice(number) for one in opened]
        squares = [letterbox(one.pixels, SIZE, 8, one.field).astype(float) for one in slices]
        seen = np.array([side_of(one) for one in squares])
        assert np.ptp(seen, axis=0).max() <= 2  # of a pixel at either end
        whole = np.array([side_of(letterbox(one.pixels, SIZE)) for one in slices])
        assert np.ptp(whole, axis=0).min() > 8  # which is what a field of view mends
        # Not only as large, but at one place: no shift by a pixel fits better.
        for other in squares[1:]:
            ways = [(down, right) for down in (-2, 0, 2) for right in (-2, 0, 2)]
            alike = [
                np.corrcoef(np.roll(other, way, (0, 1)).ravel(), squares[0].ravel())[0, 1]
                for way in ways
            ]
            assert ways[int(np.argmax(alike))] == (0, 0)


def test_a_millimetre_is_as_many_pixels(tmp_path: Path) -> None:
    """A ball of known diameter, in pixels of three shapes: its area and middle in the square."""
    shape, mm = (9, 90, 70), 150.0
    across = np.mgrid[0:9, 0:90, 0:70]
    for row, column in ((1.0, 1.0), (2.0, 2.0), (1.04, 1.0), (1.0, 2.0)):
        y, x = (across[1] - 30) * row, (across[2] - 28) * column
        values = np.where(y**2 + x**2 <= 27.0**2, 1000, 0).astype(np.int16)
        assert values.shape == shape
        file = save(tmp_path / "disc.nii", values, (4.0, row, column))
        image = open_volume(ref_of(file), field_of_view=mm).slice(4)
        square = letterbox(image.pixels, 150, 8, image.field) / 255  # a pixel a millimetre
        assert square.sum() == pytest.approx(np.pi * 27**2, rel=0.05)
        middle = [(square * axis).sum() / square.sum() for axis in np.mgrid[0:150, 0:150]]
        assert middle == pytest.approx([74.5, 74.5], abs=1.1)


def test_stores_and_predictions_see_the_same_field(tmp_path: Path) -> None:
    ref = ref_of(save(tmp_path / "a.nii.gz", head(1, lesion=True)))
    mask = ref_of(save(tmp_path / "m.nii.gz", ball().astype(np.uint8)))
    how = {"plane": "native", "reader": 3, "field_of_view": 120.0}
    seen = look_at_volume((ref, mask), choice=ALL, **how)  # type: ignore[arg-type]
    assert not isinstance(seen, UnreadableImage)
    told = cut(ref, slices=ALL, size=32, bits=16, **how)  # type: ignore[arg-type]
    assert isinstance(told, Cut)
    shown = list(seen.origin.images())
    stored = np.stack([letterbox(image, 32, 16, field) for image, _, field in shown])
    assert stored.tobytes() == told.pixels.tobytes()
    assert len({field for _, _, field in shown}) == 1  # neighbours stay in register
    # It is 160 × 144 mm large.
    assert all(HEAD_CUT in flags for flags in told.flags)
    assert all(HEAD_CUT in one.flags for one in seen.slices)
    whole = open_volume(ref)
    cropped = open_volume(ref, field_of_view=120.0)
    assert whole.window == cropped.window  # of all that was measured, not of the crop
    assert (whole.slice(9).pixels == cropped.slice(9).pixels).all()
    assert cropped.slice(9).provenance[-1].endswith("about the head to a square of 120 mm")


def test_pixels_of_known_size_are_enough(tmp_path: Path) -> None:
    """Of slices that nothing places, the same is seen as of those that lie somewhere."""
    placed = save(tmp_path / "a.nii", head(1), (6.0, 4.0, 5.0))
    nowhere = save(tmp_path / "b.nii", head(1), (6.0, 4.0, 5.0))
    without_place(nowhere)
    expected, found = (
        open_volume(ref_of(file), reader=2, field_of_view=200.0) for file in (placed, nowhere)
    )
    assert found.volume.affine is None
    assert found.field is not None
    assert (found.field.height, found.field.width) == pytest.approx((50, 40))
    assert expected.field is not None
    assert (expected.field.height, expected.field.width) == pytest.approx((50, 40))
    newest = open_volume(ref_of(nowhere), field_of_view=200.0)
    assert newest.field == found.field  # the rectangle is a square of millimetres
    assert NOT_SQUARE in newest.slice(1).flags


def test_head_and_neck_are_cut_below_alone(tmp_path: Path) -> None:
    """Sagittal and coronal slices of a head that is longer than the field keep its top."""
    values = np.zeros((60, 30, 30), np.int16)  # from below
    values[:, 8:22, 8:22] = 400
    values[40:55] = np.where(distance((15, 30, 30)) < 1.2, 500, 0)
    values[55:] = 0
    ref = ref_of(save(tmp_path / "neck.nii", values, (5.0, 5.0, 5.0)))
    opened = open_volume(ref, plane="coronal", field_of_view=150.0)
    assert opened.field is not None
    assert opened.field.top == opened.head_box.top > 0
    axial = open_volume(ref, field_of_view=60.0)
    assert axial.field is not None
    middle = (axial.head_box.top + axial.head_box.bottom) / 2
    assert axial.field.top + axial.field.height / 2 == pytest.approx(middle)


def test_without_millimetres_there_is_no_field(tmp_path: Path) -> None:
    file = save(tmp_path / "nowhere.nii", head(1), (1.0, 1.0, 1.0))
    without_place(file)
    assert open_volume(ref_of(file)).field is None
    with pytest.raises(UnreadableImage, match=NO_MILLIMETRES):
        open_volume(ref_of(file), field_of_view=200.0)
    tiny = save(tmp_path / "tiny.nii", head(1), (6.0, 1e-3, 1e-3))
    with pytest.raises(UnreadableImage, match="its header may be wrong"):
        open_volume(ref_of(tiny), field_of_view=200.0)


def test_a_volume_that_shows_nothing_has_its_middle(tmp_path: Path) -> None:
    file = save(tmp_path / "flat.nii", np.ones(SHAPE, np.int16))
    opened = open_volume(ref_of(file), field_of_view=100.0)
    assert opened.field is not None
    assert opened.field.top + opened.field.height / 2 == SHAPE[1] / 2
    assert opened.field.left + opened.field.width / 2 == SHAPE[2] / 2
