"""A sample of what the world may give, by the command and by the service.

`benchmarks/odd_files.py` gives all of it, and bounds time and memory.
"""

import json
import math
from collections import Counter
from pathlib import Path

import pytest
from oracles.odd_files import NAMES, odd_files, sampled
from oracles.odd_pictures import brain, pictures, saved
from oracles.services import Inside
from typer.testing import CliRunner

from brainssl.cli import app

FILES = odd_files()
MET_WRONGLY = (  # once
    *("gzip-damaged.nii", "gzip-head-alone.png", "gzip-cut.dcm", "missing-BitsStored.dcm"),
    *("plain-nifti-with-the-suffix-of-a-picture.png", "picture-with-the-sign-of-dicom.png"),
)
SAMPLE = sampled([one for one in FILES if isinstance(one.made, bytes)], 34)
SAMPLE += [one for one in FILES if one.name in MET_WRONGLY and one not in SAMPLE]


def test_there_are_many_and_the_same_each_time() -> None:
    assert len(FILES) >= 200
    for one, again in zip(FILES, pictures(), strict=False):
        assert one.name == again.name
        assert one.made == again.made or not isinstance(one.made, bytes), one.name
    assert min(Counter(one.must for one in SAMPLE).values()) >= 5


def test_the_command_answers_or_says_of_which_file_why_not(tuned: Path, tmp_path: Path) -> None:
    """All at once, so that one neither hides nor hurts another."""
    pytest.importorskip("nibabel")
    pytest.importorskip("pydicom")
    (tmp_path / "pipe.png").symlink_to("/dev/zero")
    for one in SAMPLE:
        path = tmp_path / one.name
        path.write_bytes(one.data)
        said = CliRunner().invoke(app, ["predict", str(tuned), "--json", "--", str(path)])
        assert said.exception is None or isinstance(said.exception, SystemExit), one.name
        if said.exit_code == 0:
            rows = json.loads(said.stdout)["predictions"]
            assert all(math.isfinite(row["probability"]) for row in rows), one.name
            assert one.must != "broken", one.name
        else:
            assert said.exit_code == 1
            assert one.must != "whole", (one.name, said.stderr)
            assert str(path) in said.stderr.splitlines()[-1], one.name


def test_the_service_answers_or_says_why_not_and_lives(inside: Inside) -> None:
    for one in SAMPLE:
        answer = inside.predict((one.name, one.data))
        assert answer.status_code in (200, 413, 415, 422), one.name
        assert "\n" not in answer.text
        assert one.must != ("broken" if answer.status_code == 200 else "whole"), one.name
        assert answer.status_code == 200 or answer.json()["error"], one.name
    assert inside.predict(("good.png", saved(brain()))).status_code == 200


@pytest.mark.parametrize("link", ["/dev/zero", "/proc/self/mem", "gone.png", "loop.png", "."])
def test_a_link_to_what_is_no_file_is_refused(tuned: Path, tmp_path: Path, link: str) -> None:
    path = tmp_path / "loop.png"
    path.symlink_to(link)
    said = CliRunner().invoke(app, ["predict", str(tuned), str(path)])
    assert said.exit_code == 1
    assert str(path) in said.stderr


def test_names_are_no_matter(tuned: Path, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in NAMES]
    for path in paths:
        path.write_bytes(saved(brain()))
    words = ["predict", str(tuned), "--json", "--", *map(str, paths)]
    said = CliRunner().invoke(app, words)
    assert said.exit_code in (0, 1)
    assert "Traceback" not in said.output
