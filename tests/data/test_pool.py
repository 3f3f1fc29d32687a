"""Many files on all cores: the same results in order, errors as they are, and no orphans."""

import math
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image
from threadpoolctl import threadpool_info, threadpool_limits

from brainssl.data import pool
from brainssl.data.pool import MANY, cores, in_order
from brainssl.data.prepare import prepare
from brainssl.data.read import UnreadableImage, read_slice
from brainssl.data.scan import scan
from brainssl.foundation.errors import BrainsslError


def blas_threads(_: int) -> int:
    return max(pool["num_threads"] for pool in threadpool_info())


def pid(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """30 images of which two cannot be read."""
    generator = np.random.default_rng(0)
    for number in range(30):
        path = tmp_path / "images" / "AB"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (24, 20), np.uint8)).save(path)
    for number in (3, 20):
        (tmp_path / "images" / "AB"[number % 2] / f"{number}.png").write_bytes(b"nonsense")
    return tmp_path / "images"


# Results


@pytest.mark.parametrize("count", [0, 1, 7, MANY - 1, MANY, 3 * MANY + 1])
@pytest.mark.parametrize("number", [1, 3])
def test_results_come_in_order_however_many_there_are(count: int, number: int) -> None:
    items = list(range(count))
    assert list(in_order(math.sqrt, items, workers=number)) == [math.sqrt(one) for one in items]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 30])
@pytest.mark.parametrize("number", [1, 3])
def test_large_items_come_in_order_too(count: int, number: int) -> None:
    items = list(range(count))
    found = list(in_order(math.sqrt, items, workers=number, large=True))
    assert found == [math.sqrt(one) for one in items]


def test_large_items_go_to_processes_early() -> None:
    assert len(set(in_order(pid, range(8), workers=2, large=True)) - {os.getpid()}) == 2
    assert set(in_order(pid, range(8), workers=2)) == {os.getpid()}


def test_spawned_workers_do_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "start_method", lambda: "spawn")
    items = list(range(MANY))
    assert list(in_order(math.sqrt, items, workers=2)) == [math.sqrt(one) for one in items]


def test_a_scan_is_the_same_in_processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = scan(folder, workers=1)
    monkeypatch.setattr(pool, "MANY", 2)
    told: list[tuple[int, int]] = []
    together = scan(folder, workers=3, progress=lambda *call: told.append(call))
    pd.testing.assert_frame_equal(together.manifest, alone.manifest)
    assert len(alone.unreadable) == 2
    for what in ("unreadable", "notes", "file_digests"):
        assert getattr(together, what) == getattr(alone, what)
    assert (together.pairs.similarity == alone.pairs.similarity).all()
    assert told == [(done, 30) for done in range(1, 31)]


def test_a_store_is_the_same_in_processes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scan(folder)
    alone = prepare(found, tmp_path / "alone", size=16, workers=1)
    monkeypatch.setattr(pool, "MANY", 2)
    assert prepare(found, tmp_path / "together", size=16, workers=3).checksum == alone.checksum


def test_a_worker_uses_one_thread_of_each_library() -> None:
    with threadpool_limits(2):
        assert blas_threads(0) == 2
        assert set(in_order(blas_threads, range(MANY), workers=2)) == {1}


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_no_more_workers_than_cores_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7})
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert cores() == 3


# Errors


@pytest.mark.parametrize("count", [20, MANY])
@pytest.mark.parametrize("number", [1, 3])
def test_the_first_error_comes_out_as_it_is(count: int, number: int, tmp_path: Path) -> None:
    paths = [tmp_path / f"{item}.png" for item in range(count)]
    for path in paths[:11]:
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    seen = []
    with pytest.raises(UnreadableImage) as raised:
        seen.extend(in_order(read_slice, paths, workers=number))
    assert raised.value.name == str(paths[11])
    assert str(raised.value) == f"{paths[11]}: cannot be opened (No such file or directory)"


def test_a_file_that_became_unreadable_is_named_and_leaves_no_store(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scan(folder)
    (folder / "A" / "14.png").write_bytes(b"")
    monkeypatch.setattr(pool, "MANY", 2)
    with pytest.raises(BrainsslError, match=r"14\.png: is empty$"):
        prepare(found, tmp_path / "store", size=16, workers=2)
    assert not (tmp_path / "store").exists()


def test_an_unreadable_image_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(UnreadableImage("a.png", "is empty")))
    assert (error.name, error.reason, str(error)) == ("a.png", "is empty", "a.png: is empty")


def test_a_worker_that_is_killed_is_told_in_one_line() -> None:
    with pytest.raises(BrainsslError, match="was killed") as raised:
        list(in_order(os._exit, [1] * MANY, workers=2))
    assert "\n" not in str(raised.value)


# Orphans

ENDLESS = f"""
import signal
import time
from brainssl.data.pool import in_order

if __name__ == "__main__":
    # A shell that starts the tests in the background lets its children ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for _ in in_order(time.sleep, [0.05] * {100 * MANY}, workers=2):
        print("ready", flush=True)
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_running(end: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    process = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    try:
        if end == signal.SIGINT:  # Ctrl-C reaches all processes of the terminal
            os.killpg(process.pid, end)
        else:
            process.send_signal(end)
        _, told = process.communicate(timeout=60)
        assert process.returncode in (-end, 130)
        assert told.count("Traceback") == (1 if end == signal.SIGINT else 0)
        wait_until(lambda: not any(alive(child) for child in children))
    finally:
        for child in filter(alive, children):
            child.kill()
        process.kill()
        process.communicate()


_STOP = """
from contextlib import suppress
from brainssl.data.pool import MANY, in_order

def large(_):
    return bytes(5_000_000)

for _ in range(4):
    with suppress(OSError):
        for _ in in_order(large, range(MANY), workers=2):
            raise OSError("of the caller's own")
"""


def test_who_stops_in_the_middle_does_not_wait_for_half_an_answer() -> None:
    """Workers that are killed as they answer leave half of it in the pipe."""
    process = subprocess.Popen([sys.executable, "-c", _STOP], start_new_session=True)
    try:
        assert process.wait(120) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
