"""Studies side by side: paired where the test images are the same, unpaired where they are not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import brainssl
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError
from brainssl.studies.compare import compare_studies, text_of


def study(
    folder: Path, skills: dict[tuple[str, str], float], prefix: str = "", *, saved: bool = True
) -> Path:
    rows: list[dict[str, Any]] = []
    for place, ((method, stage), skill) in enumerate(skills.items()):
        generator = np.random.default_rng([place, round(100 * skill)])
        labels = np.random.default_rng(0).integers(0, 3, 90)
        said = np.where(generator.random(90) < skill, labels, (labels + 1) % 3)
        model = Predictions.build(
            [f"{prefix}{i}" for i in range(90)],
            np.arange(90) // 3,
            ["test"] * 90,
            labels,
            np.eye(3)[said] * 2.0,
            ("a", "b", "c"),
        )
        step = f"steps/{stage}-{method}"
        (folder / step).mkdir(parents=True)
        if saved:
            model.save(folder / step / "predictions.parquet")
        accuracy = float((said == labels).mean())
        key = {"method": method, "stage": stage, "protocol": "grouped", "label_fraction": 1.0}
        scores = {"metrics": {"accuracy": accuracy}, "intervals": {"accuracy": None}}
        rows.append({**key, "seed": 0, "split": "test", "n": 90, **scores, "step": step})
    facts = {"source": folder.name, "protocols": ["grouped"], "command": "brainssl study"}
    text = json.dumps({"study": facts, "rows": rows})
    (folder / "results.json").write_text(text, encoding="utf-8")
    return folder


BASELINE = ("supervised", "supervised")
TUNED = ("simclr", "finetune")


def test_the_same_test_images_are_paired(tmp_path: Path) -> None:
    first = study(tmp_path / "first", {BASELINE: 0.5})
    second = study(tmp_path / "second", {BASELINE: 0.9, TUNED: 0.7})
    found = compare_studies([first, second])
    baseline, tuned = found["models"]
    assert baseline["title"] == "Supervised baseline"
    scores = baseline["scores"]
    assert scores[1]["paired"]
    assert scores[1]["difference"] == pytest.approx(scores[1]["accuracy"] - scores[0]["accuracy"])
    assert 0 < scores[1]["interval"][0] < scores[1]["difference"] < scores[1]["interval"][1]
    assert tuned["scores"][0] is None
    assert set(tuned["scores"][1]) == {"accuracy", "seeds"}
    text = text_of(found)
    assert f"{100 * scores[1]['difference']:+.1f}, " in text
    assert "unpaired" not in text


def test_other_test_images_are_independent(tmp_path: Path) -> None:
    first = study(tmp_path / "first", {BASELINE: 0.5})
    second = study(tmp_path / "second", {BASELINE: 0.9}, prefix="x")
    (model,) = compare_studies([first, second])["models"]
    assert not model["scores"][1]["paired"]
    assert "unpaired" in text_of(compare_studies([first, second]))


def test_without_predictions_there_are_scores_alone(tmp_path: Path) -> None:
    first = study(tmp_path / "first", {BASELINE: 0.5}, saved=False)
    second = study(tmp_path / "second", {BASELINE: 0.9})
    found = compare_studies([first, second])
    assert set(found["models"][0]["scores"][1]) == {"accuracy", "seeds"}
    assert "(" not in text_of(found).splitlines()[4]


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    first = study(tmp_path / "first", {BASELINE: 0.5})
    with pytest.raises(BrainsslError, match="name two or more"):
        compare_studies([first])
    with pytest.raises(BrainsslError, match=r"results\.json"):
        compare_studies([first, tmp_path / "nowhere"])


def test_the_page_has_a_panel_a_study_and_every_difference(tmp_path: Path) -> None:
    first = study(tmp_path / "first", {BASELINE: 0.5})
    second = study(tmp_path / "second", {BASELINE: 0.9, TUNED: 0.7})
    page = tmp_path / "pages" / "comparison.html"
    answer = brainssl.compare([first, second], out=page)
    assert answer.page == page
    text = page.read_text("utf-8")
    assert text.index("of 1 model that both have, 1 higher") < text.index('id="figure-1"')
    assert 'id="figure-1-2"' in text
    difference = answer["models"][0]["scores"][1]["difference"]
    assert f"+{100 * difference:.1f} (" in text
    with pytest.raises(brainssl.BadUseError, match=r"ends in \.html"):
        brainssl.compare([first, second], out=tmp_path / "page.txt")
    assert brainssl.compare([first, second]).page is None


def test_of_several_starts_each_is_compared_with_its_own(tmp_path: Path) -> None:
    """A study from random weights alone does not tell so, and is set against those that do."""
    first = study(tmp_path / "first", {BASELINE: 0.5})
    second = study(tmp_path / "second", {BASELINE: 0.7})
    file = second / "results.json"
    held = json.loads(file.read_text("utf-8"))
    held["study"]["starts"] = [{"name": name} for name in ("imagenet", "random")]
    other = {**held["rows"][0], "start": "imagenet", "metrics": {"accuracy": 0.9}}
    held["rows"] = [{**held["rows"][0], "start": "random"}, other]
    file.write_text(json.dumps(held), encoding="utf-8")
    found = {model["start"]: model for model in compare_studies([first, second])["models"]}
    assert found["random"]["title"] == "Supervised from random weights"
    assert found["random"]["scores"][1]["paired"]
    assert found["imagenet"]["scores"][0] is None
    assert found["imagenet"]["scores"][1]["accuracy"] == 0.9
    page = tmp_path / "page.html"
    brainssl.compare([first, second], out=page)
    assert "Supervised baseline" not in page.read_text("utf-8")
    # Where no study has several, those of one start each are the same models with other settings.
    assert len(compare_studies([first, first])["models"]) == 1
