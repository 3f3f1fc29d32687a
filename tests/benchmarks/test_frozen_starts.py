"""The benchmark of starts, on a tiny collection."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from brainssl.data.split import Split
from brainssl.evaluation.predictions import Predictions

FILE = Path(__file__).parents[2] / "benchmarks" / "frozen_starts.py"


@pytest.fixture(scope="module")
def bench() -> Any:
    spec = importlib.util.spec_from_file_location("frozen_starts", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["frozen_starts"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_what_goes_on_from_a_start_never_saw_the_fold_it_is_tested_on(
    bench: Any, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "starts.json"
    some = ("--start", "test_resnet,random,32", "--methods", "simclr", "--folds", "2")
    fast = ("pretrain.epochs=1", "pretrain.batch_size=8", "run.accelerator=cpu")
    sets = [word for setting in fast for word in ("--set", setting)]
    own = ("--label-fractions", "1.0", "--out", str(out))
    monkeypatch.setattr(sys, "argv", ["frozen_starts.py", str(image_folder), *some, *own, *sets])
    bench.main()
    told = json.loads(out.read_text())
    assert [(row["method"], row["n"]) for row in told["rows"]] == [("", 24), ("simclr", 24)]
    folder = tmp_path / "starts" / "simclr-test_resnet-random-32"
    for number in (1, 2):
        split = Split.load(folder / f"encoder-k{number}" / "split.json")
        tested = Predictions.load(folder / f"k{number}-f1" / "predictions.parquet").of("test")
        assert len(split.test) == len(tested) == 12
        assert split.digest[:12] == told["rows"][1]["digests"][number - 1]
    assert {pair["metric"] for pair in told["comparisons"]} == {"accuracy", "f1_macro"}
