"""From a volume to slices: one way for all, lesions in place, faults in one line."""

from pathlib import Path

import numpy as np
import pytest
from oracles.heads import SHAPE, ball, head, save

from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.choice import Choice
from brainssl.data.volumes.origin import VolumeOrigin, look_at_volume
from brainssl.data.volumes.slices import open_volume, volume_slices
from brainssl.data.volumes.volume import VolumeRef


@pytest.fixture
def ref(tmp_path: Path) -> VolumeRef:
    return VolumeRef("nifti", (save(tmp_path / "head.nii.gz", head(1, lesion=True)),), "the head")


@pytest.fixture
def mask(tmp_path: Path) -> VolumeRef:
    return VolumeRef("nifti", (save(tmp_path / "mask.nii.gz", 4 * ball().astype(np.uint8)),), "m")


def test_slices_are_the_windowed_samples_as_they_hang(ref: VolumeRef) -> None:
    values = head(1, lesion=True).astype(np.float64)
    slices = dict(volume_slices(ref))
    assert 10 < len(slices) < SHAPE[0]
    opened = open_volume(ref)
    low, high = opened.window.low, opened.window.high
    for number, image in slices.items():
        expected = np.clip((values[number - 1] - low) / (high - low), 0, 1)
        assert image.pixels == pytest.approx(expected, abs=1e-6)
        assert image.provenance[-1] == f"slice {number}"
        assert image.provenance[-2].startswith("percentiles 0.5 and 99.5 of the volume")
        assert image.source_bits == 16


def test_scan_and_store_see_the_pixels_of_a_prediction(ref: VolumeRef) -> None:
    predicted = volume_slices(ref, Choice(count=5))
    seen = look_at_volume((ref, None), choice=Choice(count=5), plane="native", reader=2)
    assert not isinstance(seen, UnreadableImage)
    assert seen.origin.numbers == tuple(number for number, _ in predicted)
    stored = [pixels for pixels, _, _ in seen.origin.images()]
    again = volume_slices(ref, seen.origin.numbers)
    for (_, one), two, (_, three) in zip(predicted, stored, again, strict=True):
        assert one.pixels.tobytes() == two.tobytes() == three.pixels.tobytes()


def test_the_lesion_lies_where_it_was_drawn(ref: VolumeRef, mask: VolumeRef) -> None:
    seen = look_at_volume((ref, mask), choice=Choice(), plane="native", reader=2)
    assert not isinstance(seen, UnreadableImage)
    drawn = [ball()[number - 1] for number in seen.origin.numbers]
    assert list(seen.lesions) == [one.mean() for one in drawn]
    assert max(one or 0 for one in seen.lesions) > 0
    assert min(one or 0 for one in seen.lesions) == 0
    for (pixels, lesion, _), expected in zip(seen.origin.images(), drawn, strict=True):
        assert (lesion == expected).all()
        if expected.any():
            assert pixels[expected].mean() > pixels[~expected].mean() + 0.2


@pytest.mark.parametrize("plane", ["coronal", "sagittal"])
def test_in_another_plane_the_lesion_goes_along(
    ref: VolumeRef, mask: VolumeRef, plane: str
) -> None:
    native, other = (
        look_at_volume((ref, mask), choice=Choice(), plane=one, reader=2)  # type: ignore[arg-type]
        for one in ("native", plane)
    )
    assert not isinstance(native, UnreadableImage)
    assert not isinstance(other, UnreadableImage)
    assert other.spacing == (5.0, 5.0)
    shown = [(p, m) for p, m, _ in other.origin.images() if m is not None and m.any()]
    assert shown
    for pixels, lesion in shown:
        assert pixels[lesion].mean() > pixels[~lesion].mean() + 0.2
    # The whole volume of the lesion, in voxels of 6·5·5 and of 5·5·5 mm³.
    held = sum(int(m.sum()) for _, m in shown) * 125
    assert held == pytest.approx(int(ball().sum()) * 150, rel=0.25)


def test_a_volume_in_its_own_plane_is_not_resampled(ref: VolumeRef) -> None:
    ours, asked = volume_slices(ref), volume_slices(ref, plane="axial")
    assert [n for n, _ in ours] == [n for n, _ in asked]
    assert all((a.pixels == b.pixels).all() for (_, a), (_, b) in zip(ours, asked, strict=True))


def test_what_is_not_finite_is_padding(tmp_path: Path) -> None:
    values = head(1).astype(np.float32)
    clean = VolumeRef("nifti", (save(tmp_path / "clean.nii", values),), "clean")
    values[12, 3:6] = np.nan
    holed = VolumeRef("nifti", (save(tmp_path / "holed.nii", values),), "holed")
    ((_, before),), ((_, after),) = (volume_slices(one, (13,)) for one in (clean, holed))
    assert (after.pixels[3:6] == 0).all()
    assert after.pixels[10:] == pytest.approx(before.pixels[10:], abs=0.01)


def test_a_blank_slice_is_flagged(ref: VolumeRef, tmp_path: Path) -> None:
    values = head(1)
    values[0] = 0
    blank = VolumeRef("nifti", (save(tmp_path / "blank.nii", values),), "blank")
    flags = [image.flags for _, image in volume_slices(blank, (1, 12))]
    assert ["blank" in one for one in flags] == [True, False]


def test_numbers_that_there_are_not_are_refused(ref: VolumeRef) -> None:
    with pytest.raises(ValueError, match="none of the numbers"):
        volume_slices(ref, (SHAPE[0] + 1,))


def test_faults_name_the_volume_and_come_back_from_a_scan(tmp_path: Path, ref: VolumeRef) -> None:
    (tmp_path / "broken.nii").write_bytes(ref.files[0].read_bytes()[:600])
    broken = VolumeRef("nifti", (tmp_path / "broken.nii",), "series 7")
    flat = VolumeRef("nifti", (save(tmp_path / "flat.nii", np.ones(SHAPE, np.int16)),), "flat")
    small = VolumeRef("nifti", (save(tmp_path / "s.nii", head(1)[:, :20]),), "small")
    for asked, name, reader in [
        ((broken, None), "series 7", 2),
        ((flat, None), "flat", 2),
        ((ref, small), "small", 2),
        ((ref, None), "the head", 1),
    ]:
        fault = look_at_volume(asked, choice=Choice(), plane="native", reader=reader)
        assert isinstance(fault, UnreadableImage)
        assert fault.name == name
        assert "\n" not in str(fault)


def test_an_origin_travels_and_counts(ref: VolumeRef) -> None:
    import pickle

    origin = VolumeOrigin(ref, (3, 9))
    assert pickle.loads(pickle.dumps(origin)) == origin
    assert origin.count == 2
    assert origin.large
