"""What `benchmarks/torture.py` compares, and a study that it hurts."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import torture
from torture import BrokenError, Torture, lasting


@pytest.fixture
def ended(tmp_path: Path) -> Path:
    """What a study leaves of which something must be the same each time."""
    step = tmp_path / "out" / "steps" / "linear"
    step.mkdir(parents=True)
    save_file({"w": np.ones(3)}, step / "classifier.safetensors", {"seconds": "1.2"})
    (step / "predictions.parquet").write_bytes(b"scores")
    rows = [{"metrics": {"accuracy": 0.5}, "seconds": 3.1}]
    results = {"study": {"created": "today", "command": "study a b", "seed": 0}, "rows": rows}
    (tmp_path / "out" / "results.json").write_text(json.dumps(results))
    (tmp_path / "out" / "report.html").write_text("page")
    return tmp_path / "out"


def test_times_may_differ(ended: Path, tmp_path: Path) -> None:
    left_alone = Torture(tmp_path, random.Random(0), untouched=lasting(ended))
    results = json.loads((ended / "results.json").read_text())
    results["study"] |= {"created": "tomorrow", "command": "study a c --jobs 2"}
    results["rows"][0]["seconds"] = 9.9
    (ended / "results.json").write_text(json.dumps(results))
    weights = ended / "steps" / "linear" / "classifier.safetensors"
    save_file({"w": np.ones(3)}, weights, {"seconds": "4.5"})
    left_alone.compare(ended)


def _other_score(out: Path) -> None:
    text = (out / "results.json").read_text()
    (out / "results.json").write_text(text.replace("0.5", "0.6"))


def _other_weight(out: Path) -> None:
    save_file({"w": np.zeros(3)}, out / "steps" / "linear" / "classifier.safetensors")


def _lost_predictions(out: Path) -> None:
    (out / "steps" / "linear" / "predictions.parquet").unlink()


def _half_a_step(out: Path) -> None:
    (out / "steps" / ".pretrain.partial").mkdir()


def _no_report(out: Path) -> None:
    (out / "report.html").unlink()


@pytest.mark.parametrize(
    ("hurt", "told"),
    [
        (_other_score, r"results\.json is another one"),
        (_other_weight, r"classifier\.safetensors is another one"),
        (_lost_predictions, r"predictions\.parquet is another one"),
        (_half_a_step, r"still has .*pretrain\.partial"),
        (_no_report, "has no report"),
    ],
)
def test_nothing_else_may(
    hurt: Callable[[Path], None], told: str, ended: Path, tmp_path: Path
) -> None:
    left_alone = Torture(tmp_path, random.Random(0), untouched=lasting(ended))
    hurt(ended)
    with pytest.raises(BrokenError, match=told):
        left_alone.compare(ended)


@pytest.mark.thorough
def test_a_study_is_killed_and_robbed(tmp_path: Path) -> None:
    told = tmp_path / "seen.json"
    command = [sys.executable, torture.__file__, "--kills", "2", "--out", str(told)]
    subprocess.run([*command, "--only", "killed,source-gone,clock"], check=True)
    seen = json.loads(told.read_text())["seen"]
    assert seen["killed"].startswith("2 kills")
    assert set(seen) == {"killed", "source-gone", "clock"}


def test_what_was_never_hurt_is_no_success(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    left_alone = Torture(tmp_path, random.Random(0))
    monkeypatch.setattr(Torture, "healed", lambda *_: None)
    with pytest.raises(BrokenError, match="of 20 studies only 0 were met at work"):
        torture.repeated(lambda *_: None)(left_alone, 20)
    lines = iter([None, f"{tmp_path}/x: full", None, f"{tmp_path}/x: full"])
    assert torture.repeated(lambda *_: next(lines))(left_alone, 20) == "2 times; …/x: full"
