"""Drawings for papers show the points of the page's figures."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure as Drawing

from brainssl.reporting.documents import drawing as module
from brainssl.reporting.documents.drawing import draw
from brainssl.reporting.figures.figure import Figure, Key, specification

TRACES: list[dict[str, Any]] = [
    {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "A &amp; $B$",
        "x": [1, 10, 100],
        "y": [0.1, None, 0.3],
        "line": {"color": "#112233", "dash": "dash", "width": 2, "shape": "hv"},
        "marker": {"symbol": "square", "size": 10},
    },
    {
        "type": "scatter",
        "mode": "markers",
        "x": [10],
        "y": [0.2],
        "marker": {"color": "rgba(255,0,0,0.5)", "symbol": "cross", "size": 5},
        "error_y": {"type": "data", "symmetric": False, "array": [0.1], "arrayminus": [0.05]},
        "showlegend": False,
    },
]
LAYOUT = {
    "xaxis": {"type": "log", "range": [0, 2], "tickvals": [1, 10], "ticktext": ["one", "ten"]},
    "yaxis": {"range": [0, 1], "title": {"text": "Error, %"}},
    "showlegend": True,
}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The axes of a drawing of `TRACES`."""
    made: list[Drawing] = []
    save = Drawing.savefig

    def keep(self: Drawing, *arguments: Any, **named: Any) -> None:
        made.append(self)
        save(self, *arguments, **named)

    monkeypatch.setattr(Drawing, "savefig", keep)
    draw(tmp_path, "figure", [Figure("figure", "", specification(TRACES, LAYOUT))])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["figure.png", "figure.svg"]
    return made[0].axes[0]


def test_points_and_styles_are_those_of_the_specification(drawn: Any) -> None:
    line, markers = drawn.lines[0], drawn.lines[1]
    assert list(line.get_xdata()) == [1, 10, 100]
    assert [y if not math.isnan(y) else None for y in line.get_ydata()] == [0.1, None, 0.3]
    style = (line.get_color(), line.get_linestyle(), line.get_marker(), line.get_drawstyle())
    assert style == ("#112233", "--", "s", "steps-post")
    assert markers.get_linestyle() == "None"
    assert markers.get_color() == (1, 0, 0, 0.5)
    bars = [path.vertices.tolist() for c in drawn.collections for path in c.get_paths()]
    assert bars == [[[10, pytest.approx(0.15)], [10, pytest.approx(0.3)]]]


def test_axes_are_those_of_the_specification(drawn: Any) -> None:
    assert drawn.get_xscale() == "log"
    assert drawn.get_xlim() == (1, 100)
    assert [label.get_text() for label in drawn.get_xticklabels()] == ["one", "ten"]
    assert drawn.get_ylabel() == "Error, %"
    assert [text.get_text() for text in drawn.get_legend().get_texts()] == [r"A & \$B\$"]


def test_panels_share_a_legend(tmp_path: Path) -> None:
    key = Key("SimCLR", "#12908a", "circle")
    panels = [
        Figure(f"p{i}", "", specification(TRACES, LAYOUT), key=Key(f"Panel {i}", ""))
        for i in (1, 2)
    ]
    draw(tmp_path, "panels", panels, [key])
    text = (tmp_path / "panels.svg").read_text()
    for said in ("Panel 1", "Panel 2", "SimCLR"):
        assert f"<!-- {said} -->" in text


def test_every_symbol_and_dash_of_the_page_is_known() -> None:
    from brainssl.reporting.figures.figure import SYMBOLS

    assert set(SYMBOLS) <= set(module._MARKERS)
    assert json.loads(specification(TRACES, LAYOUT))["data"][0]["line"]["dash"] in module._DASHES
