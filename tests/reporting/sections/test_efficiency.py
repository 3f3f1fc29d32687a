import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainssl.data.shots import Shots
from brainssl.reporting.blocks import Multiples
from brainssl.reporting.figures.figure import BASELINE_COLOUR, FAINT, Figure, method_keys
from brainssl.reporting.sections.efficiency import content
from brainssl.reporting.study import read_study


def _stages(folder: Path) -> list[Multiples]:
    blocks = content(read_study(folder))
    return [block for block in blocks if isinstance(block, Multiples)]


def _traces(figure: Figure, mode: str, colour: str) -> list[dict[str, Any]]:
    part = "line" if mode == "lines" else "marker"
    data = json.loads(figure.specification)["data"]
    return [t for t in data if t["mode"] == mode and t[part]["color"] == colour]


def test_a_panel_shows_each_models_score_and_interval(study: Path) -> None:
    read = read_study(study)
    tuned, probes = _stages(study)
    assert tuned.title == "Fine-tuned models against the supervised baseline"
    assert probes.title == "Linear probes against the supervised baseline"
    for (figure,), stage in ((tuned.figures, "finetune"), (probes.figures, "linear")):
        arms = [a for a in read.arms("grouped") if (a.method, a.stage) == ("simclr", stage)]
        colour = method_keys(read)["simclr"].colour
        (line,) = _traces(figure, "lines", colour)
        assert line["x"] == [10, 100]
        means = [100 * (arm.mean("accuracy") or 0) for arm in arms]
        assert line["y"] == pytest.approx(means, abs=0.01)
        (marker,) = _traces(figure, "markers", colour)
        rows = [row for arm in arms for row in arm.rows]
        scores = [100 * (row.metrics["accuracy"] or 0) for row in rows]
        assert marker["y"] == pytest.approx(scores, abs=0.01)
        upper = np.array(marker["y"]) + marker["error_y"]["array"]
        lower = np.array(marker["y"]) - marker["error_y"]["arrayminus"]
        limits = [row.intervals["accuracy"] or (0, 0) for row in rows]
        assert upper == pytest.approx([100 * high for _, high in limits], abs=0.03)
        assert lower == pytest.approx([100 * low for low, _ in limits], abs=0.03)
        assert len(_traces(figure, "markers", BASELINE_COLOUR)) == 1


def test_methods_that_pretrain_with_labels_have_their_panels_and_are_named(
    make_study: Callable[..., Path],
) -> None:
    own = {"classes": ["a", "b"], "seeds": 1, "fractions": [1.0], "extras": False}
    both = _stages(make_study(methods=("simclr", "supcon"), **own))
    assert [len(stage.figures) for stage in both] == [2, 2]
    assert all("Pretrained with these labels, too: SupCon." in one.caption for one in both)
    untaught = _stages(make_study(methods=("simclr",), **own))
    assert not [one for one in untaught if "Pretrained" in one.caption]


def test_shots_stand_at_the_share_that_they_came_to(make_study: Callable[..., Path]) -> None:
    """More shots may be more labels than a small share: lines go from left to right."""
    folder = make_study(classes=["a", "b"], seeds=1, fractions=[Shots(4), 0.02], extras=False)
    for stage in _stages(folder):
        for figure in stage.figures:
            shown = json.loads(figure.specification)
            axis = shown["layout"]["xaxis"]
            ticks = dict(zip(axis["ticktext"], axis["tickvals"], strict=True))
            assert ticks == {"4 a class": pytest.approx(800 / 300, abs=0.001), "2\u00a0%": 2}
            lines = [t for t in shown["data"] if t["mode"] == "lines"]
            assert all(line["x"] == sorted(line["x"]) for line in lines)


def test_each_method_has_a_panel_beside_faint_means_of_the_others(grid: Path) -> None:
    keys = method_keys(read_study(grid))
    for stage in _stages(grid):
        assert [figure.key for figure in stage.figures] == list(keys.values())[:6]
        scales = {
            json.dumps(json.loads(figure.specification)["layout"]["yaxis"])
            for figure in stage.figures
        }
        assert len(scales) == 1
        for figure in stage.figures:
            assert len(_traces(figure, "lines", FAINT)) == 6
    tuned, probes = _stages(grid)
    assert [key.label for key in tuned.keys] == [
        "Supervised baseline",
        "Means of the other methods",
    ]
    assert probes.keys[0].label == "Untrained encoder"


def test_models_of_one_label_fraction_do_not_hide_each_other(grid: Path) -> None:
    for stage in _stages(grid):
        for figure in stage.figures:
            data = json.loads(figure.specification)["data"]
            places = np.sort([x for t in data if t["mode"] == "markers" for x in t["x"]])
            assert np.diff(np.log10(places)).min() > 0.01
            # A marker is nearest to the label fraction that it stands for.
            for trace in (t for t in data if t["mode"] == "markers"):
                for x, text in zip(trace["x"], trace["text"], strict=True):
                    nearest = min((5, 10, 25, 100), key=lambda f: abs(np.log10(x / f)))
                    assert f", {nearest}\u00a0%, seed" in text


def test_without_a_method_controls_and_baseline_share_a_panel(
    make_study: Callable[..., Path],
) -> None:
    folder = make_study(classes=["a", "b"], methods=[], fractions=[0.05], seeds=1, extras=False)
    (stage,) = _stages(folder)
    (figure,) = stage.figures
    assert len(json.loads(figure.specification)["data"]) == 4
    assert [key.label for key in stage.keys] == ["Untrained encoder", "Supervised baseline"]


def test_a_study_without_results_has_no_such_section(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(
        '{"study": {"protocols": ["grouped"]}, "rows": []}', encoding="utf-8"
    )
    assert content(read_study(tmp_path)) == ()
