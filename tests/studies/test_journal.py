"""The journal: one file a step, what failed earlier is forgotten, what cannot be read left out."""

import os
from pathlib import Path

import pytest

from brainssl.studies.journal import Journal, noting, read_around, read_log


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path, study="abc", began=1000.0)


def failed(journal: Journal, step: str, text: str) -> Path:
    """Note a failure as a run does, and return the file with the trace."""
    try:
        raise RuntimeError(text)
    except RuntimeError as error:
        told = journal.fail(step, error)
    return journal.out / told["trace"]


def test_the_log_says_of_each_step_how_long_and_where(journal: Journal) -> None:
    journal.finish("late", 2.34, {"device": "CPU"})
    journal.finish("early", 5.0, {"device": "GPU"})
    log = read_log(journal.out)
    assert list(log) == ["late", "early"]
    assert (log["late"]["seconds"], log["late"]["where"]) == (2.3, {"device": "CPU"})
    assert {note["study"] for note in log.values()} == {"abc"}


def test_a_step_done_again_is_the_latest(journal: Journal) -> None:
    for step in ("one", "other", "one"):
        journal.finish(step, 1.0, {})
    assert list(read_log(journal.out)) == ["other", "one"]


def test_notes_that_cannot_be_read_are_left_out(journal: Journal) -> None:
    assert read_log(journal.out) == {}
    journal.finish("good", 1.0, {})
    for name, content in (("half", "{"), ("list", "[]"), ("old", '{"seconds": 1}')):
        (journal.out / "log" / f"{name}.json").write_text(content)
    (journal.out / "log" / ".good.1234.json").write_text("{}")
    assert list(read_log(journal.out)) == ["good"]


def test_a_failure_is_one_line_with_its_trace_in_a_file(journal: Journal) -> None:
    trace = failed(journal, "step", "out of\nmemory")
    expected = {"step": "step", "error": "out of memory", "trace": "failed/step.txt"}
    assert journal.failure("step") == expected
    assert Journal(journal.out, "abc", journal.began).failure("step") == expected
    assert "RuntimeError: out of\nmemory" in trace.read_text()
    assert journal.failure("other") is None


def test_an_error_without_words_is_named(journal: Journal) -> None:
    failed(journal, "step", "")
    told = journal.failure("step")
    assert told
    assert told["error"] == "RuntimeError"


def test_what_failed_before_this_run_does_not_count(journal: Journal) -> None:
    trace = failed(journal, "step", "out of memory")
    os.utime(trace, (999.0, 999.0))
    assert journal.failure("step") is None
    os.utime(trace, (1000.0, 1000.0))
    assert journal.failure("step")


def test_a_step_that_succeeds_at_last_has_no_failure(journal: Journal) -> None:
    trace = failed(journal, "step", "out of memory")
    journal.finish("step", 1.0, {})
    assert journal.failure("step") is None
    assert not trace.exists()


def test_work_around_the_steps_is_noted_with_its_longest_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 7.5, 10.0, 10.5, 20.0, 29.0])
    monkeypatch.setattr("brainssl.studies.journal.time.perf_counter", lambda: next(clock))
    for _ in range(2):  # 7.5 s, then 0.5 s because it was done already
        with noting(tmp_path, "maps of features"):
            pass
    assert read_around(tmp_path) == {"maps of features": 7.5}
    with noting(tmp_path, "reading"):
        pass
    assert list(read_around(tmp_path)) == ["reading", "maps of features"]
    assert read_log(tmp_path) == {}


def test_work_that_fails_is_not_noted(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), noting(tmp_path, "report"):
        raise RuntimeError
    (tmp_path / "log" / "around").mkdir(parents=True)
    (tmp_path / "log" / "around" / "audit.json").write_text("{")
    assert read_around(tmp_path) == {}
