"""The page in a real browser, on a desk and a phone: no error, nothing clipped, all is drawn."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from brainssl.reporting import render_report

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
)

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium with its driver: scripts/browser installs them"
)

# What reaches over the window's edge and is in nothing that scrolls sideways. What lies wholly to
# the left is put there: the link that skips to the content, Plotly's box for measuring text.
CLIPPED = """
const edge = document.documentElement.clientWidth + 1, found = [];
for (const element of document.querySelectorAll("body *")) {
  const box = element.getBoundingClientRect();
  if (!box.width || !box.height || box.right <= 0) continue;
  if (box.right <= edge && box.left >= -1) continue;
  if (element.closest("svg") && element.tagName !== "svg") continue;
  let parent = element.parentElement, scrolls = false;
  for (; parent; parent = parent.parentElement) {
    if (["auto", "scroll"].includes(getComputedStyle(parent).overflowX)) scrolls = true;
  }
  if (!scrolls) found.push(`${element.tagName}.${element.className} ${box.left} to ${box.right}`);
}
return found;
"""

# Text of figures that reaches over the edge of its drawing, which shows nothing beyond it.
CUT_OFF = """
const found = [];
for (const text of document.querySelectorAll("svg.main-svg text")) {
  const box = text.getBoundingClientRect();
  if (!box.width || !box.height) continue;
  const page = text.closest("svg.main-svg").getBoundingClientRect();
  const beyond = Math.max(page.left - box.left, box.right - page.right,
                          page.top - box.top, box.bottom - page.bottom);
  if (beyond > 1) found.push(`${text.closest(".plot")?.id}: ${text.textContent} by ${beyond}`);
}
return found;
"""
CHOOSE = """
arguments[0].value = arguments[1];
arguments[0].dispatchEvent(new Event("change"));
"""
DRAWN = """
return [...document.querySelectorAll(".canvas")].every(
  canvas => canvas.offsetParent === null || canvas.querySelector("svg.main-svg"));
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(str(DRIVER)))
    yield driver
    driver.quit()


def opened(browser: webdriver.Chrome, page: Path, width: int, scheme: str = "light") -> None:
    """Show a page at a width, with every fold open and every figure drawn."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
    browser.get(page.as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(DRAWN))


@pytest.fixture(scope="module")
def report(analysed_study: Path) -> Path:
    return render_report(analysed_study)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_clipped_and_nothing_complains(
    browser: webdriver.Chrome, report: Path, width: int, scheme: str
) -> None:
    opened(browser, report, width, scheme)
    assert browser.execute_script("return innerWidth") == width
    assert browser.execute_script(CLIPPED) == []
    assert browser.execute_script(CUT_OFF) == []
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(wide) <= 0
    assert browser.get_log("browser") == []
    drawn = "return document.querySelectorAll('.canvas svg.main-svg').length"
    assert browser.execute_script(drawn) > 10


@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=pytest.mark.thorough)])
def test_every_panel_of_a_choice_is_drawn_whole(
    browser: webdriver.Chrome, report: Path, width: int
) -> None:
    opened(browser, report, width)
    choices = browser.find_elements("css selector", ".choice select")
    chosen = 0
    for select in choices:
        names = browser.execute_script("return [...arguments[0].options].map(o => o.value)", select)
        for name in names:
            browser.execute_script(CHOOSE, select, name)
            WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(DRAWN))
            shown = "return !document.getElementById(arguments[0]).hidden"
            assert browser.execute_script(shown, name), name
            assert browser.execute_script(CLIPPED) == [], name
            assert browser.execute_script(CUT_OFF) == [], name
            chosen += 1
    assert chosen == len(browser.find_elements("css selector", ".choice > .panel")) > len(choices)
    assert browser.get_log("browser") == []


def test_paper_shows_all_of_it(browser: webdriver.Chrome, report: Path) -> None:
    """As wide as A4 between its margins, 180 mm; on paper nothing can be scrolled."""
    opened(browser, report, 680)
    print_media = {"media": "print", "features": []}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", print_media)
    try:
        browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
        WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(DRAWN))
        hidden = "return getComputedStyle(document.querySelector('nav')).display"
        assert browser.execute_script(hidden) == "none"
        assert browser.execute_script("return !document.querySelector('details:not([open])')")
        assert browser.execute_script(CLIPPED) == []
        assert browser.execute_script(CUT_OFF) == []
        assert browser.get_log("browser") == []
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def test_what_is_cut_off_is_found(browser: webdriver.Chrome, report: Path) -> None:
    opened(browser, report, 1280)
    browser.execute_script(
        "const text = document.querySelector('#reliability svg.main-svg text');"
        "text.setAttribute('transform', 'translate(-2000, 0)');"
    )
    (found,) = browser.execute_script(CUT_OFF)
    assert found.startswith("reliability:")
    browser.execute_script("document.querySelector('main').style.width = '1400px'")
    assert len(browser.execute_script(CLIPPED)) > 1


def test_dark_and_light_have_ink_that_can_be_read(browser: webdriver.Chrome, report: Path) -> None:
    inks = {}
    for scheme in ("light", "dark"):
        opened(browser, report, 1280, scheme)
        style = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
        inks[scheme] = [sum(map(float, c[4:-1].split(","))) for c in browser.execute_script(style)]
    (ink, paper), (light, night) = inks["light"], inks["dark"]
    assert paper - ink > 400
    assert light - night > 400


def test_the_keyboard_reaches_folds_and_models(browser: webdriver.Chrome, report: Path) -> None:
    opened(browser, report, 1280)
    fold = browser.find_element("css selector", "details > summary")
    before = fold.find_element("xpath", "..").get_attribute("open")
    fold.send_keys(Keys.ENTER)
    assert fold.find_element("xpath", "..").get_attribute("open") != before
    select = browser.find_element("css selector", ".choice select")
    shown = "return [...document.querySelectorAll('.choice > .panel')].findIndex(p => !p.hidden)"
    assert browser.execute_script(shown) == 0
    select.send_keys(Keys.ARROW_DOWN)
    assert browser.execute_script(shown) == 1
    assert browser.get_log("browser") == []


def test_pointing_at_a_map_shows_the_slice_and_its_place_on_the_other_maps(
    browser: webdriver.Chrome, report: Path
) -> None:
    opened(browser, report, 1280)
    figure = browser.find_element("css selector", "#features .canvas")
    maps = browser.find_elements("css selector", "#features .panel:not([hidden]) .canvas")
    tip = browser.find_element("css selector", "#features .slices")
    assert not tip.is_displayed()
    # Scrolling hides what is pointed at, and the page scrolls smoothly, also to what gets a key.
    still = "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})"
    settled = f"{still}; setTimeout(arguments[1], 100)"
    browser.execute_async_script(settled, figure)
    figure.send_keys(Keys.ARROW_RIGHT)
    assert tip.is_displayed()
    first = tip.text
    assert "image-" in first
    shown = "return document.querySelectorAll('#features .panel:not([hidden]) .shown').length"
    assert browser.execute_script(shown) == len(maps) == 6
    figure.send_keys(Keys.ARROW_RIGHT)
    assert tip.text != first
    assert browser.execute_script(shown) == len(maps)
    figure.send_keys(Keys.ESCAPE)
    assert not tip.is_displayed()
    assert browser.execute_script(shown) == 0
    point = figure.find_elements("css selector", ".scatterlayer .point")[7]

    def pointed_at(driver: webdriver.Chrome) -> bool:
        """Point, again if the page was still scrolling."""
        driver.execute_async_script(settled, point)
        ActionChains(driver).move_by_offset(1, 1).move_to_element(point).perform()
        driver.execute_async_script("setTimeout(arguments[0], 200)")
        return bool(tip.is_displayed())

    WebDriverWait(browser, 60).until(pointed_at)
    assert browser.execute_script(shown) == len(maps)
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_first_screen_answers(browser: webdriver.Chrome, report: Path, scheme: str) -> None:
    """Sentence, whether to believe it, figure 1, four slices: in this order, without scrolling."""
    opened(browser, report, 1280, scheme)
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = false; })")
    parts = ["p.lead", "p.mark", "#figure-1", "#answer .strips img"]
    tops, ends = zip(
        *browser.execute_script(
            "return arguments[0].map(part => {"
            "const box = document.querySelector(part).getBoundingClientRect();"
            "return [box.top, box.bottom]; })",
            parts,
        ),
        strict=True,
    )
    assert list(tops) == sorted(tops)
    assert ends[-1] <= 800
    nav = "return document.querySelector('nav').getBoundingClientRect().top"
    assert browser.execute_script(nav) > ends[-1]
    names = "return document.querySelectorAll('#figure-1 .ytick text').length"
    assert browser.execute_script(names) > 3
    shared = "return document.querySelectorAll('.shared .bare .ytick text').length"
    assert browser.execute_script(shared) == 0
