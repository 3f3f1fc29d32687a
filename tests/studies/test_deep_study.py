"""A study whose store has 16 bits a pixel, from simulated patients to its report."""

import json
from pathlib import Path

import numpy as np
import pytest
from oracles.small_plan import FAST, small_plan

import brainssl
from brainssl.data.store import ImageStore
from brainssl.foundation.progress import Terminal
from brainssl.studies.run import Study

FRACTIONS = ("split.val_fraction=0.2", "split.test_fraction=0.2", "probe.epochs=5")


@pytest.mark.thorough
def test_a_study_of_16_bits_says_so_in_its_report(tmp_path: Path) -> None:
    brainssl.phantom(tmp_path / "phantom", patients=8, size=64, quiet=True)
    plan = small_plan(tmp_path / "phantom", (*FAST, *FRACTIONS), bits=16)
    out = tmp_path / "out"
    Study(plan, out, Terminal(quiet=True)).run()
    store = ImageStore.open(out / "store")
    assert (store.images.dtype, store.size) == (np.uint16, 32)
    assert len(np.unique(store.images)) > 256, "more than 8 bits would tell apart"
    study = json.loads((out / "results.json").read_text("utf-8"))["study"]
    assert (study["bits"], study["simulated"]) == (16, True)
    assert "kept with 16 bits, 65,536 levels" in (out / "report.html").read_text("utf-8")
