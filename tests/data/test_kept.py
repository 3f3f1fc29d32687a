"""Reading that was killed goes on; what changed meanwhile is read anew, and two never mix."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from oracles.heads import bids
from oracles.scans import scan as dicom_series
from PIL import Image

from brainssl.data.archives.pseudonyms import make_key
from brainssl.data.kept import Kept, digest_of_sources
from brainssl.data.look import Seen, look
from brainssl.data.read import UnreadableImage
from brainssl.data.scan import kept_beside
from brainssl.data.volumes.origin import SeenVolume, VolumeOrigin
from brainssl.data.volumes.volume import VolumeRef
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.locks import BusyError

KILLED = """
import json, os, signal, sys
from pathlib import Path
import brainssl
from brainssl.data import prepare as preparing
from brainssl.data.kept import Kept
from brainssl.data.store import ImageStore, is_store
from brainssl.foundation.errors import BrainsslError

source, whole, out = map(Path, sys.argv[1:4])
asked, moments = map(json.loads, sys.argv[4:])
preparing._NOTED = 0.0

def run(out, target=None, name=None, at=0):
    child = os.fork()
    if child == 0:
        calls, plain = [], target and getattr(target, name)
        def counted(*args):
            answer = plain(*args)
            calls.append(1)
            if len(calls) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer
        if target:
            setattr(target, name, counted)
        brainssl.prepare(source, out, size=32, quiet=True, **asked)
        os._exit(0)
    return os.waitpid(child, 0)[1]

def opens(folder):
    try:
        return is_store(folder) or bool(ImageStore.open(folder))
    except BrainsslError:
        return False

told = {"whole": run(whole), "killed": [], "left": []}
for target, name, at in zip([Kept, Kept, preparing], ["_put", "_put", "_flush"], moments):
    told["killed"].append(run(out, target, name, at))
    told["left"].append(out.exists() or opens(out.with_name(f".{out.name}.partial")))
log = out.with_name(f".{out.name}.reading.partial") / "log"
told["log"] = log.stat().st_size
rows = out.with_name(f".{out.name}.partial") / ".rows.json"
told["rows"] = json.loads(rows.read_text())
told["last"] = run(out)
print(json.dumps(told))
"""


def hospital(folder: Path) -> Path:
    """Six DICOM series of three patients."""
    for number in range(6):
        told = {"PatientID": f"H-{number // 2}", "SeriesInstanceUID": f"1.2.{number}"}
        name = f"t{number % 2 + 1}_se_tra"
        dicom_series(folder / str(number), seed=number, SeriesDescription=name, **told)
    return folder


@pytest.mark.parametrize(
    ("kind", "moments"),
    [
        ("png", (10, 14)),
        ("nii", (3, 3)),
        pytest.param("dcm", (3, 3), marks=pytest.mark.thorough),
    ],
)
def test_a_prepare_that_was_killed_goes_on_and_makes_the_same_bytes(
    kind, moments, image_folder, tmp_path
):
    """Killed after some images or volumes, after the last of them, and as the store is written."""
    made = [tmp_path / "whole", tmp_path / "out"]
    source, asked = image_folder, {"slices": 4, "label_by": "sequence"}
    if kind == "png":
        asked.clear()
    elif kind == "nii":
        source = bids(tmp_path / "source", patients=3)
    else:
        source = hospital(tmp_path / "source")
        asked["key"] = str(tmp_path / "key")
        make_key(tmp_path / "key")
    before = sorted(file.name for file in tmp_path.iterdir())
    answer = subprocess.run(
        [sys.executable, "-c", KILLED, source, *made, json.dumps(asked), json.dumps([*moments, 9])],
        capture_output=True,
        check=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    told = json.loads(answer.stdout)
    assert (told["whole"], told["last"]) == (0, 0), answer.stderr
    assert told["killed"] == [9, 9, 9]
    assert told["left"] == [False, False, False], "no half-made store is one"
    assert told["log"] > 24 * 4096, "24 images, all of them seen"
    assert told["rows"] == 8, "the ninth was written, but not yet said to be"
    whole, out = ({file.name: file.read_bytes() for file in store.iterdir()} for store in made)
    assert whole == out
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*before, "out", "whole"])


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Four pictures, in a folder that is called after somebody."""
    (tmp_path / "Mustermann").mkdir()
    found = [tmp_path / "Mustermann" / f"{number}.png" for number in range(4)]
    generator = np.random.default_rng(0)
    for file in found:
        Image.fromarray(generator.integers(0, 255, (40, 40), dtype=np.uint8)).save(file)
    return found


def cut_short(kept: Kept, files: list[Path]) -> list[Seen | UnreadableImage]:
    """Read files, and be interrupted before the log is done with."""
    with pytest.raises(KeyboardInterrupt), kept:
        found = list(kept.in_order(look, files, workers=1))
        raise KeyboardInterrupt
    return found


def alike(one: Seen, other: Seen) -> bool:
    names = {field.name for field in fields(Seen)} - {"fingerprint"}
    same = all(getattr(one, name) == getattr(other, name) for name in names)
    return same and bool((one.fingerprint == other.fingerprint).all())


def test_what_was_read_is_taken_and_what_changed_is_read_anew(files, tmp_path):
    first = cut_short(kept_beside(tmp_path / "store"), files[:3])
    log = tmp_path / ".store.reading.partial" / "log"
    assert b"Mustermann" not in log.read_bytes()
    assert log.parent.stat().st_mode & 0o077 == 0
    data = files[1].read_bytes()
    files[1].write_bytes(data)
    os.utime(files[1], ns=(0, 0))
    kept = kept_beside(tmp_path / "store")
    second = cut_short(kept, files)
    assert kept.taken == 2, "files 0 and 2"
    assert all(map(alike, first, second))
    log.write_bytes(log.read_bytes()[:-5])  # as if killed while the last was written
    with (kept := kept_beside(tmp_path / "store")):
        third = list(kept.in_order(look, files, workers=1))
        assert kept.taken == 3
    assert all(map(alike, second, third))
    assert not log.parent.exists(), "what is done leaves nothing"


def test_what_cannot_be_read_is_tried_again_and_an_error_leaves_nothing(files, tmp_path):
    good = files[2].read_bytes()
    files[2].write_bytes(b"")
    assert isinstance(cut_short(kept_beside(tmp_path / "store"), files)[2], UnreadableImage)
    files[2].write_bytes(good)
    kept = kept_beside(tmp_path / "store")
    with pytest.raises(BrainsslError, match="mend it"), kept:
        assert isinstance(list(kept.in_order(look, files, workers=1))[2], Seen)
        assert kept.taken == 3
        raise BrainsslError("mend it")
    assert not kept.folder.exists()


def test_two_at_once_are_refused_in_one_line(tmp_path):
    with (
        kept_beside(tmp_path / "store"),
        pytest.raises(BusyError, match=r"^another process is at work in .*: wait for it$"),
        kept_beside(tmp_path / "store"),
    ):
        pass


def test_a_volume_comes_back_as_it_was_seen(files, tmp_path):
    ref, mask = (VolumeRef("nifti", (file,), "series 1", volume=1) for file in files[:2])
    image = look(files[3])
    assert isinstance(image, Seen)
    origin = VolumeOrigin(ref, (2, 3), "axial", mask)
    middle = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    seen = SeenVolume(origin, (image, image), (0.1, None), True, 9, (0.1, 2 / 3), middle)

    def read(_: tuple[VolumeRef, VolumeRef]) -> SeenVolume:
        return seen

    for taken in (0, 1):
        kept = Kept(tmp_path / "log", (Seen, SeenVolume, VolumeOrigin))
        with pytest.raises(KeyboardInterrupt), kept:
            (found,) = kept.in_order(read, [(ref, mask)])
            raise KeyboardInterrupt
        assert kept.taken == taken
    assert found is not seen
    assert (found.origin, found.lesions, found.spacing) == (origin, (0.1, None), (0.1, 2 / 3))
    assert (found.has_lesion, found.held, found.slices[1].flags) == (True, 9, image.flags)
    assert all(map(alike, found.slices, seen.slices))
    np.testing.assert_array_equal(found.middle, middle, strict=True)
    before = digest_of_sources([origin])
    os.utime(files[1], ns=(0, 0))
    assert digest_of_sources([origin]) != before, "the mask changed"
