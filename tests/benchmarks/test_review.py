"""Flips are what they say, and the figures of the page are those of the file."""

import importlib.util
import json
from pathlib import Path
from statistics import fmean
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


def test_what_was_found_in_real_labels_is_told_as_measured() -> None:
    """Each pair of copies stands twice; it is told from the side of `Meningioma T1`."""
    found = json.loads((ROOT / "results/review-mri44.json").read_text("utf-8"))
    page = " ".join((ROOT / "docs/how-to/review-labels.md").read_text("utf-8").split())
    pairs = [one for one in found["copies"] if one["label"] == "Meningioma T1"]
    assert {one["other_label"] for one in pairs} == {"Meningioma T1C+"}
    assert 2 * len(pairs) == len(found["copies"]) == found["listed"]["copies"] == 20
    right = sum(one["p_other"] > one["p_label"] for one in pairs)
    ends = [100 * fmean(one[key] for one in pairs) for key in ("p_other", "p_label")]
    assert found["wrong"]["share"] is None
    assert f"They give {100 * found['agreement']:.0f} % of the {found['images']:,} labels" in page
    assert f"most of the {found['listed']['label']:,} images" in page
    assert f"In {right} of {len(pairs)} the models" in page
    assert "likelier: {:.0f} % against {:.0f} in the mean".format(*ends) in page
