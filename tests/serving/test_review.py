"""The page of a review: what it may be asked, and that a verdict is kept before it is told."""

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from brainssl.data.verdicts import Verdict, append_verdict, read_verdicts
from brainssl.serving.guard import HEADERS
from brainssl.serving.review import PAGE, Deck, ReviewService, review_routes_of
from brainssl.serving.routes import page_paths
from brainssl.serving.server import behind_door

TOKEN = "a token of the tests".replace(" ", "-")
SEND = {"Content-Type": "application/json"}


def deck_of(log: Path) -> Deck:
    cards = [
        {"image_id": "one", "label": "a", "path": "1.png", "other_id": "copy"},
        {"image_id": "two", "label": "b", "path": "2.png", "other_id": None},
    ]
    images = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8)
    return Deck(cards, ("a", "b"), images, {"one": 0, "two": 1, "copy": 2}, log, "Ann")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "verdicts.jsonl"


def ask(log: Path, method: str, path: str, *, token: str | None = None, **options: Any) -> Any:
    service = ReviewService(deck_of(log))
    lines: list[str] = []
    guard = behind_door(review_routes_of(service), lines.append, free=page_paths(PAGE), token=token)

    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(app=guard)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **options)

    answered = asyncio.run(answer())
    assert answered.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
    assert "one" not in "".join(lines)
    return answered


def send(log: Path, **verdict: Any) -> Any:
    return ask(log, "POST", "/verdict", content=json.dumps(verdict), headers=SEND)


def test_a_verdict_is_on_the_disk_when_it_is_told(log: Path) -> None:
    answer = send(log, image_id="one", verdict="relabel", label="b")
    assert (answer.status_code, answer.json()["label"]) == (200, "b")
    [kept] = read_verdicts(log)
    assert (kept.image_id, kept.given, kept.label, kept.reviewer) == ("one", "a", "b", "Ann")
    assert kept.time.startswith("20")
    assert send(log, image_id="one", verdict="keep", label="b").json()["label"] == ""
    assert ask(log, "GET", "/cards").json()["verdicts"] == {"one": {"verdict": "keep", "label": ""}}


def test_a_verdict_of_another_label_is_not_taken_for_one_of_this(log: Path) -> None:
    append_verdict(log, Verdict("two", "c", "keep", "", "", ""))
    assert ask(log, "GET", "/cards").json()["verdicts"] == {}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "[" * 2000,
        '{"image_id": "one"}',
        '{"image_id": "copy", "verdict": "keep", "label": ""}',
        '{"image_id": ["one"], "verdict": "keep", "label": ""}',
        '{"image_id": "one", "verdict": "burn", "label": ""}',
        '{"image_id": "one", "verdict": ["keep"], "label": ""}',
        '{"image_id": "one", "verdict": "relabel", "label": "a"}',
        '{"image_id": "one", "verdict": "relabel", "label": {"b": 1}}',
    ],
)
def test_what_is_no_verdict_is_refused_and_not_kept(log: Path, body: str) -> None:
    answer = ask(log, "POST", "/verdict", content=body, headers=SEND)
    assert answer.status_code == 422
    assert "\n" not in answer.json()["error"]
    assert not log.exists()


def test_a_form_and_too_much_are_refused(log: Path) -> None:
    assert ask(log, "POST", "/verdict", data={"image_id": "one"}).status_code == 415
    assert ask(log, "POST", "/verdict", content="x" * 5000, headers=SEND).status_code == 413
    stranger = SEND | {"Origin": "http://elsewhere.example"}
    assert ask(log, "POST", "/verdict", content="{}", headers=stranger).status_code == 403


def test_images_are_those_of_the_deck_alone(log: Path) -> None:
    answer = ask(log, "GET", "/image?id=copy")
    assert answer.headers["content-type"] == "image/png"
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert (pixels == deck_of(log).images[2]).all()
    for name in ("", "three", "../../etc/passwd"):
        assert ask(log, "GET", "/image", params={"id": name}).status_code == 404


def test_with_a_token_only_the_page_is_free(log: Path) -> None:
    for path in page_paths(PAGE):
        assert ask(log, "GET", path, token=TOKEN).status_code == 200
    for path in ("/cards", "/image?id=one"):
        assert ask(log, "GET", path, token=TOKEN).status_code == 401
        own = {"Authorization": f"Bearer {TOKEN}"}
        assert ask(log, "GET", path, token=TOKEN, headers=own).status_code == 200
    assert ask(log, "POST", "/verdict", token=TOKEN, content="{}").status_code == 401


def test_the_page_has_nothing_inline() -> None:
    html = (PAGE / "index.html").read_text("utf-8")
    assert re.findall(r"<script(?! src=\"/page/)", html) == []
    assert re.findall(r"\s(?:style|on\w+)=|<style|data:", html) == []
    script = (PAGE / "review.js").read_text("utf-8")
    assert re.findall(r"innerHTML|insertAdjacentHTML|eval\(|data:|localStorage", script) == []
    assert set(re.findall(r'at\("(\w+)"\)', script)) <= set(re.findall(r'id="(\w+)"', html))


SERVE = """
import sys
from pathlib import Path
from brainssl.serving.review import PAGE, ReviewService, review_routes_of
from brainssl.serving.routes import page_paths
from brainssl.serving.server import behind_door, bind, run
sys.path.insert(0, sys.argv[2])
from test_review import deck_of
def say(line):
    print(line, flush=True)
service = ReviewService(deck_of(Path(sys.argv[1])))
guard = behind_door(review_routes_of(service), say, free=page_paths(PAGE))
with bind("127.0.0.1", 0, None) as taken:
    run(guard, service, taken, say)
"""


def test_it_ends_by_a_signal_and_goes_on_after_a_kill(log: Path) -> None:
    here = Path(__file__).parent
    own = {"PYTHONPATH": str(here.parents[1] / "src"), "OMP_NUM_THREADS": "1"}

    def started() -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(log), str(here)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | own,
        )
        assert process.stdout
        found = re.search(r"serving on (\S+)", process.stdout.readline())
        assert found
        return process, found[1]

    process, url = started()
    body = {"image_id": "two", "verdict": "unsure", "label": ""}
    assert httpx.post(f"{url}/verdict", json=body).status_code == 200
    process.kill()
    process.communicate()
    process, url = started()
    decided = httpx.get(f"{url}/cards").json()["verdicts"]
    assert decided == {"two": {"verdict": "unsure", "label": ""}}
    process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert time.monotonic() - begun < 20
