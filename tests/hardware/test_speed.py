"""The speed of this machine: measured with the threads that are there, and left as it was."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from brainssl.hardware import speed
from brainssl.hardware.speed import seconds_to_read, settle_threads, speed_of
from brainssl.settings import load_settings


def test_the_speed_is_measured_with_a_share_of_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, _ = load_settings(
        "quick", ["encoder.name=test_resnet", "encoder.image_size=32", "run.accelerator=cpu"]
    )
    threads = torch.get_num_threads()
    set_to: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    monkeypatch.setattr(speed, "_SECONDS", 0.0)
    found = speed_of(settings, jobs=3)
    assert 0 < found.forward < min(found.pretraining, found.finetuning) < 60
    assert set_to == [2, 8]
    monkeypatch.undo()
    assert torch.get_num_threads() == threads


def test_something_quick_is_done_again_and_something_slow_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first time of all is not counted, unless it took so long that it must do."""
    monkeypatch.setattr(speed, "_SECONDS", 0.05)
    calls = []
    assert speed._seconds(lambda: calls.append(1)) < 0.05
    assert len(calls) > 2
    calls.clear()
    wait = threading.Event()
    taken = speed._seconds(lambda: calls.append(wait.wait(0.06)))
    assert taken >= 0.06
    assert len(calls) == 1


def test_files_that_cannot_be_read_do_not_stop_it(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    Image.new("L", (40, 40), 9).save(tmp_path / "whole.png")
    assert seconds_to_read([tmp_path / "broken.png", tmp_path / "whole.png"]) > 0
    assert seconds_to_read([]) >= 0


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, float]], list[int]]:
    """Return a function that sets how long a step takes by threads; PyTorch is told, and notes."""

    def prepare(seconds: dict[int, float]) -> list[int]:
        now = [max(seconds)]

        def use(threads: int) -> None:
            now.append(threads)

        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setattr(torch, "get_num_threads", lambda: now[0])
        monkeypatch.setattr(torch, "set_num_threads", use)
        monkeypatch.setattr(speed, "_training", lambda settings, batch: (None, [1.0], None))
        monkeypatch.setattr(speed, "_seconds", lambda act, measured: seconds[now[-1]])
        return now

    return prepare


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({8: 1.0, 4: 1.8, 1: 6.0}, 8),
        ({8: 9.0, 4: 1.8, 1: 6.0}, 4),
        ({2: 10.0, 1: 1.0}, 1),
        ({2: 1.05, 1: 1.0}, 2),  # hardly faster: noise
    ],
)
def test_a_busy_machine_uses_fewer_threads(
    timed: Callable[[dict[int, float]], list[int]], seconds: dict[int, float], best: int
) -> None:
    now, said = timed(seconds), []
    settings, _ = load_settings("quick", ["run.accelerator=cpu"])
    settle_threads(settings, said.append)
    assert now[-1] == best
    assert len(said) == (best < max(seconds))
    if said:
        assert f"threads {best} of {max(seconds)}" in said[0]


def test_who_sets_the_threads_has_decided(
    timed: Callable[[dict[int, float]], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timed({2: 10.0, 1: 1.0})
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    settle_threads(load_settings("quick", ["run.accelerator=cpu"])[0], pytest.fail)
    assert now == [2]
