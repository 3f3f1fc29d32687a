"""The page in a real browser, asked of a real service: files in, answers seen, everything kept."""

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps
from oracles.pages import CHROMIUM, DRIVER, Page
from oracles.pictures import encoded, noise, picture, png
from oracles.scans import scan
from oracles.services import Ported
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from brainssl.serving.answers import NOTICE
from brainssl.serving.engine import Engine
from brainssl.serving.limits import Limits

TOKEN = "0123456789abcdef0123"
LIMITS = Limits(max_files=4, max_bytes=2**20, max_pixels=10**6)

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium with its driver: scripts/browser installs them"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    made = Page(tmp_path_factory.mktemp("page"))
    yield made
    made.driver.quit()


@pytest.fixture(scope="module")
def service(engine: Engine) -> Iterator[Ported]:
    with Ported(engine, LIMITS) as made:
        yield made


@pytest.fixture(scope="module")
def url(service: Ported) -> str:
    return f"http://127.0.0.1:{service.address[1]}/"


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six slices, bright left of the middle and dark right of it; the names are a patient's."""
    folder = tmp_path_factory.mktemp("slices")
    for at in range(6):
        grey = noise(at, 60, 60) // 4 + np.where(np.arange(60) < 30, 180, 20).astype(np.uint8)
        (folder / f"Mueller {at + 1}.png").write_bytes(encoded(grey))
    return sorted(folder.iterdir())


def test_slices_are_classified_and_what_is_no_slice_is_told(
    page: Page, url: str, service: Ported, slices: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "notes.png"
    bad.write_bytes(b"no picture")
    page.open(url)
    assert page.text("#notice") == NOTICE
    assert not page.one(".view").is_displayed()
    page.choose([*slices, bad])
    page.drawn(6)
    assert page.text("#tally") == "6 read, 1 refused, 0 waiting"
    assert "is not an image in PNG" in page.text("#list .refused")
    [said] = service.predict(("a.png", slices[0].read_bytes())).json()["predictions"]
    page.until("document.querySelector('#list [aria-current]')")
    assert page.text(".verdict strong") == said["label"]
    shown = {row.text.split("\n")[0]: row.text.split("\n")[-1] for row in page.all(".bars li")}
    assert shown == {name: f"{100 * one:.1f} %" for name, one in said["probabilities"].items()}
    assert page.text("#status").startswith("6 read, 1 refused")
    assert page.complaints() == []
    asked = page.asked()
    assert sum(one == f"{url}predict" for one in asked) == 2  # at most four files at once
    assert [one for one in asked if not one.startswith(url)] == []
    assert not [line for line in service.log if "Mueller" in line]


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_files_are_dropped_and_pasted(page: Page, url: str, how: str) -> None:
    page.open(url)
    page.give(how, {f"{at}.png": base64.b64encode(picture(at)).decode() for at in (2, 10, 1)})
    page.drawn(3)
    assert [one.text for one in page.all("#list .name")] == ["1.png", "2.png", "10.png"]
    page.one("#clear").click()
    assert not page.one(".view").is_displayed()
    assert page.all("#list li") == []


def test_slider_wheel_and_keys_go_through_slices(page: Page, url: str, slices: list[Path]) -> None:
    page.open(url)
    page.choose(slices)
    page.drawn(6)
    canvas, told = page.one("#canvas"), page.one("#slice-told")
    canvas.send_keys(Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert told.text == "3 of 6"
    canvas.send_keys(Keys.END)
    assert told.text == "6 of 6"
    canvas.send_keys(Keys.ARROW_DOWN, Keys.PAGE_UP)
    assert told.text == "1 of 6"
    page.one("#slice").send_keys(Keys.ARROW_RIGHT)
    assert told.text == "2 of 6"
    page.js("arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: 120}))", canvas)
    assert told.text == "3 of 6"
    page.until("document.querySelector('#list [aria-current] .name').textContent.includes('3')")
    assert "Slice 3 of 6: Mueller 3.png" in page.text("#status")
    page.all("#list button")[4].click()
    assert told.text == "5 of 6"


def test_window_zoom_and_place(page: Page, url: str, slices: list[Path]) -> None:
    page.open(url)
    page.choose(slices[:1])
    page.drawn(1)
    canvas = page.one("#canvas")
    plain = page.view()
    assert plain[:, :30].mean() > plain[:, 34:].mean() + 100
    canvas.send_keys("]" * 6)
    assert page.text("#windowing").startswith("W 255 L 176")
    assert page.view().mean() < plain.mean() - 30
    canvas.send_keys("{" * 8)
    assert page.text("#windowing").startswith("W 127 L 176")
    canvas.send_keys("0")
    np.testing.assert_array_equal(page.view(), plain)
    page.js(
        "const b = arguments[0].getBoundingClientRect(); arguments[0].dispatchEvent(new WheelEvent("
        "'wheel', {deltaY: -1, ctrlKey: true, clientX: b.left, clientY: b.top}))",
        canvas,
    )
    canvas.send_keys("+" * 5)
    zoomed = page.view()
    assert page.text("#windowing").endswith("3.0 ×")
    drag = ActionChains(page.driver).click_and_hold(canvas)
    drag.move_by_offset(-150, 0).release().perform()
    assert page.view().mean() < zoomed.mean() - 20
    canvas.send_keys("0", "w")
    drag = ActionChains(page.driver).click_and_hold(canvas)
    drag.move_by_offset(0, 60).release().perform()
    assert page.text("#windowing").endswith("1.0 ×")
    assert not page.text("#windowing").startswith("W 255 L 128")
    assert page.complaints() == []


def test_the_map_is_laid_over_as_the_service_does(
    page: Page, url: str, service: Ported, slices: list[Path]
) -> None:
    page.open(url)
    page.choose(slices[:1])
    page.drawn(1)
    grey = page.view().astype(int)
    assert np.ptp(grey, axis=2).max() == 0
    canvas = page.one("#canvas")
    canvas.send_keys("o")
    coloured = np.ptp(page.view().astype(int), axis=2).max()
    asked = {"path": "/explain", "method": "gradcam"}
    [made] = service.predict(("a.png", slices[0].read_bytes()), **asked).json()["explanations"]
    assert coloured > 30 or made["peak"] == 0
    shown = page.text("#scale-peak")
    assert shown.startswith(f"Grad-CAM, for {made['label']}: peak ")
    assert float(shown.rpartition(" ")[2]) == pytest.approx(made["peak"], rel=0.05)
    page.js(
        "arguments[0].value = 0; arguments[0].dispatchEvent(new Event('input'))",
        page.one("#opacity"),
    )
    np.testing.assert_array_equal(page.view(), grey)
    seen = set()
    for _ in page.all("#method option"):
        canvas.send_keys("m")
        seen.add(page.js("return document.querySelector('#method').value"))
    assert seen == set(service.service.engine.methods)
    image, overlay = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(made[name]))))
        for name in ("image", "overlay")
    )
    levels = np.frombuffer(base64.b64decode(made["map"]), "<f4")
    drawn = page.driver.execute_async_script(
        "const [grey, map, done] = arguments; import('/page/compose.js').then(({composed, WHOLE, "
        "OPACITY}) => done([...composed(grey, map, WHOLE, OPACITY)]))",
        image.ravel().tolist(),
        levels.tolist(),
    )
    mine = np.array(drawn).reshape(*image.shape, 4)[..., :3]
    assert np.abs(mine - overlay.astype(int)).max() <= 2
    assert page.complaints() == []


def test_the_colours_are_viridis(page: Page, url: str) -> None:
    page.open(url)
    palette = page.driver.execute_async_script(
        "const done = arguments[0]; import('/page/colours.js').then(({PALETTE}) => "
        "done([...PALETTE]))"
    )
    true = 255 * colormaps["viridis"](np.arange(256))[:, :3]
    assert np.abs(np.array(palette).reshape(256, 3) - true).max() <= 2.5


def test_answers_and_the_view_are_saved(
    page: Page, url: str, slices: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "notes.png"
    bad.write_bytes(b"no picture")
    page.open(url)
    page.choose([slices[0], bad])
    page.drawn(1)
    page.one("#overlay").click()
    page.one("#save-json").click()
    told = json.loads(page.saved("brainssl.json").read_text(encoding="utf-8"))
    assert told["notice"] == NOTICE
    assert [one["file"] for one in told["predictions"]] == [slices[0].name]
    assert [one["file"] for one in told["unread"]] == ["notes.png"]
    assert sum(told["predictions"][0]["probabilities"].values()) == pytest.approx(1)
    page.one("#save-png").click()
    kept = np.asarray(Image.open(page.saved("brainssl.png")).convert("RGB")).astype(int)
    assert kept.shape[1] == 1024 < kept.shape[0]
    assert kept[1024:].max() == 255  # what was said, the scale and the notice
    assert np.ptp(kept[1024:, 700:], axis=2).max() > 50
    small = np.asarray(Image.fromarray(kept[:1024].astype(np.uint8)).resize((64, 64)))
    assert np.abs(small.astype(int) - page.view()).mean() < 6
    assert page.complaints() == []


def test_a_token_is_asked_for_once_and_kept_in_memory(
    page: Page, engine: Engine, slices: list[Path]
) -> None:
    with Ported(engine, token=TOKEN) as closed:
        page.open(f"http://127.0.0.1:{closed.address[1]}/")
        page.until("document.querySelector('#token-dialog').open")
        field = page.one("#token")
        field.send_keys("not this one, surely", Keys.ENTER)
        page.until("document.querySelector('#token-told').textContent === arguments[0]", WRONG)
        field.send_keys(TOKEN, Keys.ENTER)
        page.choose(slices[:2])
        page.drawn(2)
        assert not page.one("#token-dialog").is_displayed()
        kept = "return [localStorage.length, sessionStorage.length, document.cookie]"
        assert page.js(kept) == [0, 0, ""]
        page.open(f"http://127.0.0.1:{closed.address[1]}/")
        page.until("document.querySelector('#token-dialog').open")
        field = page.one("#token")
        field.send_keys(Keys.ESCAPE)
        page.until("!document.querySelector('#problem').hidden")
        assert "needs its token" in page.text("#problem")


WRONG = "This is not its token."


def test_a_busy_service_is_waited_for(
    page: Page, url: str, service: Ported, slices: list[Path]
) -> None:
    page.open(url)
    page.until("document.querySelectorAll('#card h3').length > 2")
    service.service._asked += LIMITS.requests
    page.choose(slices[:1])
    page.until("document.querySelector('#problem-text').textContent.includes('asking again in 2')")
    service.service._asked -= LIMITS.requests
    page.drawn(1)
    assert not page.one("#problem").is_displayed()


def test_files_are_kept_while_the_service_is_gone(page: Page, url: str, slices: list[Path]) -> None:
    page.open(url)
    page.until("document.querySelectorAll('#card h3').length > 2")
    away = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.do("Network.enable")
    page.do("Network.emulateNetworkConditions", offline=True, **away)
    page.choose(slices[:3])
    page.until("!document.querySelector('#problem').hidden")
    assert "does not answer" in page.text("#problem")
    assert page.text("#tally") == "0 read, 0 refused, 3 waiting"
    page.do("Network.emulateNetworkConditions", offline=False, **away)
    page.one("#retry").click()
    page.drawn(3)
    assert not page.one("#problem").is_displayed()


def test_no_slice_stands_beside_what_was_said_of_another(
    page: Page, url: str, slices: list[Path]
) -> None:
    page.open(url)
    page.choose(slices)
    page.drawn(6)
    before = page.view()
    away = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.do("Network.enable")
    page.do("Network.emulateNetworkConditions", offline=True, **away)
    page.one("#canvas").send_keys(Keys.END)
    page.until("!document.querySelector('#problem').hidden")
    assert page.text("#place") == "Mueller 6.png"
    assert page.view().max() == 0 < before.max()
    assert page.one("#save-png").get_attribute("disabled")
    page.do("Network.emulateNetworkConditions", offline=False, **away)
    page.one("#retry").click()
    page.drawn(6)
    assert page.view().max() > 0


def test_each_refusal_is_one_line(page: Page, url: str, tmp_path: Path) -> None:
    files = {
        "large.png": b"x" * 2**20,
        "wide.png": png(2000, 600, 8, 0, b""),
        "empty.png": b"",
        "cut.png": picture(0)[:300],
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    page.open(url)
    page.choose(sorted(tmp_path.iterdir()))
    page.until("document.querySelectorAll('#list .refused').length === 4")
    told = {one.text.split("\n")[0]: one.text.split("\n")[1] for one in page.all("#list li")}
    assert told == {
        "cut.png": "refused: is corrupt or truncated",
        "empty.png": "refused: is empty",
        "large.png": "refused: larger than the 1 MB that this service takes at once",
        "wide.png": "refused: has 2000 × 600 pixels, more than the limit of 1,000,000",
    }
    assert not page.one("#problem").is_displayed()


def test_a_slice_of_dicom_files_is_saved_as_dicom_and_no_picture_is(
    page: Page, engine: Engine, slices: list[Path], tmp_path: Path
) -> None:
    files = scan(tmp_path / "scan", FrameOfReferenceUID="1.2.9")
    with Ported(engine, Limits(decode_seconds=120)) as ours:
        page.open(f"http://127.0.0.1:{ours.address[1]}/")
        page.choose([slices[0]])
        page.drawn(1)
        assert page.one("#save-dicom").get_attribute("disabled")
        page.one("#clear").click()
        page.choose(files)
        page.until("document.querySelector('#save-dicom').disabled === false")
        page.one("#save-dicom").click()
        with zipfile.ZipFile(page.saved("brainssl-dicom.zip")) as held:
            assert held.namelist()[0] == "parametric-map.dcm"
    assert page.complaints() == []
