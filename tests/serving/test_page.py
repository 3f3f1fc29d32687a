"""The page in a real browser, asked of a real service: files in, answers seen, everything kept."""

import base64
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from oracles.dicom_files import AXIAL, made, positions, write
from oracles.heads import head
from oracles.pages import CHROMIUM, DRIVER, PATIENCE, Page
from oracles.pictures import encoded, noise, picture, png
from oracles.scans import scan
from oracles.services import Ported
from PIL import Image
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from brainssl.serving.answers import NOTICE
from brainssl.serving.engine import Engine
from brainssl.serving.limits import Limits

TOKEN = "0123456789abcdef0123"
LIMITS = Limits(max_files=4, max_bytes=2**20, max_pixels=10**6, decode_seconds=60.0)

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


def test_files_are_dropped_and_pasted(page: Page, url: str) -> None:
    page.open(url)
    data = {f"{at}.png": base64.b64encode(picture(at)).decode() for at in (1, 2, 10)}
    page.give("drop", {name: data.pop(name) for name in ("2.png", "1.png")})
    page.drawn(2)
    page.give("paste", data)
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
    assert page.text("#windowing").startswith("W 100 % L 69 %")
    assert page.view().mean() < plain.mean() - 30
    canvas.send_keys("{" * 8)
    assert page.text("#windowing").startswith("W 50 % L 69 %")
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
    assert not page.text("#windowing").startswith("W 100 % L 50 %")
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
    page.drawn(1)
    coloured = np.ptp(page.view().astype(int), axis=2).max()
    asked = {"path": "/explain", "method": "gradcam"}
    [made] = service.predict(("a.png", slices[0].read_bytes()), **asked).json()["explanations"]
    assert coloured > 30 or made["peak"] == 0
    shown = page.text("#scale-peak")
    assert shown.startswith(f"Grad-CAM, for {made['label']}: peak ")
    peak, _, more = shown.partition(": peak ")[2].partition(", ")
    assert float(peak) == pytest.approx(made["peak"], rel=0.05)
    assert more == "the same everywhere: it tells no place"  # of 32 px the network makes one
    page.js(
        "arguments[0].value = 0; arguments[0].dispatchEvent(new Event('input'))",
        page.one("#opacity"),
    )
    np.testing.assert_array_equal(page.view(), grey)
    seen = set()
    for _ in page.all("#method option"):
        canvas.send_keys("m")
        page.drawn(1)
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


def test_a_series_is_shown_at_its_own_resolution_and_its_map_in_place(
    page: Page, url: str, service: Ported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.service, "limits", Limits(max_files=9))
    volume, files = np.clip(head(1, (9, 40, 64)), 0, None).astype(np.uint16), []
    volume[3:6, 8:16, 44:52] = 1000  # seen at the upper right, in slices 4 to 6
    for at, position in enumerate(positions(AXIAL, len(volume))):
        facts = {"ImagePositionPatient": position, "RescaleSlope": 2.0, "RescaleIntercept": -100.0}
        one = made(volume[at], PixelSpacing=[1.0, 1.0], **facts)
        files.append(write(one, tmp_path / f"{9 - at}.dcm"))
    sent = [(f"{at}", file.read_bytes()) for at, file in enumerate(files)]
    said = service.predict(*sent).json()
    [series] = said["series"]
    numbers = [one["slice"] for one in said["predictions"]]  # of those that show the brain
    page.open(url)
    page.choose(files)
    page.drawn(9)
    # All were sent at once, and the slice that decided comes first, under the first file's name.
    own = series["decided_by"]["slice"]
    assert page.text("#place") == f"1.dcm · slice {own} · 64 × 40"
    assert "only a part of it was judged" not in page.text(".series")
    canvas = page.one("#canvas")
    canvas.send_keys(Keys.HOME, *[Keys.ARROW_DOWN] * numbers.index(5))
    page.until("document.querySelector('#place').textContent.includes('slice 5 · 64')")
    page.drawn(9)
    [told] = service.predict(*sent, path="/slices", slices="5").json()["slices"]
    width, level = told["white"] - told["black"], (told["white"] + told["black"]) / 2
    assert page.text("#windowing") == f"W {width:,.0f} L {level:,.0f} · 1.0 ×"
    canvas.send_keys("]" * 10, "{" * 12)  # until nothing but the mark is left
    rows, columns = np.nonzero(page.view()[..., 0] > 128)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 27, 44, 51)
    # A map that is the classifier's own picture of the slice falls on what it is a picture of.
    [seen] = service.predict(*sent, path="/explain", slices="5").json()["explanations"]
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(seen["image"])))) / 255
    laid = page.driver.execute_async_script(
        "const [map, size, own, done] = arguments; import('/page/compose.js').then(({spread}) => "
        "done([...spread({map, size}, own)]))",
        image.ravel().tolist(),
        seen["size"],
        {name: told[name] for name in ("width", "height", "place")},
    )
    true = ((2.0 * volume[4] - 100 - told["black"]) / width).clip(0, 1)
    ways = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    alike = [np.corrcoef(laid, np.roll(true, way, (0, 1)).ravel())[0, 1] for way in ways]
    assert ways[int(np.argmax(alike))] == (0, 0)  # no shift by a pixel fits as well
    canvas.send_keys("o")
    page.drawn(9)
    assert page.text("#scale-peak").startswith("Grad-CAM, for ")
    asked = page.asked()
    assert sum(one == f"{url}explain" for one in asked) == 1  # of one slice, all kinds of maps
    canvas.send_keys("m")
    page.drawn(9)
    assert f"{url}explain" not in page.asked()
    assert page.complaints() == []


LOOK = """
const [files, done] = arguments;
const modules = ["headers", "parts"].map((name) => import(`/page/${name}.js`));
Promise.all(modules).then(async ([{ lookInto }, { nextPart }]) => {
  const entries = [];
  for (const [name, data] of files) {
    const file = new File([Uint8Array.from(atob(data), one => one.charCodeAt(0))], name);
    entries.push({ file, name, folder: "", state: "waiting", looked: await lookInto(file) });
  }
  const bounds = { max_bytes: 2 ** 20, max_files: 9, max_slices: 4 }, parts = [];
  for (let part = nextPart(entries, bounds); part.length; part = nextPart(entries, bounds)) {
    for (const entry of part) entry.state = "read";
    parts.push(part.map(({ name, cut }) => (cut ? `${name} cut` : name)));
  }
  done([entries.map(({ looked }) => looked), parts]);
});
"""


def test_files_of_a_series_go_together_within_what_the_service_takes(page: Page, url: str) -> None:
    def dicom(series: str, frames: int = 1, **how: Any) -> bytes:
        # Of another series, before it: a sequence whose end is told by a mark alone.
        other = Dataset()
        other.SeriesInstanceUID = "9.9"
        pixels = np.zeros((frames, 4, 4), np.uint16)
        one = made(pixels if frames > 1 else pixels[0], SeriesInstanceUID=series)
        if frames > 1:
            one.NumberOfFrames = frames
        one.ReferencedSeriesSequence = [other]
        one["ReferencedSeriesSequence"].is_undefined_length = True
        held = io.BytesIO()
        if how:
            one.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        one.save_as(held, enforce_file_format=True, **how)
        return held.getvalue()

    files = {
        "a": dicom("1.2", implicit_vr=True, little_endian=True),
        "b": dicom("1.3", 3),
        "c": dicom("1.2"),
        "d": dicom("1.3", 3),
        "e.png": picture(0),
        "f.nii.gz": b"x",
        "g.png": picture(0),
        "h": encoded(noise(0), "JPEG"),
    }
    page.open(url)
    given = [[name, base64.b64encode(data).decode()] for name, data in files.items()]
    looked, parts = page.driver.execute_async_script(LOOK, given)
    assert [(one["kind"], one["series"], one["slices"]) for one in looked[:4]] == [
        ("dicom", "1.2", 1),
        ("dicom", "1.3", 3),
        ("dicom", "1.2", 1),
        ("dicom", "1.3", 3),
    ]
    assert parts == [["a", "c"], ["b cut"], ["d cut"], ["e.png"], ["f.nii.gz"], ["g.png", "h"]]


def test_a_part_that_failed_is_told_and_sent_again(
    page: Page, url: str, service: Ported, slices: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    page.open(url)
    page.until("document.querySelectorAll('#card h3').length > 2")
    fine = service.service.engine.answers

    def fails(images: Any, seen: Any) -> Any:
        if len(images) == 4:  # the first part of six
            raise ValueError
        return fine(images, seen)

    monkeypatch.setattr(service.service.engine, "answers", fails)
    page.choose(slices)
    page.until("!document.querySelector('#problem').hidden")
    assert page.text("#problem-text").startswith("4 files have no answer. ")
    assert "\n" not in page.text("#problem-text")
    assert page.text("#tally") == "2 read, 0 refused, 4 waiting"
    monkeypatch.undo()
    page.one("#retry").click()
    page.drawn(6)
    assert not page.one("#problem").is_displayed()
    assert page.text("#tally") == "6 read, 0 refused, 0 waiting"


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


def test_pictures_are_judged_alone_and_it_says_so(page: Page, url: str, slices: list[Path]) -> None:
    page.open(url)
    page.choose(slices[:1])
    page.drawn(1)
    assert "judged alone" not in page.text("#said")
    page.choose(slices[1:2])
    page.drawn(2)
    page.one("#canvas").send_keys(Keys.END)
    assert "Each picture is judged alone." in page.text("#said")


def test_the_wheel_scrolls_the_page_where_there_is_one_slice(
    page: Page, url: str, slices: list[Path]
) -> None:
    kept = """
    const event = new WheelEvent("wheel", { deltaY: 120, cancelable: true });
    document.querySelector("#canvas").dispatchEvent(event);
    return event.defaultPrevented;
    """
    page.open(url)
    page.choose(slices[:1])
    page.drawn(1)
    assert not page.js(kept)
    page.choose(slices[1:2])
    page.drawn(2)
    assert page.js(kept)


def test_what_is_busy_hides_no_other_line(page: Page, url: str) -> None:
    page.open(url)
    page.driver.execute_async_script(
        "const done = arguments[0]; import('/page/problem.js').then(({bindProblem}) => {"
        "  window.problem = bindProblem(); done(); })"
    )
    page.js("problem.waits(2); problem.waits(3)")
    assert "asking again in 3 s" in page.text("#problem")
    page.js("problem.waits(0)")
    assert "asking again in 3 s" in page.text("#problem")
    page.js("problem.show('a file is lost'); problem.waits(0); problem.waits(5)")
    assert page.text("#problem-text") == "a file is lost"
    page.js("problem.hide(); problem.waits(0)")
    assert not page.one("#problem").is_displayed()


def test_what_cannot_be_opened_in_a_folder_is_told(page: Page, url: str) -> None:
    page.open(url)
    page.js(
        """
        const bytes = Uint8Array.from(atob(arguments[0]), one => one.charCodeAt(0));
        const good = new File([bytes], "a.png");
        const entry = (name, file) => ({ isFile: true, name, file });
        let inside = [entry("a.png", (give) => give(good)), entry("b.png", (_, fail) => fail())];
        const readEntries = (give) => { give(inside); inside = []; };
        const folder = { isDirectory: true, name: "P1", createReader: () => ({ readEntries }) };
        const event = new Event("drop", { cancelable: true });
        event.dataTransfer = { items: [{ webkitGetAsEntry: () => folder }], files: [] };
        dispatchEvent(event);
        """,
        base64.b64encode(picture(0)).decode(),
    )
    page.drawn(1)
    assert page.text("#problem-text") == "1 file or folder could not be opened: b.png"


def test_what_is_removed_while_it_is_sent_does_not_come_back(
    page: Page, url: str, service: Ported, slices: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    page.open(url)
    page.until("document.querySelectorAll('#card h3').length > 2")
    fine, gone = service.service.engine.answers, threading.Event()

    def waits(images: Any, seen: Any) -> Any:
        gone.wait(PATIENCE)
        return fine(images, seen)

    monkeypatch.setattr(service.service.engine, "answers", waits)
    page.choose(slices[:2])
    page.until("document.querySelectorAll('#list .sending').length === 2")
    page.one("#clear").click()
    gone.set()
    page.until("document.querySelector('#status').textContent === '0 read, 0 refused.'")
    assert not page.one(".view").is_displayed()
    assert not page.one("#problem").is_displayed()
    page.choose(slices[2:3])
    page.drawn(1)
    assert page.complaints() == []
