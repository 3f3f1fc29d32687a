"""The notebook of the examples runs from start to end, and shows what it is meant to show."""

from pathlib import Path
from typing import Any

import nbformat
import pytest

from brainssl.foundation.progress import Cell

NOTEBOOK = Path(__file__).parents[1] / "examples" / "first_hour.ipynb"
SMALL = """
PATIENTS = 12
BUDGET = None
MORE = {
    "seeds": 1,
    "label_fractions": [1.0],
    "explained": 2,
    "overrides": [
        "encoder.name=test_resnet",
        "encoder.image_size=32",
        "pretrain.epochs=1",
        "finetune.epochs=1",
        "finetune.min_epoch_steps=1",
        "probe.epochs=3",
        "evaluation.draws=20",
        "run.accelerator=cpu",
    ],
}
"""


@pytest.fixture(scope="module")
def held() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_notebook_is_kept_small_and_without_outputs(held: Any) -> None:
    assert NOTEBOOK.stat().st_size < 20_000
    assert all(not cell.get("outputs") for cell in held.cells)
    assert all(cell.get("execution_count") is None for cell in held.cells)
    assert held.cells[1].source == "# %pip install brainssl"
    [parameters] = [cell for cell in held.cells if "parameters" in cell.metadata.get("tags", [])]
    assert "PATIENTS = " in parameters.source


def outputs(cell: Any, kind: str) -> list[str]:
    return [one.data[kind] for one in cell.outputs if kind in one.get("data", {})]


@pytest.mark.thorough
@pytest.mark.filterwarnings("default")  # what the client of Jupyter leaves open is not ours
def test_the_notebook_runs_from_start_to_end(held: Any, tmp_path: Path) -> None:
    from nbclient import NotebookClient

    cells = held.cells
    place = next(i for i, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", []))
    cells.insert(place + 1, nbformat.v4.new_code_cell(SMALL))
    client = NotebookClient(held, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    shown = {cell.source.split("(")[0]: cell for cell in cells if cell.cell_type == "code"}
    streams = [one for cell in cells for one in cell.get("outputs", []) if "name" in one]
    assert [one.text for one in streams if one.name == "stderr"] == []
    [audited] = outputs(shown["brainssl.audit"], "text/html")[1:]
    assert audited.startswith("<iframe srcdoc=")
    [told] = outputs(shown["study = brainssl.study"], "text/html")
    assert "explanations: done in" in told
    assert "<progress" not in told
    [page] = outputs(shown["study"], "text/html")
    assert page.startswith("<iframe srcdoc=")
    [_] = outputs(shown["mapped = brainssl.saliency_map"], "image/png")


class Display:
    """Takes the place of `IPython.display.display`."""

    def __init__(self) -> None:
        self.first = 0
        self.shown: list[dict[str, str]] = []

    def __call__(self, data: dict[str, str], *, raw: bool, display_id: bool) -> "Display":
        assert raw
        assert display_id
        self.first += 1
        self.shown.append(data)
        return self

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown.append(data)


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Display:
    display = Display()
    monkeypatch.setattr("IPython.display.display", display)
    clock = iter(range(1000))
    monkeypatch.setattr("brainssl.foundation.progress.time.monotonic", lambda: float(next(clock)))
    return display


def test_a_bar_moves_in_its_place_below_the_lines(display: Display) -> None:
    cell = Cell()
    cell.say("images of <64> px")
    with cell.bar("pretrain") as report:
        report(1, 4)
        report(2, 4)
    cell.say("done")
    assert display.first == 1
    texts = [one["text/plain"] for one in display.shown]
    assert texts[0] == "images of <64> px"
    assert texts[1] == "images of <64> px\npretrain"
    assert texts[2] == "images of <64> px\npretrain: 1 of 4, 0:01, left 0:03"
    assert texts[3] == "images of <64> px\npretrain: 2 of 4, 0:02, left 0:02"
    assert texts[-1] == "images of <64> px\ndone"
    assert 'value="2" max="4"' in display.shown[3]["text/html"]
    assert "&lt;64&gt;" in display.shown[3]["text/html"]
    assert "<progress" not in display.shown[-1]["text/html"]


def test_a_bar_goes_when_its_task_fails(display: Display) -> None:
    cell = Cell()
    with pytest.raises(RuntimeError), cell.bar("pretrain") as report:
        report(1, 4)
        raise RuntimeError
    assert "<progress" in display.shown[-2]["text/html"]
    assert "<progress" not in display.shown[-1]["text/html"]


def test_a_bar_is_not_drawn_more_often_than_one_can_see(
    display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brainssl.foundation.progress.time.monotonic", lambda: 0.0)
    with Cell().bar("pretrain") as report:
        for step in range(1000):
            report(step, 1000)
    assert len(display.shown) == 2
