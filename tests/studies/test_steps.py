"""A step of a study is made once, whoever is asked for it."""

import os
from pathlib import Path

import pytest
from oracles.small_plan import FAST, small_plan

from brainssl.data.store import ImageStore
from brainssl.foundation.progress import Terminal
from brainssl.studies.journal import read_log
from brainssl.studies.preparation import prepared
from brainssl.studies.scheduling.graph import Outcome
from brainssl.studies.steps import Steps


def test_what_a_process_made_that_could_not_answer_is_not_noted_again(
    shared_store: ImageStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be told twice, and the second time would be that of a look."""
    plan = small_plan(shared_store.path, FAST)
    name = "linear-untrained-grouped-f1-s0"
    with prepared(plan, tmp_path, Terminal(quiet=True)) as ground:
        assert Steps(plan, tmp_path, ground, Terminal()).do(name) is Outcome.DONE
        noted = read_log(tmp_path)
        assert Steps(plan, tmp_path, ground, Terminal()).do(name) is Outcome.DONE
        assert read_log(tmp_path) == noted
        made = (tmp_path / "steps" / name).stat()
        note = tmp_path / "log" / f"{name}.json"
        assert ground.journal.finished(name)
        os.utime(note, ns=(made.st_atime_ns, made.st_mtime_ns - 1))  # of a making before this one
        assert not ground.journal.finished(name)
    assert capsys.readouterr().err.count(": done in") == 1
