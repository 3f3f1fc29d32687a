"""The service's page in a real browser, driven as by hands."""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PATIENCE = 60  # seconds, on a machine that is busy
_FLAGS = (
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
_GIVEN = """
const held = new DataTransfer();
for (const [name, data] of Object.entries(arguments[1])) {
  held.items.add(new File([Uint8Array.from(atob(data), one => one.charCodeAt(0))], name));
}
dispatchEvent(arguments[0] === "paste"
  ? new ClipboardEvent("paste", { clipboardData: held })
  : new DragEvent("drop", { dataTransfer: held, cancelable: true }));
"""


class Page:
    """The page of a service.

    Attributes:
        driver: of the browser.
        folder: where what it saves arrives.
    """

    def __init__(self, folder: Path) -> None:
        options = Options()
        options.binary_location = str(CHROMIUM)
        for flag in (*_FLAGS, f"--user-data-dir={folder / 'profile'}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, Service(str(DRIVER)))
        self.folder = folder / "saved"
        self.folder.mkdir()
        saving = {"behavior": "allow", "downloadPath": str(self.folder)}
        self.do("Browser.setDownloadBehavior", **saving)

    def do(self, command: str, **options: Any) -> Any:
        """Give the browser a command of its own protocol."""
        return self.driver.execute_cdp_cmd(command, options)

    def js(self, script: str, *values: Any) -> Any:
        """Run a script and return what it returns."""
        return self.driver.execute_script(script, *values)

    def resize(self, width: int, scheme: str = "dark", media: str = "") -> None:
        """Be a window of this width, in which the system prefers a scheme."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.do("Emulation.setDeviceMetricsOverride", **size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.do("Emulation.setEmulatedMedia", media=media, features=[feature])

    def open(self, url: str, width: int = 1280, scheme: str = "dark") -> None:
        """Show the page anew."""
        self.resize(width, scheme)
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(url)
        self.until("document.querySelector('#choose')?.textContent")

    def until(self, condition: str, *values: Any) -> None:
        """Wait until a condition holds."""

        def holds(driver: webdriver.Chrome) -> bool:
            return bool(driver.execute_script(f"return {condition}", *values))

        WebDriverWait(self.driver, PATIENCE).until(holds, condition)

    def choose(self, files: Iterable[Path]) -> None:
        """Choose files as by the button."""
        self.one("#files").send_keys("\n".join(str(file) for file in files))

    def give(self, how: str, files: Mapping[str, str]) -> None:
        """Drop or paste files: `how` is "drop" or "paste", `files` are base64 by name."""
        self.js(_GIVEN, how, dict(files))

    def drawn(self, count: int) -> None:
        """Wait until so many slices are read, and one is drawn."""
        self.until("document.querySelectorAll('#list .read').length === arguments[0]", count)
        self.until("!document.querySelector('#save-png').disabled")

    def one(self, selector: str) -> Any:
        """Return an element."""
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        """Return elements."""
        return self.driver.find_elements("css selector", selector)

    def text(self, selector: str) -> str:
        """Return the text of an element."""
        return str(self.one(selector).text)

    def asked(self) -> list[str]:
        """Return the addresses that were asked since the page was opened."""
        said = [json.loads(one["message"])["message"] for one in self.driver.get_log("performance")]
        sent = [one["params"] for one in said if one["method"] == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in sent]

    def complaints(self) -> list[str]:
        """Return what the browser complained of since the page was opened."""
        return [str(one["message"]) for one in self.driver.get_log("browser")]

    def view(self) -> np.ndarray:
        """Return what is drawn, (64, 64, 3), once it is."""
        script = """
        const done = arguments[0], small = new OffscreenCanvas(64, 64);
        const context = small.getContext("2d", { willReadFrequently: true });
        requestAnimationFrame(() => requestAnimationFrame(() => {
          context.drawImage(document.querySelector("#canvas"), 0, 0, 64, 64);
          done([...context.getImageData(0, 0, 64, 64).data]);
        }));
        """
        found = self.driver.execute_async_script(script)
        return np.array(found, np.uint8).reshape(64, 64, 4)[..., :3]

    def saved(self, name: str) -> Path:
        """Wait for a file that the page saves."""
        file = self.folder / name
        WebDriverWait(self.driver, PATIENCE).until(lambda _: file.is_file(), name)
        return file
