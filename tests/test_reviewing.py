"""A review from the ranking to the corrected table, by the command."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from brainssl.cli import app
from brainssl.data.csv_tables import Table
from brainssl.data.store import ImageStore

HERE = Path(__file__).parent


def run(*words: object) -> Any:
    return CliRunner().invoke(app, ["review", *map(str, words)])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = importlib.util.spec_from_file_location("made", HERE / "studies" / "test_review.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder: Path = module.made(tmp_path_factory.mktemp("studies") / "study")
    return folder


def test_from_the_ranking_to_the_table(study: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "review", tmp_path / "labels.csv"
    ranked = run(study, "--out", out, "--json")
    assert ranked.exit_code == 0, ranked.output
    assert json.loads(ranked.stdout)["table"] == str(out / "review.csv")
    decided = served(study, out)
    changed = run(study, "--out", out, "--apply", table)
    assert changed.exit_code == 0, changed.output
    assert "2 labels changed, by 3 verdicts" in changed.stdout
    manifest = ImageStore.open(study / "store").manifest
    expected = dict(zip(manifest["path"], manifest["label"].fillna(""), strict=True))
    assert Table.read(table).column("path", "label") == expected | decided
    again = run(study, "--out", out, "--apply", table)
    assert again.exit_code == 1
    assert "exists already" in again.stderr


def served(study: Path, out: Path) -> dict[str, str]:
    """Give three verdicts to the page and return what they change."""
    code = "from brainssl.cli import app; app()"
    words = ["review", str(study), "--out", str(out), "--serve", "--port", "0", "--reviewer", "Ann"]
    own = {"PYTHONPATH": str(HERE.parent / "src"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | own,
    )
    assert process.stderr
    lines = []
    while not (found := re.search(r"serving on (\S+)", lines[-1] if lines else "")):
        lines.append(process.stderr.readline())
        assert process.poll() is None, lines
    told = httpx.get(f"{found[1]}/cards").json()
    first, second, third = told["cards"][:3]
    assert first["other_id"] == second["image_id"]
    assert httpx.get(f"{found[1]}/image", params={"id": first["image_id"]}).status_code == 200
    new = next(name for name in told["classes"] if name != first["label"])
    for card, verdict, label in (
        (first, "relabel", new),
        (second, "exclude", ""),
        (third, "keep", ""),
    ):
        body = {"image_id": card["image_id"], "verdict": verdict, "label": label}
        assert httpx.post(f"{found[1]}/verdict", json=body).status_code == 200
    busy = run(study, "--out", out, "--serve", "--port", "0")
    assert busy.exit_code == 1
    assert "another process is at work" in busy.stderr
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "3 of" in stdout
    return {first["path"]: new, second["path"]: ""}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--apply", "new.csv"], 1, "holds no verdict"),
        (["--apply", "new.csv", "--serve"], 2, "one after the other"),
        (["--reviewer", "x" * 300], 2, "--reviewer"),
        (["--serve", "--host", "0.0.0.0", "--port", "0"], 2, "give a token"),
        (["--serve", "--token", "short"], 2, "--token"),
    ],
)
def test_bad_use_is_one_line(
    study: Path, tmp_path: Path, words: list[str], code: int, told: str
) -> None:
    result = run(study, "--out", tmp_path / "review", *words)
    assert result.exit_code == code, result.output
    assert told in result.stderr
    assert result.stderr.strip().count("\n") == 0
    assert "Traceback" not in result.output
