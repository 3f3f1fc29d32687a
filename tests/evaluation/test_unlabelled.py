"""What was said of images without label comes back as it was written; the choice is even."""

from pathlib import Path

import numpy as np
import pytest

from brainssl.evaluation.unlabelled import Unlabelled
from brainssl.foundation.errors import BrainsslError


def test_a_file_holds_everything(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    said = Unlabelled(tuple("abcde"), np.array([3, 3, 1, 2, 1]), logits, ("A T1", "é", "logit:x"))
    said.save(tmp_path / "said.parquet")
    read = Unlabelled.load(tmp_path / "said.parquet")
    assert (read.image_ids, read.classes) == (said.image_ids, said.classes)
    assert np.array_equal(read.groups, said.groups)
    assert np.array_equal(read.logits, logits)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "said.parquet").write_bytes(b"nonsense")
    for name in ("said.parquet", "none.parquet"):
        with pytest.raises(BrainsslError, match=f"{name} is missing or damaged"):
            Unlabelled.load(tmp_path / name)
