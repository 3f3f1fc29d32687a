"""Flips are what they say, and the figures of the page are those of the file."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainssl.data.store import ImageStore

ROOT = Path(__file__).parents[2]


def script() -> Any:
    spec = importlib.util.spec_from_file_location("bench", ROOT / "benchmarks" / "review.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("by", ["group", "image"])
def test_a_tenth_is_flipped_and_no_more_than_a_group_beyond(
    by: str, shared_store: ImageStore
) -> None:
    labels, wrong = script().flipped(shared_store, by, 0)
    known = shared_store.labels >= 0
    assert 0 <= wrong.sum() - round(0.1 * known.sum()) < 3
    assert (labels[wrong] != shared_store.labels[wrong]).all()
    assert (labels[~wrong] == shared_store.labels[~wrong]).all()
    assert not wrong[~known].any()
    if by == "group":
        groups = shared_store.manifest["group"].to_numpy()
        cells = groups * 3 + shared_store.labels
        assert not set(cells[wrong]) & set(cells[~wrong & known])
    assert (script().flipped(shared_store, by, 0)[0] == labels).all()
    assert not np.array_equal(script().flipped(shared_store, by, 1)[1], wrong)


def test_the_page_shows_the_figures_of_the_file() -> None:
    rows = json.loads((ROOT / "results/review-phantom.json").read_text("utf-8"))["rows"]
    page = (ROOT / "docs/how-to/review-labels.md").read_text("utf-8")
    block = page.partition("<!-- review: figures")[2].partition("<!-- review: end -->")[0]
    shown = [line.strip("| ").split(" | ") for line in block.splitlines() if line[:2] == "| "][1:]
    assert len(shown) == len(rows) > 1
    for cells, row in zip(shown, rows, strict=True):
        first = " / ".join(f"{100 * row['precision'][n]:.0f}" for n in ("20", "50", "100"))
        found = row["at_flipped"]
        assert cells == [
            row["by"],
            str(row["seed"]),
            f"{100 * row['accuracy_on_true_labels']:.0f}",
            "–" if found is None else first,
            "–" if found is None else f"{100 * found:.0f}",
            f"{100 * row['estimated_share']:.0f}",
            f"{100 * row['true_share']:.0f}",
        ]
