"""Draws `page.png`: the service's page with a series, and a map that tells a place over it.

PYTHONPATH=tests python docs/images/page.py runs/tuned phantom/dicom/P001/series
"""

import sys
import tempfile
from pathlib import Path

from oracles.pages import Page
from oracles.services import Ported
from PIL import Image

from brainssl.serving.engine import Engine
from brainssl.serving.limits import Limits


def main(classifier: Path, series: Path, width: int = 1280, scheme: str = "dark") -> None:
    """Show a series to a classifier, with its map, and keep what is seen."""
    files = sorted(file for file in series.rglob("*") if file.is_file())
    limits = Limits(decode_seconds=300.0, answer_seconds=300.0)
    with tempfile.TemporaryDirectory() as folder, Ported(Engine.load(classifier), limits) as made:
        page = Page(Path(folder))
        try:
            page.open(f"http://127.0.0.1:{made.address[1]}/", width, scheme)
            page.choose(files)
            page.until("!document.querySelector('#save-png').disabled")
            page.one("#overlay").click()
            page.until("!document.querySelector('#scale').hidden")
            if "everywhere" in page.text("#scale-peak"):  # shows nothing: the slice is seen better
                page.one("#overlay").click()
            page.until("!document.querySelector('#save-png').disabled")
            page.view()
            page.js("document.activeElement.blur(); scrollTo(0, 0)")
            out = Path(__file__).with_suffix(".png")
            page.driver.save_screenshot(str(out))
        finally:
            page.driver.quit()
    with Image.open(out) as seen:
        seen.convert("RGB").save(out, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
