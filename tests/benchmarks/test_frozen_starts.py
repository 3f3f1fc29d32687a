"""The benchmark of frozen starts, on a tiny folder: the rows are those of probes, pooled."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brainssl.evaluation.predictions import Predictions
from brainssl.models.encoder import build_encoder, save_encoder

FILE = Path(__file__).parents[2] / "benchmarks" / "frozen_starts.py"


@pytest.fixture(scope="module")
def bench() -> Any:
    spec = importlib.util.spec_from_file_location("frozen_starts", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_start_is_probed_in_each_fold_and_compared_on_the_same_images(
    bench: Any, shared_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "drawn.safetensors"
    save_encoder(build_encoder("test_resnet", image_size=32, seed=5), weights)
    before = torch.get_num_threads()
    starts = ["test_resnet,random,32", f"test_resnet,{weights},32", "test_resnet,random,64"]
    words = [word for start in starts for word in ("--start", start)]
    own = ["--folds", "2", "--label-fractions", "1.0", "--out", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", ["frozen_starts.py", str(shared_folder), *words, *own])
    bench.main()
    assert torch.get_num_threads() == before
    told = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert [(row["weights"], row["image_size"]) for row in told["rows"]] == [
        ("random", 32),
        ("drawn.safetensors", 32),
        ("random", 64),
    ]
    for start, row in zip(starts, told["rows"], strict=True):
        parts = [
            Predictions.load(
                tmp_path / "out" / bench.told_name(start) / f"k{fold}-f1" / "predictions.parquet"
            ).of("test")
            for fold in (1, 2)
        ]
        right = np.concatenate([part.predicted == part.labels for part in parts])
        assert row["n"] == len(right) == 24
        assert row["metrics"]["accuracy"] == pytest.approx(right.mean())
    assert len({tuple(row["digests"]) for row in told["rows"]}) == 1
    accuracies = {
        bench.told_name(start): row["metrics"]["accuracy"]
        for start, row in zip(starts, told["rows"], strict=True)
    }
    pairs = [pair for pair in told["comparisons"] if pair["metric"] == "accuracy"]
    assert len(pairs) == 3
    for pair in pairs:
        gap = accuracies[pair["first"]] - accuracies[pair["second"]]
        assert pair["difference"] == pytest.approx(gap)
