"""A study of a method that learns from labels: each label fraction has its own pretraining."""

import json
from pathlib import Path

import pytest
from oracles.small_plan import FAST, small_plan

from brainssl.data.store import ImageStore
from brainssl.foundation.progress import Terminal
from brainssl.models.encoder import load_encoder
from brainssl.studies.run import Study


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


def test_the_report_says_so(finished: Path) -> None:
    page = (finished / "report.html").read_text("utf-8")
    assert "after pretraining with labels by SupCon" in page
    assert "pretraining without labels" not in page
