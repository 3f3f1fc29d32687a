"""Who is offline is told within seconds, in one line; what is in the cache is taken."""

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
from huggingface_hub import constants
from oracles.hub import hub
from timm.models import save_for_hf

from brainssl.models.hub_access import answers, hub_within_reach

_SCRIPT = """
import sys, time
from brainssl.foundation.errors import BrainsslError
from brainssl.models.sources import find_source
started = time.perf_counter()
try:
    print("found", find_source(sys.argv[1], "test_resnet").title)
except BrainsslError as error:
    print(error)
print(time.perf_counter() - started)
"""


@pytest.fixture
def closed() -> str:
    """An address at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def silent() -> Iterator[str]:
    """An address at which somebody listens, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def asked(weights: str, address: str, cache: Path) -> tuple[list[str], str, float]:
    """Ask in a process of its own: the library reads the hub's address when it is imported."""
    own = {"HF_ENDPOINT": address, "HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1"}
    own |= {"HF_HUB_OFFLINE": "0", "no_proxy": "127.0.0.1"}
    told = subprocess.run(
        [sys.executable, "-c", _SCRIPT, weights],
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=True,
    )
    *lines, took = told.stdout.splitlines()
    return lines, told.stderr, float(took)


@pytest.mark.parametrize(
    "weights",
    ["hub:timm/test_resnet.r160_in1k", pytest.param("imagenet", marks=pytest.mark.thorough)],
)
def test_who_is_offline_is_told_in_one_line_within_seconds(
    weights: str, closed: str, tmp_path: Path
) -> None:
    """The library alone would retry for a minute, and say so."""
    lines, errors, took = asked(weights, closed, tmp_path)
    (line,) = lines
    assert "connect to the internet, or set encoder.weights to random or to a file" in line
    assert errors == ""
    assert took < 15


def test_what_was_fetched_before_is_taken_offline(closed: str, tmp_path: Path) -> None:
    folder, model = tmp_path / "made", "timm/test_resnet.r160_in1k"
    save_for_hf(timm.create_model("test_resnet"), folder, safe_serialization=True)
    kept = tmp_path / "cache" / f"models--{model.replace('/', '--')}"
    kept.mkdir(parents=True)
    (kept / "snapshots").mkdir()
    folder.rename(kept / "snapshots" / ("0" * 40))
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("0" * 40)
    lines, errors, _ = asked(f"hub:{model}", closed, tmp_path / "cache")
    assert lines == [f"found {model}"]
    assert errors == ""


def test_whatever_is_said_is_an_answer_and_silence_is_none(
    closed: str, silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with hub("somebody/test", tmp_path) as (address, _):  # it answers 404
        assert answers(address)
    assert not answers(closed)
    assert not answers("no address")
    started = time.perf_counter()
    assert not answers(silent, seconds=0.5)
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("offline", [False, True])
def test_the_library_is_left_as_it_was(
    offline: bool, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(constants, "ENDPOINT", closed)
    with pytest.raises(OSError, match="within"), hub_within_reach():
        assert constants.HF_HUB_OFFLINE
        assert not logger.isEnabledFor(logging.ERROR)
        raise OSError("within")
    assert constants.HF_HUB_OFFLINE is offline
    assert logger.level == level
