"""Files whose names are not UTF-8 are written and read as any others."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.plain_names import is_plain, plainly, read_frame
from brainssl.foundation.storage import whole_folder, write_atomically
from brainssl.models.tensor_files import read_tensors, write_tensors

ODD = os.fsdecode(b"caf\xe9")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / ODD
    folder.mkdir()
    return folder


def test_a_plain_name_is_taken_as_it_is(tmp_path: Path) -> None:
    with plainly(tmp_path / "ż.txt") as path:
        assert path == tmp_path / "ż.txt"


def test_an_odd_name_is_reached_by_a_link_that_goes_with_the_block(home: Path) -> None:
    (home / "a.txt").write_text("here")
    with plainly(home / "a.txt") as path:
        assert is_plain(path)
        assert path.suffix == ".txt"
        assert path.read_text() == "here"
    assert not path.exists()
    assert (home / "a.txt").read_text() == "here"


def test_frames_are_written_and_read(home: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    file = home / f"{ODD}.parquet"
    write_atomically(file, lambda beside: frame.to_parquet(beside, index=False))
    pd.testing.assert_frame_equal(read_frame(file), frame)
    assert list(read_frame(file, columns=("b",))) == ["b"]
    assert [entry.name for entry in home.iterdir()] == [file.name]


def test_weights_are_written_and_read(home: Path) -> None:
    file = home / "encoder.safetensors"
    write_tensors(file, {"w": torch.arange(3.0)}, "brainssl-encoder", 1, {"name": "n"})
    tensors, described = read_tensors(file, "brainssl-encoder")
    assert tensors["w"].tolist() == [0, 1, 2]
    assert described == {"name": "n"}


def test_predictions_are_written_and_read(home: Path) -> None:
    logits = np.eye(2, dtype=np.float32)
    made = Predictions.build(["a", "b"], np.arange(2), ["test"] * 2, np.arange(2), logits, "xy")
    made.save(home / "predictions.parquet")
    pd.testing.assert_frame_equal(Predictions.load(home / "predictions.parquet").frame, made.frame)


def test_a_folder_is_made_through_a_plain_name(home: Path) -> None:
    with whole_folder(home / "made") as folder:
        assert is_plain(folder)
        (folder / "a.txt").write_text("whole")
    assert (home / "made" / "a.txt").read_text() == "whole"
    assert sorted(entry.name for entry in (home / "made").iterdir()) == ["a.txt", "digests.json"]
