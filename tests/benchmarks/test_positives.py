"""The benchmark of pairs of slices, on a tiny store."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from brainssl.data.dataset import Data
from brainssl.data.split import Split
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.models.encoder import load_encoder
from brainssl.settings import load_settings

FILE = Path(__file__).parents[2] / "benchmarks" / "positives.py"
FAST = ("encoder.name=test_resnet", "pretrain.batch_size=16", "run.accelerator=cpu")


@pytest.fixture(scope="module")
def bench() -> Any:
    spec = importlib.util.spec_from_file_location("positives", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["positives"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_no_encoder_has_learnt_from_more_labels_than_its_probe(
    bench: Any, shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that learns from labels is pretrained for each label fraction, others once."""
    monkeypatch.setattr(bench, "ARMS", (("image", False),))
    sets = [word for setting in FAST for word in ("--set", setting)]
    own = ("--methods", "supcon,simclr", "--folds", "2", "--epochs", "1")
    some = ("--label-fractions", "0.5,1.0", "--out", str(tmp_path / "positives.json"))
    monkeypatch.setattr(sys, "argv", ["positives.py", str(shared_store.path), *own, *some, *sets])
    bench.main()
    told = json.loads((tmp_path / "positives.json").read_text())["methods"]
    assert [list(told[name]["image"]) for name in told] == [["steps", "0.5", "1"]] * 2
    learnt: dict[str, list[Any]] = {}
    for probe in sorted((tmp_path / "positives").rglob("probe-f*.parquet")):
        facts = load_encoder(probe.parent / "encoder").facts
        learnt.setdefault(facts["method"], []).append(
            (probe.stem.removeprefix("probe-f"), facts.get("label_fraction"))
        )
    assert learnt["supcon"] == [("0.5", 0.5), ("1", 1.0)] * 2
    assert learnt["simclr"] == [("0.5", None), ("1", None)] * 2

    whole = tmp_path / "positives" / "supcon" / "image" / "k1-s0" / "f1" / "encoder"
    data, settings = Data(shared_store, Split.load(whole / "split.json")), load_settings("quick")[0]
    with pytest.raises(BrainsslError, match="has learnt from labels that are not among those"):
        bench.probed(data, load_encoder(whole), settings, 0.5, 0)
