"""A study of a method that learns from labels: each label fraction has its own pretraining."""

import json
from pathlib import Path

import pytest
import torch
from oracles.small_plan import FAST, small_plan

from brainssl.data.dataset import Data
from brainssl.data.split import Split
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.progress import Terminal
from brainssl.models.encoder import load_encoder
from brainssl.settings import load_settings
from brainssl.studies.run import Study
from brainssl.training.stages import Features, finetune_stage, probe_stage


@pytest.fixture(scope="module")
def finished(shared_store: ImageStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("taught") / "out"
    own = {"methods": ("supcon",), "label_fractions": (0.5, 1.0)}
    Study(small_plan(shared_store.path, FAST, **own), out, Terminal(quiet=True)).run()
    return out


def test_each_fraction_has_an_encoder_of_its_own(finished: Path) -> None:
    held = json.loads((finished / "results.json").read_text("utf-8"))
    assert held["study"]["failed"] == []
    rows = [row for row in held["rows"] if row["method"] == "supcon" and row["split"] == "test"]
    assert {(row["stage"], row["label_fraction"]) for row in rows} == {
        (stage, fraction) for stage in ("linear", "finetune") for fraction in (0.5, 1.0)
    }
    taught = [
        load_encoder(finished / "steps" / f"pretrain-supcon-grouped-f{fraction}-s0").facts
        for fraction in ("0.5", "1")
    ]
    assert [facts["label_fraction"] for facts in taught] == [0.5, 1.0]


def test_no_stage_goes_on_from_an_encoder_that_has_seen_more_labels(
    finished: Path, shared_store: ImageStore, tmp_path: Path
) -> None:
    data = Data(shared_store, Split.load(finished / "splits" / "grouped.json"))
    encoder = load_encoder(finished / "steps" / "pretrain-supcon-grouped-f1-s0")
    settings = load_settings("quick", list(FAST))[0]
    asked = {"settings": settings, "label_fraction": 0.5, "seed": 0}
    facts = {"method": "supcon", "stage": "finetune"}
    features = Features(lambda: encoder, shared_store, torch.device("cpu"))
    with pytest.raises(BrainsslError, match=r"give --label-fraction 1\.0 and --seed 0"):
        probe_stage(data, features, tmp_path / "linear", facts=facts, **asked)
    with pytest.raises(BrainsslError, match=r"give --label-fraction 1\.0 and --seed 0"):
        finetune_stage(data, encoder, tmp_path / "finetune", facts=facts, **asked)


def test_the_report_says_so(finished: Path) -> None:
    page = (finished / "report.html").read_text("utf-8")
    assert "after pretraining with labels by SupCon" in page
    assert "pretraining without labels" not in page
