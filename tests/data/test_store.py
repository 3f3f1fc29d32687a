"""Stores: whole or absent, verified on opening, of bounded memory; and the letterbox."""

import errno
import json
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from brainssl.data.duplicates import Pairs
from brainssl.data.marks import known
from brainssl.data.prepare import prepare, write_store
from brainssl.data.read import Slice, read_slice
from brainssl.data.scan import Scan, scan
from brainssl.data.store import ImageStore, is_store, letterbox
from brainssl.evaluation.appearance import appearance
from brainssl.foundation.errors import BrainsslError

# Preparing


def test_where_there_is_no_room_it_says_so_before_it_writes(image_folder, tmp_path, monkeypatch):
    """Written through a map, a file that does not fit kills the process without a word."""

    def full(descriptor: int, begin: int, size: int) -> None:
        assert size > 24 * 32 * 32
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(BrainsslError, match=r"store: there is no room for its 0 MiB of images"):
        prepare(scan(image_folder), tmp_path / "store", size=32)
    assert not (tmp_path / "store").exists()


def test_every_slice_is_decoded_letterboxed_and_described(image_folder, tmp_path):
    found = scan(image_folder)
    store = prepare(found, tmp_path / "store", size=32)
    assert store.images.shape == (24, 32, 32)
    assert store.images.dtype == np.uint8
    assert store.size == 32
    assert store.classes == ("Glioma T1", "Glioma T2", "Normal T1")
    for row, path in enumerate(store.manifest["path"]):
        expected = letterbox(read_slice(image_folder / path).pixels, 32)
        assert (store.images[row] == expected).all()
    for column in found.manifest:
        kept, scanned = store.manifest[column], found.manifest[column]
        assert (kept.isna() == scanned.isna()).all()
        assert kept.dropna().tolist() == scanned.dropna().tolist()
    assert store.manifest["group"].dtype == np.int64


def test_a_store_of_16_bits_keeps_what_8_would_round_away(image_folder, tmp_path):
    found = scan(image_folder)
    deep = prepare(found, tmp_path / "deep", size=32, bits=16)
    plain = prepare(found, tmp_path / "plain", size=32)
    assert (deep.images.dtype, deep.bits, plain.bits) == (np.uint16, 16, 8)
    assert ImageStore.open(deep.path).images.nbytes == 2 * plain.images.nbytes
    for row, path in enumerate(found.manifest["path"]):
        pixels = read_slice(image_folder / path).pixels
        np.testing.assert_array_equal(deep.images[row], letterbox(pixels, 32, 16))
    assert (np.abs(deep.images / 257 - plain.images) <= 0.5).all()
    assert len(np.unique(deep.images)) > 256
    np.testing.assert_allclose(appearance(deep.images), appearance(plain.images), atol=0.02)
    assert known(deep.marks, plain.marks).all()
    told = [json.loads((one.path / "store.json").read_text()) for one in (plain, deep)]
    assert [one["version"] for one in told] == [1, 2], "who knows 8 bits alone refuses 16"
    assert "bits" not in told[0]
    with pytest.raises(BrainsslError, match=r"16 bits a pixel.*prepare a store with --bits 8"):
        deep.require_bits(8)


def test_near_duplicates_are_kept_with_the_store(image_folder, tmp_path):
    found = scan(image_folder)
    found.pairs = Pairs(np.array([0, 3]), np.array([5, 4]), np.array([0.84, 0.91], np.float32))
    store = prepare(found, tmp_path / "store", size=16)
    near = ImageStore.open(store.path).near
    assert (near.left.tolist(), near.right.tolist()) == ([3], [4])
    assert near.similarity.tolist() == found.pairs.similarity[1:].tolist()
    file = store.path / "near-duplicates.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(BrainsslError, match="prepare the store again"):
        ImageStore.open(store.path).near  # noqa: B018
    file.unlink()
    assert ImageStore.open(store.path).near is None, "as in a store of before"


@pytest.mark.parametrize("reader", [1, 2])
def test_a_store_says_by_which_version_it_was_read(image_folder, tmp_path, reader):
    made = prepare(scan(image_folder, reader=reader), tmp_path / "store", size=32)
    assert ImageStore.open(made.path).reader == reader
    first = image_folder / made.manifest["path"][0]
    expected = letterbox(read_slice(first, reader=reader).pixels, 32)
    np.testing.assert_array_equal(made.images[0], expected)
    made.require_reader(reader)
    with pytest.raises(BrainsslError, match=f"prepare a store with --reader {3 - reader}"):
        made.require_reader(3 - reader)
    if reader == 2:
        made.require_reader(3)  # which reads pictures alike


def test_a_store_of_before_is_of_version_1(store):
    """Its facts say nothing of it."""
    assert store.reader == 1


def test_what_was_left_out_is_kept_with_the_store(image_folder, tmp_path):
    (image_folder / "Normal T1" / "broken.png").write_bytes(b"no image")
    found = scan(image_folder)
    store = ImageStore.open(prepare(found, tmp_path / "store", size=16).path)
    assert store.facts["images"] == 24
    assert store.facts["unreadable"] == [list(pair) for pair in found.unreadable]
    assert store.facts["unreadable"][0][0] == "Normal T1/broken.png"
    assert store.facts["notes"] == found.notes


def test_the_same_files_make_the_same_store(image_folder, tmp_path):
    stores = [prepare(scan(image_folder), tmp_path / name, size=16) for name in "ab"]
    assert stores[0].checksum == stores[1].checksum


def test_progress_counts_every_image(image_folder, tmp_path):
    calls = []
    prepare(scan(image_folder), tmp_path / "s", size=16, progress=lambda *call: calls.append(call))
    assert calls == [(number, 24) for number in range(1, 25)]


def test_a_store_is_never_overwritten(store, image_folder):
    before = store.checksum
    with pytest.raises(BrainsslError, match="exists already"):
        prepare(scan(image_folder), store.path, size=16)
    assert ImageStore.open(store.path).checksum == before


def test_a_file_that_became_unreadable_is_named_and_leaves_no_store(image_folder, tmp_path):
    found = scan(image_folder)
    (image_folder / "Glioma T2" / "slice 3.png").write_bytes(b"")
    with pytest.raises(BrainsslError, match="slice 3"):
        prepare(found, tmp_path / "store", size=16)
    assert not is_store(tmp_path / "store")
    (image_folder / "Glioma T2" / "slice 3.png").unlink()
    assert len(prepare(scan(image_folder), tmp_path / "store", size=16).images) == 23


@pytest.mark.parametrize("count", [59, 61])
def test_fewer_or_more_images_than_rows_are_an_error(store, tmp_path, count):
    pixels = iter(np.zeros((count, 32, 32), np.uint8))
    with pytest.raises(ValueError, match="zip"):
        write_store(tmp_path / "other", store.manifest, pixels, size=32, facts={})
    assert not is_store(tmp_path / "other")


def test_memory_does_not_grow_with_the_number_of_images(image_folder, tmp_path, monkeypatch):
    """Decoded or letterboxed, all of the larger number would take more than 8 MiB."""
    found = scan(image_folder)
    monkeypatch.setattr(
        "brainssl.data.origins.read_slice",
        lambda _, reader: Slice(np.zeros((50, 50), np.float32), (), 8, ()),
    )
    peaks = []
    for count in (64, 256, 2560):
        rows = found.manifest.iloc[np.arange(count) % 24].reset_index(drop=True)
        origins = [found.origins[row % 24] for row in range(count)]
        tracemalloc.start()
        prepare(Scan(found.root, rows, [], [], origins=origins), tmp_path / f"{count}", size=64)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 2 * 2**20


KILLED = """
import json, os, random, signal, sys, time
from pathlib import Path
from brainssl.data.scan import scan
from brainssl.data.prepare import prepare
from brainssl.data.store import ImageStore, is_store
from brainssl.foundation.errors import BrainsslError

out, found = Path(sys.argv[2]), scan(Path(sys.argv[1]))

def run(seconds=None, image=None):
    child = os.fork()
    if child == 0:
        def count(done, total):
            if done == image:
                os.kill(os.getpid(), signal.SIGKILL)
        prepare(found, out, size=64, progress=count)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0

started = time.perf_counter()
assert run()
whole = time.perf_counter() - started
checksum = ImageStore.open(out).checksum
moments, killed, wrong = random.Random(0), 0, []
for number in range(30):
    out = out.with_name(f"out{number}")
    finished = run(whole * moments.random()) if number % 2 else run(image=moments.randint(1, 24))
    killed += not finished
    if is_store(out):  # killed after the rename, or not at all
        wrong += [number] if ImageStore.open(out).checksum != checksum else []
        continue
    wrong += [number] if out.exists() else []
    try:
        ImageStore.open(out)
        wrong.append(number)
    except BrainsslError:
        pass
    if number % 6 < 2:  # and preparing again works, over what is left of the killed one
        wrong += [] if run() and ImageStore.open(out).checksum == checksum else [number]
print(json.dumps({"killed": killed, "wrong": wrong}))
"""


def test_a_prepare_killed_at_any_moment_leaves_no_store_that_opens(image_folder, tmp_path):
    answer = subprocess.run(
        [sys.executable, "-c", KILLED, str(image_folder), str(tmp_path / "out")],
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    result = json.loads(answer.stdout)
    assert result["wrong"] == []
    assert result["killed"] >= 15


def test_without_its_last_file_a_folder_is_no_store(store):
    (store.path / "store.json").unlink()
    assert not is_store(store.path)
    with pytest.raises(BrainsslError, match=r"store\.json is missing"):
        ImageStore.open(store.path)


# Opening


def test_an_opened_store_is_the_written_one(store):
    opened = ImageStore.open(store.path)
    assert is_store(store.path)
    assert (opened.images == store.images).all()
    pd.testing.assert_frame_equal(opened.manifest, store.manifest)
    assert opened.checksum == store.checksum
    assert opened.manifest["label"].isna().sum() == 6


def test_images_are_mapped_and_changes_do_not_reach_the_file(store):
    assert isinstance(store.images, np.memmap)
    store.images[0] = 77
    assert ImageStore.open(store.path).images[0].min() != 77


@pytest.mark.parametrize("name", ["images.npy", "manifest.parquet"])
def test_one_altered_byte_is_refused(store, name):
    file = store.path / name
    content = file.read_bytes()
    places = np.random.default_rng(0).integers(len(content), size=40)
    for place in [0, 5, 9, len(content) - 1, *places.tolist()]:
        altered = bytearray(content)
        altered[place] ^= 1
        file.write_bytes(altered)
        with pytest.raises(BrainsslError, match="altered") as raised:
            ImageStore.open(store.path)
        assert "\n" not in str(raised.value)
    file.write_bytes(content)
    ImageStore.open(store.path)


@pytest.mark.parametrize("name", ["images.npy", "manifest.parquet"])
@pytest.mark.parametrize("change", ["missing", "cut", "longer", "empty"])
def test_an_incomplete_store_is_refused(store, name, change):
    file = store.path / name
    content = file.read_bytes()
    if change == "missing":
        file.unlink()
    else:
        file.write_bytes({"cut": content[:-1], "longer": content + b"0", "empty": b""}[change])
    with pytest.raises(BrainsslError, match="prepare it again"):
        ImageStore.open(store.path)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"version": 4}, "upgrade brainssl"),
        ({"format": "brainssl-split"}, "not an ImageStore"),
        ({"checksum": "0" * 64}, "altered"),
        ({"checksum": None}, "altered"),
        ({"version": None}, "damaged"),
    ],
)
def test_a_newer_or_other_store_is_refused(store, facts, says):
    file = store.path / "store.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | facts))
    with pytest.raises(BrainsslError, match=says):
        ImageStore.open(store.path)


@pytest.mark.parametrize("text", ["[]", "3", '{"format": "brainssl-store"}', "{"])
def test_a_description_that_is_none_is_refused(store, text):
    (store.path / "store.json").write_text(text)
    with pytest.raises(BrainsslError):
        ImageStore.open(store.path)


def test_a_folder_of_images_is_no_store(image_folder):
    assert not is_store(image_folder)
    for path in (image_folder, image_folder / "Normal T1" / "slice 0.png"):
        with pytest.raises(BrainsslError, match=r"store\.json"):
            ImageStore.open(path)


def test_the_size_that_training_needs_is_required(store):
    store.require_size(32)
    with pytest.raises(BrainsslError, match="--size 64"):
        store.require_size(64)


# Letterbox


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([16, 31, 64]), st.integers(1, 255))
def test_the_aspect_is_kept_the_picture_centred_and_a_constant_stays(height, width, size, grey):
    square = letterbox(np.full((height, width), np.float32(grey / 255)), size)
    assert square.shape == (size, size)
    assert square.dtype == np.uint8
    assert set(np.unique(square)) <= {0, grey}
    rows, columns = np.flatnonzero(square.any(axis=1)), np.flatnonzero(square.any(axis=0))
    h, w = len(rows), len(columns)
    assert (square[np.ix_(rows, columns)] == grey).all()
    assert max(h, w) == size
    assert abs(h - size * height / max(height, width)) <= (1 if h == 1 else 0.5)
    assert abs(w - size * width / max(height, width)) <= (1 if w == 1 else 0.5)
    for filled in (rows, columns):
        assert abs(filled[0] - (size - 1 - filled[-1])) <= 1


@pytest.mark.parametrize("shape", [(40, 40), (40, 25), (11, 40)])
def test_pixels_are_exact_where_the_sizes_match(shape):
    grey = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    square = letterbox(grey.astype(np.float32) / np.float32(255), 40)
    top, left = (40 - shape[0]) // 2, (40 - shape[1]) // 2
    assert (square[top : top + shape[0], left : left + shape[1]] == grey).all()
    assert square.sum() == grey.sum()


def test_grey_values_are_rounded_and_kept_in_range():
    pixels = np.array([[-0.5, 1.5], [0.4 / 255, 0.6 / 255]], np.float32)
    assert letterbox(pixels, 2).tolist() == [[0, 255], [0, 1]]


def test_fine_detail_is_averaged_when_an_image_shrinks():
    """A grid finer than the result must turn grey, not into a coarse moiré of black and white."""
    pixels = (np.indices((256, 256)).sum(axis=0) % 2).astype(np.float32)
    for size in (32, 50):
        square = letterbox(pixels, size).astype(float)
        assert abs(square - 127.5).max() < 12
    plain = Image.fromarray(pixels).resize((50, 50), Image.Resampling.NEAREST)
    assert np.ptp(np.asarray(plain)) == 1  # what it must not look like


def test_shrinking_by_a_whole_factor_keeps_the_mean():
    pixels = np.random.default_rng(0).random((128, 128), dtype=np.float32)
    square = letterbox(pixels, 32).astype(float) / 255
    assert square.mean() == pytest.approx(pixels.mean(), abs=0.005)
    assert square.std() < pixels.std() / 3


def test_a_place_stays_where_it_was():
    """A spot at a known point of the picture lands at the same point of the letterbox."""
    pixels = np.zeros((60, 120), np.float32)
    pixels[12:18, 84:90] = 1
    square = letterbox(pixels, 40).astype(float)
    y, x = np.indices(square.shape)
    centre = [(place * square).sum() / square.sum() for place in (y, x)]
    assert centre == pytest.approx([15 / 3 - 0.5 + 10, 87 / 3 - 0.5], abs=0.2)
