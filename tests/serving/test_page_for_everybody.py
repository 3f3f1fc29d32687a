"""The page for everybody: narrow and wide, dark and light, by keys, on paper, translated.

And what it shows of a classifier that knows its limits.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oracles.pages import CHROMIUM, DRIVER, Page
from oracles.pictures import picture
from oracles.services import Ported
from selenium.webdriver.common.keys import Keys

from brainssl.explanation.cam import MAPS
from brainssl.serving import routes
from brainssl.serving.engine import Engine

TESTS = Path(__file__).parents[1]
AXE = TESTS.parent / ".axe" / "axe.min.js"
KNOWING = (TESTS / "oracles" / "knowing.js").read_text(encoding="utf-8")
OVER_THE_EDGE = """
const edge = document.documentElement.clientWidth;
return document.documentElement.scrollWidth > edge ? ["page"] :
  [...document.querySelectorAll("body *")].filter(one => {
    const box = one.getBoundingClientRect();
    return box.width && (box.right > edge + 1 || box.left < -1);
  }).map(one => one.outerHTML.slice(0, 80));
"""
TEXTS = """
const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) found.push(walk.currentNode.textContent.trim());
for (const one of document.querySelectorAll("body *")) {
  for (const name of ["aria-label", "aria-description", "aria-valuetext", "placeholder", "alt"]) {
    if (one.hasAttribute(name)) found.push(one.getAttribute(name));
  }
}
return [document.title, ...found.filter(Boolean)];
"""

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium with its driver: scripts/browser installs them"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    made = Page(tmp_path_factory.mktemp("page"))
    yield made
    made.driver.quit()


@pytest.fixture(scope="module")
def url(engine: Engine) -> Iterator[str]:
    with Ported(engine) as made:
        yield f"http://127.0.0.1:{made.address[1]}/"


@pytest.fixture
def knowing(page: Page) -> Iterator[None]:
    made = page.do("Page.addScriptToEvaluateOnNewDocument", source=KNOWING)
    yield
    page.do("Page.removeScriptToEvaluateOnNewDocument", identifier=made["identifier"])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A slice, one with a name that is too long for a narrow window, and what is none."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "a.png").write_bytes(picture(0))
    (folder / f"b{'long' * 30}.png").write_bytes(picture(1))
    (folder / "c.png").write_bytes(b"no picture")
    return sorted(folder.iterdir())


def full(
    page: Page,
    url: str,
    files: list[Path],
    width: int = 1280,
    scheme: str = "dark",
    read: int = 2,
) -> None:
    """Show the page with all that it has, once so many files are read."""
    page.open(url, width, scheme)
    page.choose(files)
    page.drawn(read)
    page.one("#overlay").click()
    page.js("document.querySelectorAll('details').forEach(one => { one.open = true; })")


def violations(page: Page) -> list[Any]:
    """Return what axe-core finds; a rule that it cannot decide is not among it."""
    page.js(AXE.read_text(encoding="utf-8"))
    script = "axe.run({preload: false}).then(({violations}) => arguments[0](violations))"
    found = page.driver.execute_async_script(script)
    return [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found]


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core: scripts/axe fetches it")
@pytest.mark.usefixtures("knowing")
@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(
    page: Page, url: str, files: list[Path], width: int, scheme: str
) -> None:
    page.open(url, width, scheme)
    page.until("document.querySelectorAll('#card h3').length > 2")
    assert violations(page) == []
    full(page, url, files, width, scheme)
    assert violations(page) == []
    page.one("#ask-help").click()
    assert violations(page) == []
    page.js("document.querySelector('#help-title').textContent = ''")
    assert [name for name, _ in violations(page)] == ["empty-heading"]


@pytest.mark.usefixtures("knowing")
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_reaches_over_the_edge(page: Page, url: str, files: list[Path], width: int) -> None:
    page.open(url, width)
    assert page.js("return innerWidth") == width
    assert page.js(OVER_THE_EDGE) == []
    full(page, url, files, width)
    assert page.js(OVER_THE_EDGE) == []
    page.one("#canvas").send_keys("?")
    assert page.one("#help-dialog").is_displayed()
    assert page.js(OVER_THE_EDGE) == []
    page.one("#help-dialog").send_keys(Keys.ESCAPE)
    assert not page.one("#help-dialog").is_displayed()
    page.js("scrollTo(0, document.body.scrollHeight)")
    assert page.js("return document.querySelector('#notice').getBoundingClientRect().top") == 0
    assert page.complaints() == []
    page.js("document.querySelector('main').style.width = '1400px'")
    assert page.js(OVER_THE_EDGE) != []


@pytest.mark.usefixtures("knowing")
def test_what_a_classifier_knows_of_its_limits_is_shown(
    page: Page, url: str, files: list[Path]
) -> None:
    page.open(url)
    page.choose(files[:1])
    page.drawn(1)
    assert page.text("#place").startswith("a.png · slice 3 · ")  # it decided
    assert not page.all(".unfamiliar")
    page.one("#canvas").send_keys(Keys.HOME)
    page.drawn(1)
    held = page.all(".bars .held")
    assert len(held) == 2
    assert all("in the set" in row.text for row in held)
    assert page.text(".set") == "Set: 2 classes"
    assert page.text(".unfamiliar").split("\n") == [
        "Unfamiliar: do not rely on what it says of this slice.",
        "Its features lie farther from all known training images.",
    ]
    assert "p012_3" in page.text(".similar li")
    titles = [one.text for one in page.all(".results h3")]
    assert titles[:4] == [
        "Probabilities, calibrated on validation",
        "Family",
        "Sequence",
        "Similar cases of training",
    ]
    assert "61.2 % (95 % interval 54.1 % to 67.8 %), 412 test images" in page.text("#card")
    assert "560 labelled slices of 72 groups" in page.text("#card")
    assert page.text("#place").startswith("a.png · slice 1 · ")
    assert "Slice that decided: 3" in page.text(".series")
    page.one(".series button").click()
    assert page.text("#place").startswith("a.png · slice 3")
    assert page.text("#slice-told") == "3 of 3"
    assert not page.all(".unfamiliar")
    assert page.complaints() == []


@pytest.mark.usefixtures("knowing")
@pytest.mark.parametrize("width", [1280, 390])
def test_names_of_classes_stay_on_one_line_beside_their_mark(
    page: Page, url: str, files: list[Path], width: int
) -> None:
    full(page, url, files[:1], width, read=1)
    lines = """
    const [name] = arguments, range = document.createRange();
    return [...document.querySelectorAll(".bars li")].map(row => {
      const label = row.querySelector(".label"), tag = row.querySelector(".tag");
      label.textContent = name;
      range.selectNodeContents(label);
      const tops = [...range.getClientRects()].map(one => Math.round(one.top));
      const whole = !tag || tag.getClientRects().length === 1 && tag.offsetHeight < 30;
      return [new Set(tops).size, Boolean(tag), whole];
    });
    """
    rows = page.js(lines, "Other lesion T1C+")
    assert sum(tagged for _, tagged, _ in rows) == 2
    assert {(count, whole) for count, _, whole in rows} == {(1, True)}
    beside = """
    return [...document.querySelectorAll(".bars .tag")].map(tag =>
      tag.getBoundingClientRect().left > tag.previousSibling.getBoundingClientRect().right);
    """
    assert page.js(beside) == [True, True]
    corners = [page.one(one).rect for one in ("#place", "#windowing")]
    apart = corners[0]["x"] + corners[0]["width"] <= corners[1]["x"]
    assert apart or corners[0]["y"] >= corners[1]["y"] + corners[1]["height"]
    rows = page.js(lines, "A class whose name is far longer than its row is wide, as may be T1C+")
    assert {whole for *_, whole in rows} == {True}
    assert max(count for count, *_ in rows) > 1
    assert page.js(OVER_THE_EDGE) == []


@pytest.mark.usefixtures("knowing")
def test_the_focus_stays_when_a_part_is_drawn_anew(page: Page, url: str, files: list[Path]) -> None:
    page.open(url)
    page.choose(files[:1])
    page.drawn(1)
    focus = "return document.activeElement.dataset.keep ?? document.activeElement.id"
    page.one("#canvas").send_keys(Keys.HOME)
    page.one(".series button").send_keys(Keys.ENTER)
    assert page.text("#slice-told") == "3 of 3"
    assert page.js(focus) == "jump"
    page.js("document.querySelector('#list button').focus()")
    page.choose(files[1:2])
    page.drawn(2)
    assert page.js(focus) == "0"
    page.js("import('/page/problem.js').then(({bindProblem}) => bindProblem().show('odd'))")
    page.until("!document.querySelector('#problem').hidden")
    page.one("#dismiss").send_keys(Keys.ENTER)
    assert page.js(focus) == "canvas"


def test_without_them_it_says_that_it_does_not_know(
    page: Page, url: str, files: list[Path]
) -> None:
    page.open(url)
    page.choose(files[:1])
    page.drawn(1)
    assert page.text(".results h3") == "Probabilities: a softmax, not calibrated"
    assert not page.all(".bars .held, .unfamiliar, .similar, .series")
    told = page.text("#card")
    assert "Its file holds no test score" in told
    assert told.count("\n") > 10
    assert "its probabilities are not calibrated" in told


def test_dark_is_the_default_and_light_a_preference(page: Page, url: str) -> None:
    shades = []
    for scheme in ("dark", "light"):
        page.open(url, scheme=scheme)
        style = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
        shades.append([sum(map(float, re.findall(r"\d+", one))) for one in page.js(style)])
    (ink, night), (dark_ink, paper) = shades
    assert ink - night > 400
    assert paper - dark_ink > 400


def test_keys_reach_everything_and_the_focus_is_seen(
    page: Page, url: str, files: list[Path]
) -> None:
    full(page, url, files)
    page.js("document.activeElement.blur(); scrollTo(0, 0)")
    seen = set()
    for _ in range(60):
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
        name, outline = page.js(
            "const one = document.activeElement;"
            "return [one.id || one.name || one.tagName, getComputedStyle(one).outlineStyle]"
        )
        assert outline == "solid" or name == "BODY", name
        seen.add(name)
    wanted = {"save-json", "save-png", "print", "ask-help", "choose", "choose-folder", "clear"}
    assert wanted | {"canvas", "slice", "tool", "overlay", "method", "label", "opacity"} <= seen


def test_paper_has_the_notice_and_nothing_to_press(page: Page, url: str, files: list[Path]) -> None:
    full(page, url, files)
    page.resize(680, "dark", "print")
    try:
        for gone in ("nav", ".tools", "#drop", "#clear"):
            assert not page.one(gone).is_displayed()
        for kept in ("#notice", "#canvas", ".verdict", "#scale", "#card"):
            assert page.one(kept).is_displayed()
        shades = "return getComputedStyle(document.body).backgroundColor"
        assert page.js(shades) == "rgb(255, 255, 255)"
        assert page.js(OVER_THE_EDGE) == []
    finally:
        page.resize(1280)


@pytest.fixture
def translated(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page with each of its texts between marks, in another language."""

    def marked(text: Any) -> Any:
        if isinstance(text, dict):
            return {name: marked(one) for name, one in text.items()}
        return [marked(one) for one in text] if isinstance(text, list) else f"«{text}»"

    folder = tmp_path / "page"
    shutil.copytree(routes.PAGE, folder)
    texts = marked(json.loads((folder / "texts.json").read_text(encoding="utf-8")))
    texts["keys"] = [[keys.replace(" ", "» «"), text] for keys, text in texts["keys"]]
    (folder / "texts.json").write_text(json.dumps(texts | {"lang": "de"}), encoding="utf-8")
    monkeypatch.setattr(routes, "PAGE", folder)
    with Ported(engine) as made:
        yield f"http://127.0.0.1:{made.address[1]}/"


@pytest.mark.usefixtures("knowing")
def test_every_text_is_in_one_file(
    page: Page, translated: str, engine: Engine, files: list[Path]
) -> None:
    full(page, translated, files)
    assert page.js("return document.documentElement.lang") == "de"
    assert "61,2 %" in page.text("#card")
    data = {"brainssl", "Glioma", "Normal", "T1", "T2", *engine.classes, *engine.caveats}
    data |= {file.name for file in files}
    whys = "Its features lie farther from all known training images."
    found = page.js(TEXTS)
    assert len(found) > 80
    assert [one for one in found if "«" not in one and one not in data and one != whys] == []


def test_every_map_has_a_name() -> None:
    texts = json.loads((routes.PAGE / "texts.json").read_text(encoding="utf-8"))
    assert set(texts["methods"]) == set(MAPS)
