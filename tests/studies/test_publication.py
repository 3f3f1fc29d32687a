"""A finished study is published again from what it stored, and from nothing else."""

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from oracles.small_plan import small_plan

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.progress import Terminal
from brainssl.studies.publication import publish_again
from brainssl.studies.run import Study


@pytest.fixture(scope="module")
def finished(shared_store: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    size = f"encoder.image_size={shared_store.size}"
    chosen = ["encoder.name=test_resnet", size, "finetune.epochs=1", "evaluation.draws=50"]
    plan = small_plan(shared_store.path, [*chosen, "split.test_fraction=0.3"], methods=())
    out = tmp_path_factory.mktemp("study") / "out"
    Study(plan, out, Terminal(quiet=True)).run()
    return out


def test_the_same_predictions_give_the_same_results(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The longest time that some work took stands: on a busy machine it would be the second.
    monkeypatch.setattr("brainssl.studies.publication.noting", lambda *_: nullcontext())
    before = json.loads((finished / "results.json").read_text("utf-8"))
    assert before["analysis"]["random_labels"][0]["protocol"] == "grouped"
    page = (finished / "report.html").read_text("utf-8")
    out = tmp_path / "out"
    shutil.copytree(finished, out, symlinks=True)
    (out / "report.html").unlink()
    for model in out.glob("steps/*/*.safetensors"):
        model.unlink()  # no network is run
    assert publish_again(out, Terminal(quiet=True)) == out / "report.html"
    assert json.loads((out / "results.json").read_text("utf-8")) == before
    assert (out / "report.html").read_text("utf-8") == page
    assert not (out / "tables").exists()


def test_images_without_label_are_measured(finished: Path) -> None:
    models = json.loads((finished / "results.json").read_text("utf-8"))["analysis"]["models"]
    split = json.loads((finished / "splits" / "grouped.json").read_text("utf-8"))
    assert models["steps/supervised-grouped-f1-s0"]["novelty"]["novel"] == len(split["unlabelled"])


def test_files_are_written_where_asked(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "out", symlinks=True)
    publish_again(tmp_path / "out", Terminal(quiet=True), files=True)
    assert (tmp_path / "out" / "tables" / "main-grouped-test.csv").is_file()
    assert (tmp_path / "out" / "figures" / "reliability.svg").is_file()


@pytest.mark.parametrize("content", ["{", "[]", '{"rows": []}', '{"study": {}, "rows": []}'])
def test_what_is_no_study_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(BrainsslError, match=r"results\.json"):
        publish_again(tmp_path, Terminal(quiet=True))
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(BrainsslError, match=r"results\.json"):
        publish_again(tmp_path, Terminal(quiet=True))
