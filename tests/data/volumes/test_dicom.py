"""Volumes out of DICOM files: each oddity with its right answer."""

import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pydicom
import pytest
from oracles.dicom_files import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    TILTED,
    csa,
    enhanced,
    made,
    mosaic,
    normal,
    pattern,
    positions,
    series,
    write,
)
from oracles.pictures import encoded
from pydicom.data import get_testdata_files
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.dicom import read_dicom
from brainssl.data.volumes.dicom_files import MAX_ELEMENTS, header_alone
from brainssl.data.volumes.volume import Volume, VolumeRef

PACKED = {"rle": RLELossless, "j2k": JPEG2000Lossless, "jls": JPEGLSLossless}


def read(*paths: Path, **options: object) -> Volume:
    return read_dicom(VolumeRef("dicom", paths, "v"), **options)  # type: ignore[arg-type]


def refusal(*paths: Path, **options: object) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read(*paths, **options)
    assert "\n" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return caught.value.reason


def outcome(path: Path) -> Volume | str:
    try:
        return read(path)
    except UnreadableImage as error:
        return str(error)


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL, *TILTED])
def test_slices_are_sorted_along_their_normal_whatever_their_order(
    tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    paths = series(tmp_path, orientation=orientation)
    volume = read(*[paths[at] for at in (3, 0, 4, 1, 2)])
    assert np.array_equal(volume.samples, pattern((5, 12, 16)))
    assert volume.affine is not None
    places = positions(orientation, 5)
    for at, place in enumerate(places):  # PS3.3, equation C.7.6.2.1-1
        column, row = 5, 7
        x, y = np.array(orientation[:3]) * 0.7, np.array(orientation[3:]) * 0.9
        expected = np.array(place) + x * column + y * row
        assert volume.affine @ [column, row, at, 1] == pytest.approx([*expected, 1], abs=2e-3)
    assert volume.spacing == pytest.approx((4.0, 0.9, 0.7))
    assert ("oblique" in volume.flags) == (orientation in TILTED)
    assert np.linalg.det(volume.affine[:3, :3]) > 0


def test_each_file_is_rescaled_by_its_own_slope_and_intercept(tmp_path: Path) -> None:
    values = pattern((2, 6, 8))
    paths = [
        write(
            made(
                values[at],
                ImagePositionPatient=[0, 0, 4.0 * at],
                RescaleSlope=slope,
                RescaleIntercept=intercept,
            ),
            tmp_path / f"{at}.dcm",
        )
        for at, (slope, intercept) in enumerate([(0.5, -3.0), (2.25, 7.0)])
    ]
    samples = read(*paths).samples
    assert np.array_equal(samples[0], (values[0] * 0.5 - 3).astype(np.float32))
    assert np.array_equal(samples[1], (values[1] * 2.25 + 7).astype(np.float32))


def test_a_modality_table_is_looked_up_and_a_window_never(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [4, 0, 16], "US"
    table.LUTData = [10, 500, 20, 1000]
    dataset = made(np.array([[0, 1], [2, 3]], np.uint16), WindowCenter=5, WindowWidth=3)
    dataset.ModalityLUTSequence = [table]
    for word in ("LUTDescriptor", "LUTData"):
        table[word].VR = "US"
    assert read(write(dataset, tmp_path / "a")).samples.tolist() == [[[10, 500], [20, 1000]]]


@pytest.mark.parametrize("high", [11, 15])
@pytest.mark.parametrize("signed", [False, True])
def test_of_twelve_bits_those_count_that_the_header_names(
    tmp_path: Path, high: int, signed: bool
) -> None:
    wanted = np.array([[-2048, -1, 0, 2047]]) if signed else np.array([[0, 1, 2048, 4095]])
    stored = (wanted & 0xFFF) << (high - 11)
    noise = np.array([[0xF000, 0x1000, 0xA000, 0x5000] if high == 11 else [15, 1, 9, 5]])
    dataset = made(
        (stored | noise).astype(np.uint16),
        BitsStored=12,
        HighBit=high,
        PixelRepresentation=int(signed),
    )
    volume = read(write(dataset, tmp_path / "a"))
    assert volume.samples[0].tolist() == wanted.tolist()
    assert volume.source_bits == 12


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint32, np.int32])
def test_samples_of_any_depth_keep_their_sign(tmp_path: Path, dtype: type) -> None:
    ends = np.iinfo(dtype)
    values = np.array([[ends.min, 0], [1, ends.max]], dtype)
    volume = read(write(made(values), tmp_path / "a"))
    assert np.array_equal(volume.samples[0], values.astype(np.float32))


def test_floating_point_pixels_are_read_and_what_is_not_finite_is_padding(tmp_path: Path) -> None:
    values = np.array([[0.25, np.nan], [-1.5, 8.0]], np.float32)
    dataset = made(np.zeros((2, 2), np.uint32))
    del dataset.PixelData
    dataset.FloatPixelData = values.tobytes()
    volume = read(write(dataset, tmp_path / "a"))
    assert volume.samples[0].tolist() == [[0.25, -1.5], [-1.5, 8.0]]
    assert volume.padding is not None
    assert volume.padding[0].tolist() == [[False, True], [False, False]]
    assert "not finite" in volume.flags


@pytest.mark.parametrize(
    ("value", "limit", "signed", "expected"),
    [
        (7, None, False, [7]),
        (3, 7, False, [3, 7]),
        (7, 3, False, [3, 7]),
        (-5, None, True, [-5]),
        (65531, None, True, [-5]),  # written without its sign
    ],
)
def test_padding_is_what_the_stored_value_says_before_rescaling(
    tmp_path: Path, value: int, limit: int | None, signed: bool, expected: list[int]
) -> None:
    kinds = np.int16 if signed else np.uint16
    stored = np.array([[-5 if signed else 5, 0, 3, 4], [7, 8, 9, 6]], kinds)
    dataset = made(stored, RescaleSlope=2.0, RescaleIntercept=-9.0)
    kind = "SS" if value < 0 else "US"
    dataset.add_new("PixelPaddingValue", kind, value)
    if limit is not None:
        dataset.add_new("PixelPaddingRangeLimit", kind, limit)
    volume = read(write(dataset, tmp_path / "a"))
    assert volume.padding is not None
    low, high = min(expected), max(expected)
    assert np.array_equal(volume.padding[0], (stored >= low) & (stored <= high))
    none = made(stored)
    none.add_new("PixelPaddingValue", "US", 1234)
    assert read(write(none, tmp_path / "b")).padding is None


def test_monochrome1_is_inverted_after_rescaling_and_told(tmp_path: Path) -> None:
    values = np.array([[0, 10], [20, 50]], np.uint16)
    dataset = made(
        values, PhotometricInterpretation="MONOCHROME1", RescaleSlope=2.0, RescaleIntercept=1.0
    )
    volume = read(write(dataset, tmp_path / "a"))
    assert volume.samples[0].tolist() == [[101, 81], [61, 1]]
    told = " | ".join(volume.provenance)
    assert told.index("rescaled") < told.index("inverted (MONOCHROME1)")


@pytest.mark.parametrize("planar", [0, 1])
def test_colours_become_luminance_whatever_their_plan(tmp_path: Path, planar: int) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    dataset = made(
        colours, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=planar
    )
    if planar:
        dataset.PixelData = np.moveaxis(colours, 2, 0).tobytes()
    volume = read(write(dataset, tmp_path / "a"))
    assert np.allclose(volume.samples[0], colours @ np.array([0.299, 0.587, 0.114]), atol=1e-4)
    assert "coloured" in volume.flags
    colours[:] = colours[..., :1]
    dataset.PixelData = (np.moveaxis(colours, 2, 0) if planar else colours).tobytes()
    same = read(write(dataset, tmp_path / "b"))
    assert np.array_equal(same.samples[0], colours[..., 0])
    assert "coloured" not in same.flags


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    dataset = made(np.array([[0, 1], [2, 1]], np.uint8), PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [3, 0, 16])
        dataset[f"{colour}PaletteColorLookupTableDescriptor"].VR = "US"
        table = np.array([100, 30000, 60000], np.uint16).tobytes()
        setattr(dataset, f"{colour}PaletteColorLookupTableData", table)
    volume = read(write(dataset, tmp_path / "a"))
    assert volume.samples[0].tolist() == [[100, 30000], [60000, 30000]]
    assert "palette" in volume.flags


def test_enhanced_frames_have_each_their_own_position_and_rescaling(tmp_path: Path) -> None:
    values = pattern((4, 6, 8))
    places = positions(AXIAL, 4)
    order = [2, 0, 3, 1]
    frames = [{"position": places[at], "slope": 1.0 + at, "intercept": 10.0 * at} for at in order]
    path = write(enhanced(values[order], frames), tmp_path / "a")
    volume = read(path)
    expected = [values[at] * (1.0 + at) + 10 * at for at in range(4)]
    assert np.array_equal(volume.samples, np.array(expected, np.float32))
    assert volume.affine is not None
    assert volume.affine[:3, 3] == pytest.approx(places[0])
    some = read_dicom(VolumeRef("dicom", (path,), "v", frames=((0, 1), (0, 3))))
    assert np.array_equal(some.samples, np.array(expected[:2], np.float32))


def test_frames_of_several_files_come_in_the_order_of_the_reference(tmp_path: Path) -> None:
    values = pattern((4, 6, 8))
    places = positions(AXIAL, 4)
    paths = [
        write(enhanced(values[own], [{"position": places[at]} for at in own]), tmp_path / f"{own}")
        for own in ([0, 2], [1, 3])
    ]
    frames = ((0, 0), (1, 0), (0, 1), (1, 1))
    volume = read_dicom(VolumeRef("dicom", tuple(paths), "v", frames=frames))
    assert np.array_equal(volume.samples, values)


@pytest.mark.parametrize("told", ["second", "first", "private", "matrix"])
@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, TILTED[1]])
def test_a_mosaic_is_cut_into_slices_that_lie_where_they_were(
    tmp_path: Path, told: str, orientation: tuple[float, ...]
) -> None:
    tiles = pattern((5, 8, 8)) + 1
    way = [f"{value:.8f}" for value in normal(orientation)]
    tags = {"NumberOfImagesInMosaic": ["5"], "SliceNormalVector": way}
    header = csa(tags, second=told == "second") if told in ("second", "first") else b"broken"
    path = write(
        mosaic(tiles, orientation, header=header, private_count=told == "private"), tmp_path / "a"
    )
    volume = read(path)
    count = 9 if told == "matrix" else 5
    assert volume.samples.shape == (count, 8, 8)
    assert np.array_equal(volume.samples[:5], tiles)
    assert not volume.samples[5:].any()
    assert volume.affine is not None
    for at, place in enumerate(positions(orientation, 5)):
        assert volume.affine @ [0, 0, at, 1] == pytest.approx([*place, 1], abs=2e-3)
    assert any("mosaic cut" in step for step in volume.provenance)


def test_a_mosaic_against_its_normal_comes_in_the_order_of_the_normal(tmp_path: Path) -> None:
    tiles = pattern((5, 8, 8))
    volume = read(write(mosaic(tiles, AXIAL, flipped=True), tmp_path / "a"))
    assert np.array_equal(volume.samples, tiles[::-1])
    assert volume.affine is not None
    last = volume.affine @ [0, 0, 4, 1]
    assert last[:3] == pytest.approx(positions(AXIAL, 1)[0])


def test_missing_slices_doubled_places_and_other_odd_geometry_are_flagged(tmp_path: Path) -> None:
    gap = read(*series(tmp_path / "gap", count=7, skip=[3]))
    assert "missing slices" in gap.flags
    assert gap.spacing == pytest.approx((4.0, 0.9, 0.7))
    twice = read(*series(tmp_path / "a"), *series(tmp_path / "b", seed=1))
    assert "doubled positions" in twice.flags
    assert twice.affine is None
    mixed = read(*series(tmp_path / "c"), *series(tmp_path / "d", orientation=CORONAL))
    assert "several orientations" in mixed.flags
    none = read(*series(tmp_path / "e", ImagePositionPatient=None))
    assert "no position" in none.flags
    assert none.affine is None
    assert none.spacing is None
    assert none.pixel_spacing == mixed.pixel_spacing == twice.pixel_spacing == (0.9, 0.7)
    unknown = read(*series(tmp_path / "f", PixelSpacing=None))
    assert "spacing unknown" in unknown.flags
    assert unknown.pixel_spacing is None
    whole = read(*series(tmp_path / "g"))
    assert whole.flags == ()


def test_a_tilted_gantry_shears_the_map_and_is_told(tmp_path: Path) -> None:
    values = pattern((4, 6, 8))
    paths = [
        write(made(values[at], ImagePositionPatient=[0, 1.5 * at, 4.0 * at]), tmp_path / f"{at}")
        for at in range(4)
    ]
    volume = read(*paths)
    assert "sheared" in volume.flags
    assert volume.affine is not None
    assert volume.affine[:3, 2].tolist() == [0, 1.5, 4.0]


def test_a_packed_file_is_unpacked_and_a_bomb_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = series(tmp_path, count=1)[0]
    packed = tmp_path / "a.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert np.array_equal(read(packed).samples, read(path).samples)
    packed.write_bytes(packed.read_bytes()[:-40])
    assert refusal(packed) == "is corrupt or truncated"
    bomb = made(np.zeros((1024, 1024), np.uint16))
    (tmp_path / "b.gz").write_bytes(gzip.compress(write(bomb, tmp_path / "b").read_bytes()))
    monkeypatch.setattr("brainssl.data.volumes.dicom_files.MAX_FILE_BYTES", 100_000)
    assert "larger than the limit of 100,000 bytes" in refusal(tmp_path / "b.gz")
    assert "larger than the limit" in refusal(tmp_path / "b")


def test_what_is_too_large_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    paths = series(tmp_path, count=3)
    assert "more voxels than the limit" in refusal(*paths, max_voxels=3 * 12 * 16 - 1)
    read(*paths, max_voxels=3 * 12 * 16)
    assert "more slices than the limit of 2" in refusal(*paths, max_slices=2)
    claims = made(np.zeros((4, 4), np.uint16), Rows=60000, Columns=60000)
    assert "more voxels" in refusal(write(claims, tmp_path / "claims"))
    frames = made(np.zeros((4, 4), np.uint16), NumberOfFrames=2_000_000_000)
    assert "number of frames" in refusal(write(frames, tmp_path / "frames"))


def test_a_compressed_frame_of_another_size_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    source = Path(get_testdata_files("MR_small_jp2klossless.dcm")[0])
    dataset = pydicom.dcmread(source)
    data = bytearray(dataset.PixelData)
    at = data.find(b"\xff\x4f\xff\x51")
    data[at + 8 : at + 16] = (60000).to_bytes(4, "big") * 2
    dataset.PixelData = bytes(data)
    assert "another size" in refusal(write(dataset, tmp_path / "a"))


@pytest.mark.parametrize("kind", ["jpeg", *PACKED])
def test_a_compressed_frame_that_ends_early_is_refused(tmp_path: Path, kind: str) -> None:
    down, right = np.mgrid[:40, :48]
    levels = (120 + 60 * np.sin(down / 9) + 50 * np.cos(right / 7)).astype(np.uint8)
    dataset = made(levels)
    if kind == "jpeg":
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        dataset.PixelData = encapsulate([encoded(levels, "JPEG", quality=95)])
        dataset["PixelData"].is_undefined_length = True
    else:
        pytest.importorskip({"j2k": "openjpeg", "jls": "jpeg_ls"}.get(kind, "pydicom"))
        dataset.compress(PACKED[kind])
    read(write(dataset, tmp_path / "whole"))
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1).rstrip(b"\0")
    for share in (0.5, 0.9):
        cut = frame[: int(len(frame) * share)] + b"\xff\xd9"
        dataset.PixelData = encapsulate([cut + b"\0" * (len(cut) % 2)])
        dataset["PixelData"].is_undefined_length = True
        assert refusal(write(dataset, tmp_path / f"{share}"))


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    one = series(tmp_path / "a", count=1)
    other = series(tmp_path / "b", count=1, shape=(8, 8))
    assert "another size" in refusal(*one, *other)
    inverted = series(tmp_path / "c", count=1, PhotometricInterpretation="MONOCHROME1")
    assert "another kind" in refusal(*one, *inverted)


@pytest.mark.parametrize("cut", [0, 3, 140, 300, 700, -2, -100])
def test_a_file_that_is_cut_off_is_refused_in_one_line(tmp_path: Path, cut: int) -> None:
    data = series(tmp_path, count=1, PatientName="Doe^Jane")[0].read_bytes()
    path = tmp_path / "Doe.dcm"
    path.write_bytes(data[:cut])
    assert "Doe" not in refusal(path)


def test_other_files_and_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no image at all, but longer than a header " * 9)
    assert refusal(tmp_path / "text") == "is not DICOM"
    assert "cannot be opened" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")
    assert "cannot be opened" in refusal(tmp_path / "absent")


def test_damaged_bytes_give_pixels_or_one_line_without_words_of_the_header(tmp_path: Path) -> None:
    data = series(tmp_path, count=1, PatientName="Doe^Jane", PatientID="ID-Doe")[0].read_bytes()
    generator = np.random.default_rng(5)
    refused = 0
    for _ in range(150):
        hurt = bytearray(data)
        for at in generator.integers(132, 900, 6):
            hurt[at] = generator.integers(256)
        path = tmp_path / "hurt"
        path.write_bytes(hurt)
        told = outcome(path)
        refused += isinstance(told, str)
        assert "Doe" not in str(told)
    assert refused > 5


CORPUS = sorted(
    path
    for path in (Path(pydicom.__file__).parent / "data" / "test_files").rglob("*")
    if path.is_file() and "TINY_ALPHA" not in path.parts
)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_every_file_that_pydicom_brings_is_read_or_refused_in_one_line(path: Path) -> None:
    assert len(CORPUS) > 100
    told = outcome(path)
    if isinstance(told, str):
        assert told.startswith("v: ")
        assert "\n" not in told
    else:
        assert told.samples.dtype == np.float32
        assert np.isfinite(told.samples).all()


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "MR_small_expb.dcm",
        "MR_small_padded.dcm",
        "zipMR.gz",
    ],
)
def test_one_image_is_the_same_in_every_syntax(name: str) -> None:
    folder = next(path for path in CORPUS if path.name == "MR_small.dcm").parent
    stored = pydicom.dcmread(folder / "MR_small.dcm").pixel_array
    assert np.array_equal(read(folder / name).samples[0], stored)


def test_a_file_of_endless_elements_is_refused_before_they_are_all_read(tmp_path: Path) -> None:
    """Zeros are elements of no length: a gigabyte of them, packed, is a small file."""
    file = write(made(pattern((8, 8))), tmp_path / "a.dcm")
    pixels = file.read_bytes().index(b"\xe0\x7f\x10\0")
    file.write_bytes(file.read_bytes()[:pixels] + bytes(8 * MAX_ELEMENTS + 8))
    assert "more elements than the limit" in refusal(file)
    with pytest.raises(UnreadableImage, match="more elements than the limit"):
        header_alone(file, "a", [0x00080016])
