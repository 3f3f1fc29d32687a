"""The board: what several processes say and do, in one terminal."""

import pytest

from brainssl.foundation import board as module
from brainssl.foundation.board import Relay, board
from brainssl.foundation.progress import Terminal


def test_lines_of_other_processes_are_shown_and_tasks_when_they_are_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REPORT_SECONDS", 0.0)
    monkeypatch.setattr(module, "_PLAIN_SECONDS", 0.0)
    with board(Terminal()) as shown:
        one, other = Relay(shown.hear), Relay(shown.hear)
        with one.task("[1/3] a") as report, other.task("[2/3] b"):
            report(1, 4)
            other.say("a word")
            with pytest.raises(RuntimeError), other.task("[3/3] c") as lost:
                raise RuntimeError
            lost(1, 2)  # late: it is no more
        with other.task("[1/3] a"):  # by the next process, as the first did not live to note it
            pass
        with one.task("a process that died"):
            shown.drop("died")
            shown.drop("nothing")
        shown.settle("a")
        shown.settle("c")
        with other.task("[3/3] c"):  # its end comes late
            pass
    assert capsys.readouterr().err.splitlines() == [
        "[1/3] a: 1 of 4",
        "a word",
        "[2/3] b: done in 0 s",
        "[1/3] a: done in 0 s",
        "a process that died: done in 0 s",
        "c: done, which its lost process did not come to tell",
    ]


def test_on_a_terminal_each_task_has_a_bar_as_long_as_it_runs() -> None:
    terminal = Terminal()
    terminal.console._force_terminal = True
    terminal.console.file = open("/dev/null", "w")  # noqa: PTH123, SIM115
    with board(terminal) as shown:
        bars = shown._bars
        assert bars
        relay = Relay(shown.hear)
        with relay.task("a"), relay.task("b"):
            assert [task.description for task in bars.tasks] == ["a", "b"]
            shown.hear(("move", "b", 3, 9))
            assert (bars.tasks[1].completed, bars.tasks[1].total) == (3, 9)
        assert not bars.tasks
    terminal.console.file.close()
