import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

from brainssl.data.shots import Shots
from brainssl.foundation.errors import BrainsslError
from brainssl.reporting import render_report


class Page(HTMLParser):
    """The elements of a page, and the text of each table's cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.cells: dict[str, list[str]] = {}
        self.headers: list[dict[str, str]] = []
        self.text: list[str] = []
        self._table, self._cell, self._script = "", False, False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {key: value or "" for key, value in attrs}
        self.elements.append((tag, named))
        self._script = tag in ("script", "style")
        if tag == "table":
            self._table = named["id"]
            self.cells[self._table] = []
        if tag == "th":
            self.headers.append(named)
        if tag == "td":
            self._cell = True
            self.cells[self._table].append("")

    def handle_endtag(self, tag: str) -> None:
        self._script = False
        if tag == "td":
            self._cell = False

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.cells[self._table][-1] += f" {data}"
        if not self._script:
            self.text.append(data)


@pytest.fixture(scope="module")
def html(study: Path) -> str:
    path = render_report(study)
    assert path == study / "report.html"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_confusion_matrices_add_up_to_the_support_of_each_class(page: Page, study: Path) -> None:
    results = json.loads((study / "results.json").read_text(encoding="utf-8"))
    classes = results["study"]["classes"]
    per_class = results["rows"][-1]["per_class"]
    matrices = [cells for name, cells in page.cells.items() if name.startswith("confusion-")]
    assert len(matrices) == 8
    for cells in matrices:
        width = len(classes) + 1
        for i, name in enumerate(classes):
            row = [cell.split()[0] for cell in cells[i * width : (i + 1) * width]]
            counts = [0 if text == "·" else int(text) for text in row]
            assert sum(counts[:-1]) == counts[-1] == per_class[name]["support"]


def test_the_page_loads_nothing_from_outside(page: Page, html: str) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "srcset", "data", "poster", "action", "background"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, attributes)
        if "href" in attributes:
            assert tag == "a"
            assert attributes["href"].startswith("#") or attributes["href"] == "audit/audit.html"
        assert tag not in ("link", "iframe", "object", "embed", "base")
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    policy = dict(page.elements[[t for t, _ in page.elements].index("meta") + 2][1])
    assert policy["content"].startswith("default-src 'none'")


def test_the_page_is_one_small_file_with_one_plotly(html: str) -> None:
    assert len(html.encode()) < 10_000_000
    assert html.count("<script>") == 2
    assert html.count(get_plotlyjs()[:200]) == 1


def test_tables_are_named_and_their_headers_scoped(page: Page) -> None:
    tables = [attributes for tag, attributes in page.elements if tag == "table"]
    assert len(tables) == [tag for tag, _ in page.elements].count("caption") == len(page.cells)
    assert all(header.get("scope") in ("row", "col") for header in page.headers)
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    targets = [a["href"][1:] for tag, a in page.elements if tag == "a" and a["href"][0] == "#"]
    assert set(targets) <= set(identifiers)
    assert all("alt" in a for tag, a in page.elements if tag == "img")


def test_user_text_is_shown_and_never_run(make_study: Callable[..., Path]) -> None:
    hostile = "<script>alert(1)</script> & \"quotes\" 'T1'"
    folder = make_study(
        classes=[hostile, "Lesões Ж T2", "</style><img src=x>"],
        source="<b>source</b>",
        seeds=1,
        fractions=[1.0],
    )
    text = render_report(folder).read_text(encoding="utf-8")
    page = Page(text)
    assert "alert(1)</script>" not in text
    assert "<img src=x>" not in text
    assert "<b>" not in text
    assert text.count("<script>") == 2
    assert sum(hostile in piece for piece in page.text) >= 3
    assert any("Lesões Ж T2" in piece for piece in page.text)
    assert any("<b>source</b>" in piece for piece in page.text)


def test_the_same_folder_gives_the_same_bytes(html: str, study: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(study, copy)
    (copy / "report.html").unlink()
    assert render_report(copy).read_text(encoding="utf-8") == html
    assert str(study) not in html


@pytest.mark.parametrize(
    "what",
    [
        {"classes": ["a", "b"], "seeds": 1, "fractions": [1.0], "extras": False},
        {"classes": ["a", "b"], "seeds": 1, "fractions": [0.05], "methods": []},
        {
            "classes": [f"Família muito comprida número {i} T1" for i in range(44)],
            "protocols": ["grouped", "image", "paper"],
            "methods": ["simclr", "byol"],
            "seeds": 1,
        },
    ],
)
def test_small_and_large_studies_make_a_page(
    make_study: Callable[..., Path], what: dict[str, object]
) -> None:
    folder = make_study(**what)
    path = render_report(folder)
    assert path.stat().st_size < 10_000_000
    assert "Highest accuracy" in path.read_text(encoding="utf-8")


def test_a_study_of_all_methods_makes_a_page(grid: Path) -> None:
    text = render_report(grid).read_text(encoding="utf-8")
    page = Page(text)
    assert len(text.encode()) < 10_000_000
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    headings = ["Did pretraining work?", "Barlow Twins", "NNCLR", "MoCo v3"]
    assert set(headings) <= {piece.strip() for piece in page.text}
    # What is drawn as panels is named for those who do not see it.
    figures = [a for _, a in page.elements if a.get("role") == "img"]
    assert len(figures) > 30
    assert all(len(attributes["aria-label"]) > 20 for attributes in figures)
    samples = [a for tag, a in page.elements if tag == "svg"]
    assert samples
    assert all(attributes["aria-hidden"] == "true" for attributes in samples)


def test_a_study_of_shots_makes_a_page(make_study: Callable[..., Path]) -> None:
    fractions = [Shots(2), Shots(4), 0.1]
    folder = make_study(
        classes=["a", "b"], seeds=1, fractions=fractions, protocols=("grouped", "image")
    )
    text = " ".join(piece.strip() for piece in Page(render_report(folder).read_text("utf-8")).text)
    assert "2 and 4 labels a class and 10\u00a0% of the training labels" in text
    assert "2 labels a class, seed 0" in text
    assert "of the labels a class" not in text
    assert "-shot of" not in text
    for shots in fractions[:2]:
        assert text.count(f"{shots.each} a class") > 5


def test_a_study_that_holds_next_to_nothing_makes_a_page(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"study": {}, "rows": []}', encoding="utf-8")
    page = Page(render_report(tmp_path).read_text(encoding="utf-8"))
    assert any("no result to report" in piece for piece in page.text)


def test_missing_numbers_are_dashes(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, fractions=[1.0], extras=False)
    path = folder / "results.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    for row in raw["rows"]:
        row["metrics"]["auroc_macro"] = None
        row["intervals"] = {}
    path.write_text(json.dumps(raw), encoding="utf-8")
    text = render_report(folder).read_text(encoding="utf-8")
    cells = Page(text).cells["main-grouped-test"]
    assert all(cell.split() == ["–"] for cell in cells[3::4])
    assert "NaN" not in "".join(cells)
    assert "None" not in "".join(cells)


def test_a_failure_leaves_the_old_page(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, fractions=[1.0], extras=False)
    old = render_report(folder).read_bytes()
    (folder / "results.json").write_text("{", encoding="utf-8")
    with pytest.raises(BrainsslError, match=r"results\.json"):
        render_report(folder)
    assert (folder / "report.html").read_bytes() == old
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []
