import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from brainssl.reporting.figures.figure import (
    BASELINE_COLOUR,
    COLOURS,
    SYMBOLS,
    Key,
    epoch_traces,
    learner_keys,
    method_keys,
    specification,
)
from brainssl.reporting.rows import Row
from brainssl.reporting.study import Study, read_study
from brainssl.reporting.titles import METHOD_TITLES, method_title

# How linear RGB looks without one kind of cone (Machado et al. 2009, severity 1).
SIGHT = {
    "usual": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def _linear(colour: str) -> np.ndarray:
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(colour: str, sight: str) -> np.ndarray:
    xyz = TO_XYZ @ np.clip(np.asarray(SIGHT[sight]) @ _linear(colour), 0, 1)
    f = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_methods_are_told_apart_by_every_eye(sight: str) -> None:
    for one, two in combinations([*COLOURS[: len(METHOD_TITLES)], BASELINE_COLOUR], 2):
        assert np.linalg.norm(_lab(one, sight) - _lab(two, sight)) > 15, (one, two)


@pytest.mark.parametrize("paper", ["#ffffff", "#14171a"])
def test_colours_are_seen_on_both_papers(paper: str) -> None:
    for colour in COLOURS[: len(METHOD_TITLES)]:
        dark, light = sorted(float(TO_XYZ[1] @ _linear(c)) for c in (colour, paper))
        assert (light + 0.05) / (dark + 0.05) > 2.8, colour


def test_a_method_is_drawn_alike_in_every_report() -> None:
    every = method_keys(Study(Path(), {"methods": list(METHOD_TITLES)}, ()))
    assert len({key.colour for key in every.values()}) == len(METHOD_TITLES) + 1
    symbols = {every[method].symbol for method in METHOD_TITLES}
    assert len(symbols) == len(SYMBOLS) == len(METHOD_TITLES)
    assert all(key.outline for key in every.values())
    few = method_keys(Study(Path(), {"methods": ["nnclr", "byol", "new"]}, ()))
    assert few["nnclr"] == every["nnclr"]
    assert few["byol"] == every["byol"]
    assert few["new"].label == "new"


def test_controls_are_grey_and_dotted(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], fractions=[1.0], seeds=1, extras=False)
    keys = method_keys(read_study(folder))
    assert list(keys) == ["simclr", "untrained", "supervised"]
    assert [key.dash for key in keys.values()] == ["solid", "dot", "solid"]


def test_a_start_has_a_dash_of_its_own() -> None:
    facts = {"methods": ["simclr", "byol"], "starts": [{"name": n} for n in ("random", "radnet")]}
    rows = [
        Row(method, "linear", "grouped", 1.0, 0, "test", 9, {}, {}, {}, "", start=start)
        for method, start in (("simclr", "radnet"), ("svm", ""), ("ensemble", ""))
    ]
    study = Study(Path(), facts, tuple(rows))
    keys, plain = learner_keys(study), method_keys(study)
    assert {row.learner for row in rows} <= keys.keys()
    for (method, start), key in keys.items():
        assert (key.colour, key.symbol) == (plain[method].colour, plain[method].symbol)
        if start:
            assert key.dash == {"random": "solid", "radnet": "dash"}[start]
            assert key.label == method_title(method, start)
    assert keys["simclr", "random"].dashes != keys["simclr", "radnet"].dashes
    one = Study(Path(), facts | {"starts": facts["starts"][:1]}, ())
    assert learner_keys(one) == {(name, ""): key for name, key in method_keys(one).items()}


def test_a_line_over_epochs_ends_in_its_symbol_at_the_last_value() -> None:
    line, end = epoch_traces(Key("m", "#112233", "square"), "m", [0, 1, 2], [0.5, 0.25, None])
    assert line["y"] == [0.5, 0.25, None]
    assert (end["x"], end["y"], end["marker"]["symbol"]) == ([1], [0.25], "square")
    assert epoch_traces(Key("m", "#112233"), "m", [0, 1], [None, None]) == []


def test_a_specification_cannot_end_its_script_element() -> None:
    text = specification([{"type": "scatter", "name": "</script><script>alert(1)"}], {})
    assert "<" not in text
    assert json.loads(text)["data"][0]["name"] == "</script><script>alert(1)"
