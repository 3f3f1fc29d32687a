"""A study with an extra folder: each fold leaves out what resembles its own held images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles.small_plan import FAST, small_plan
from PIL import Image

from brainssl.data.split import Split
from brainssl.data.store import ImageStore
from brainssl.evaluation.unlabelled import UNLABELLED
from brainssl.foundation.progress import Terminal
from brainssl.studies.run import Study

FOLDS = 2


@pytest.fixture(scope="module")
def finished(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of sixteen extra images eight are copies of the collection's."""
    folder = tmp_path_factory.mktemp("extra")
    more, out = folder / "more", folder / "out"
    more.mkdir()
    generator = np.random.default_rng(100)
    for number, file in enumerate(sorted(shared_folder.rglob("*.png"))[::3]):
        Image.open(file).save(more / f"copy {number}.png")
        pixels = generator.integers(0, 256, (24, 20), dtype=np.uint8)
        Image.fromarray(pixels).save(more / f"other {number}.png")
    plan = small_plan(shared_folder, FAST, unlabelled=(more,), folds=FOLDS)
    Study(plan, out, Terminal(quiet=True)).run()
    return out


def results(out: Path) -> dict[str, Any]:
    held: dict[str, Any] = json.loads((out / "results.json").read_text("utf-8"))
    return held


def test_each_fold_tells_what_it_leaves_out(finished: Path) -> None:
    study = results(finished)["study"]
    assert study["failed"] == []
    manifest = ImageStore.open(finished / "store").manifest
    by_id = manifest.set_index("image_id")
    for fold in range(1, FOLDS + 1):
        split = Split.load(finished / "splits" / f"grouped-k{fold}of{FOLDS}.json")
        held = set(by_id["pixels"][[*split.val, *split.test]])
        copies = by_id["path"].str.contains("copy") & by_id["pixels"].isin(held)
        assert copies.any()
        assert set(by_id.index[copies]) <= set(split.left_out)
        told = f"Of 16 extra images {len(split.left_out)} are left out of pretraining"
        assert split.warnings[-1].startswith(told)
        assert any(told in warning for warning in study["warnings"])
    assert "extra images" in (finished / "report.html").read_text("utf-8")
    notes = study["audit"]["notes"]
    assert any(note.startswith("16 images of more/ joined for pretraining alone") for note in notes)
    assert study["audit"]["images"] == 24
    assert study["audit"]["extra"] == {"more": 16}
    told = "Images without a label are used for pretraining only: 0 in the source, and beside it 16"
    for page in ("report.html", "model-card.md"):
        assert f"{told} in more/." in (finished / page).read_text("utf-8")


def test_pretraining_sees_them_and_nothing_else_does(finished: Path) -> None:
    steps = finished / "steps"
    split = Split.load(finished / "splits" / f"grouped-k1of{FOLDS}.json")
    assert split.unlabelled
    assert len(split.unlabelled) + len(split.left_out) == 16
    assert list(steps.glob(f"*/{UNLABELLED}")) == []
    rows = [row for row in results(finished)["rows"] if row["fold"] == "all"]
    assert {row["n"] for row in rows if row["split"] == "test"} == {24}
