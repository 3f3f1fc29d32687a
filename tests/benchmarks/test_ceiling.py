"""The benchmark of what limits accuracy, against what was planted."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brainssl.evaluation.predictions import Predictions

FILE = Path(__file__).parents[2] / "benchmarks" / "ceiling.py"


@pytest.fixture(scope="module")
def bench() -> Any:
    spec = importlib.util.spec_from_file_location("ceiling", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ceiling"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("wrong", [0.0, 0.05, 0.2])
def test_wrong_labels_are_counted_by_copies(bench: Any, wrong: float) -> None:
    """Each label of a pair of copies is replaced by another one with that probability."""
    generator = np.random.default_rng(0)
    truth = np.repeat(generator.integers(0, 100, 4000), 2)
    other = (truth + generator.integers(1, 100, len(truth))) % 100
    labels = np.where(generator.random(len(truth)) < wrong, other, truth)
    manifest = pd.DataFrame(
        {
            "label": [f"Tumour {label} T1" for label in labels],
            "pixels": np.repeat(np.arange(4000), 2).astype(str),
        }
    )
    told = bench.copies(manifest, None)
    assert told["sets"] == told["label"]["pairs"] == 4000
    assert told["label"]["allowed"] == pytest.approx(1 - wrong, abs=0.01)
    low, high = told["label"]["allowed_interval"]
    assert low <= 1 - wrong + 0.003
    assert high >= 1 - wrong - 0.003


def test_families_are_told_apart_from_sequences(bench: Any) -> None:
    manifest = pd.DataFrame({"label": ["A T1", "A T2", "B T1", "A T1"], "pixels": list("xxyy")})
    told = bench.copies(manifest, None)
    assert (told["label"]["differ"], told["family"]["differ"]) == (1.0, 0.5)


def test_a_doubling_brings_what_was_planted(bench: Any) -> None:
    """Of 2,000 groups 0.3 + 0.05 · log2(4 · fraction) are right: one doubling brings 5 points."""
    n = 2000
    models = {}
    for fraction, share in ((0.25, 0.3), (0.5, 0.35), (1.0, 0.4)):
        right = np.arange(n) < share * n
        logits = np.where(right[:, None] == [True, False], 1.0, -1.0)
        models[fraction] = Predictions.build(
            image_ids=[str(i) for i in range(n)],
            groups=np.arange(n),
            splits=["test"] * n,
            labels=np.zeros(n, np.int64),
            logits=logits,
            classes=("a", "b"),
        )
    told = bench.curve(models, 0.6)
    assert told["accuracy"] == pytest.approx([0.3, 0.35, 0.4])
    assert told["a_doubling"] == pytest.approx(0.05)
    assert told["doublings_to_the_goal"] == pytest.approx(4.0)
    assert told["a_doubling_interval"][0] < 0.05 < told["a_doubling_interval"][1]
