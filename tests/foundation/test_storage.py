import errno
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from brainssl.foundation import storage
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.locks import BusyError, locked
from brainssl.foundation.storage import (
    damage,
    is_busy,
    read_json,
    refuse_existing,
    whole_folder,
    working_folder,
    write_atomically,
    write_json,
)


class Interrupted(Exception):
    """Stands for whatever may go wrong while writing."""


def half_written(path: Path) -> None:
    path.write_text("half")
    raise Interrupted


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")
    with pytest.raises(Interrupted):
        write_atomically(path, half_written)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["results.json"]


def test_a_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "results.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    write_atomically(link, lambda beside: beside.write_text("new"))
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert names(tmp_path / "there") == ["results.json"]


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    write_json(pipe, {"a": 1})
    reader.join(10)
    assert json.loads(got[0]) == {"a": 1}
    assert pipe.is_fifo()


def test_a_failure_names_what_was_asked_for(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(OSError, match="out") as failed:
        write_json(folder, {})
    assert failed.value.filename == str(folder)
    assert failed.value.filename2 is None


def test_names_that_are_not_utf_8_are_escaped_and_come_back(tmp_path):
    name = os.fsdecode(b"odd-\xe9")
    write_json(tmp_path / "x.json", {"source": name})
    assert read_json(tmp_path / "x.json", "x") == {"source": name}


def test_a_failed_first_write_leaves_no_file(tmp_path):
    with pytest.raises(Interrupted):
        write_atomically(tmp_path / "new.json", half_written)
    assert names(tmp_path) == []


def test_while_it_is_written_the_old_file_stands_and_the_new_one_is_hidden(tmp_path):
    path = tmp_path / "deep" / "table.csv"
    path.parent.mkdir()
    path.write_text("old")
    seen = []

    def write(beside: Path) -> None:
        beside.write_text("new")
        seen.append((beside.name, path.read_text()))

    write_atomically(path, write)
    ((beside, during),) = seen
    assert beside.startswith(".")
    assert beside.endswith(".csv")
    assert during == "old"
    assert path.read_text() == "new"
    assert names(path.parent) == ["table.csv"]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "results.json"

    def write(beside: Path) -> None:
        beside.write_text("first")
        write_json(path, "second")
        assert beside.read_text() == "first"

    write_atomically(path, write)
    assert path.read_text() == "first"
    assert names(tmp_path) == ["results.json"]


def test_a_file_is_flushed_to_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr("brainssl.foundation.storage.os.fsync", lambda _: events.append("fsync"))
    replace = Path.replace

    def noted(self: Path, target: Path) -> Path:
        events.append("rename")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", noted)
    write_json(tmp_path / "a.json", {})
    assert events == ["fsync", "rename"]


def test_the_folder_of_a_file_is_made(tmp_path):
    write_json(tmp_path / "a" / "b" / "c.json", [1])
    assert read_json(tmp_path / "a" / "b" / "c.json", "a list") == [1]


def test_json_keeps_letters_and_refuses_nan(tmp_path):
    path = tmp_path / "labels.json"
    write_json(path, {"Outros Tipos de Lesões": 0.1})
    assert "Lesões" in path.read_text("utf-8")
    assert json.loads(path.read_text("utf-8")) == {"Outros Tipos de Lesões": 0.1}
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"accuracy": math.nan})
    assert read_json(path, "labels") == {"Outros Tipos de Lesões": 0.1}


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b'{"a": 1} trailing'])
def test_damaged_json_is_named_with_its_role(tmp_path, content):
    path = tmp_path / "split.json"
    path.write_bytes(content)
    with pytest.raises(BrainsslError, match=r"split\.json is damaged.*the split"):
        read_json(path, "the split")


def test_a_missing_file_is_named_with_its_role(tmp_path):
    with pytest.raises(BrainsslError, match=r"split\.json is missing.*the split"):
        read_json(tmp_path / "split.json", "the split")


def test_a_path_through_a_file_or_to_a_folder_is_an_error_in_one_line(tmp_path):
    (tmp_path / "image.png").touch()
    for path in (tmp_path, tmp_path / "image.png" / "store.json"):
        with pytest.raises(BrainsslError) as raised:
            read_json(path, "a store")
        assert "\n" not in str(raised.value)


def test_a_folder_appears_whole(tmp_path):
    out = tmp_path / "runs" / "one"
    with whole_folder(out) as working:
        assert working.parent == out.parent  # one file system, hence a rename
        assert working.name.startswith(".")
        (working / "inner").mkdir()
        (working / "inner" / "weights").write_text("1")
        assert not out.exists()
    assert (out / "inner" / "weights").read_text() == "1"
    assert names(out.parent) == ["one"]


def test_every_file_of_a_folder_is_flushed_before_the_rename(tmp_path, monkeypatch):
    flushed = []
    out = tmp_path / "out"
    monkeypatch.setattr(
        "brainssl.foundation.storage._flush", lambda f: flushed.append((f.name, out.exists()))
    )
    with whole_folder(out) as working:
        (working / "a").touch()
        (working / "deep").mkdir()
        (working / "deep" / "b").touch()
    kept = sorted(name for name, _ in flushed if not name.startswith("."))
    assert kept == ["a", "b", "digests.json"]
    assert not any(renamed for _, renamed in flushed)


def test_after_a_failure_there_is_no_folder_and_a_new_start_is_empty(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(Interrupted), whole_folder(out) as working:
        (working / "stale").touch()
        raise Interrupted
    assert not out.exists()
    with whole_folder(out) as working:
        assert names(working) == [".lock"]
        (working / "fresh").touch()
    assert names(out) == ["digests.json", "fresh"]


def test_resume_goes_on_in_the_working_folder(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(Interrupted), whole_folder(out, resume=True) as working:
        (working / "last.ckpt").write_text("epoch 3")
        raise Interrupted
    assert (working_folder(out) / "last.ckpt").read_text() == "epoch 3"
    with whole_folder(out, resume=True) as working:
        assert (working / "last.ckpt").read_text() == "epoch 3"
    assert names(out) == ["digests.json", "last.ckpt"]
    assert not working_folder(out).exists()


@pytest.mark.parametrize(
    ("begun", "goes_on"),
    [
        ({"seed": 1, "settings": {"a": 1, "b": [1, 2], "c": {"d": 3}}}, True),
        ({"seed": 1, "settings": {"a": 1, "c": {}}}, True),
        ({"seed": 1}, False),  # settings.a is not what it is by default
        ({"seed": 1, "settings": {"a": 1, "gone": 0}}, False),
        ({"settings": {"a": 1}}, False),  # of the seed there is no default
        ([], False),
    ],
)
def test_what_an_older_version_did_not_ask_for_was_as_by_default(tmp_path, begun, goes_on):
    out = tmp_path / "out"
    request = {"seed": 1, "settings": {"a": 1, "b": [1, 2], "c": {"d": 3}}}
    defaults = {"settings": {"a": 0, "b": [1, 2], "c": {"d": 3, "e": 4}}}
    with pytest.raises(Interrupted), whole_folder(out, request=begun) as working:
        (working / "last.ckpt").touch()
        raise Interrupted
    with whole_folder(out, resume=True, request=request, defaults=defaults) as working:
        assert (working / "last.ckpt").exists() == goes_on


@pytest.mark.parametrize("resume", [False, True])
def test_what_exists_is_never_overwritten(tmp_path, resume):
    out = tmp_path / "out"
    out.mkdir()
    (out / "precious").write_text("1")
    with pytest.raises(BrainsslError, match="exists already"), whole_folder(out, resume=resume):
        pass
    assert (out / "precious").read_text() == "1"
    file = tmp_path / "file"
    file.write_text("2")
    with pytest.raises(BrainsslError, match="exists already"), whole_folder(file, resume=resume):
        pass
    assert file.read_text() == "2"


def test_an_empty_folder_may_be_filled(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with whole_folder(out) as working:
        (working / "a").touch()
    assert names(out) == ["a", "digests.json"]


def test_links_are_refused_before_any_work(tmp_path):
    (tmp_path / "empty").mkdir()
    for name, target in (("link", "empty"), ("broken", "nowhere")):
        (tmp_path / name).symlink_to(target)
        with pytest.raises(BrainsslError, match="exists already"):
            refuse_existing(tmp_path / name)


@pytest.mark.parametrize("name", [".", "..", "a/.."])
def test_a_folder_that_cannot_be_renamed_into_place_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BrainsslError, match="name a new folder"), whole_folder(Path(name)):
        pass


@pytest.fixture
def made(tmp_path: Path) -> Path:
    with whole_folder(tmp_path / "made") as working:
        (working / "weights").write_bytes(bytes(1000))
        (working / "rows.json").write_text("[]")
        (working / "tensorboard").mkdir()
        (working / "tensorboard" / "events").touch()
    return tmp_path / "made"


def test_a_folder_knows_size_and_digest_of_each_file(made: Path):
    assert json.loads((made / "digests.json").read_text()) == {
        "rows.json": [2, hashlib.sha256(b"[]").hexdigest()],
        "weights": [1000, hashlib.sha256(bytes(1000)).hexdigest()],
    }
    assert damage(made) is None


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("weights", flip),
        ("weights", lambda file: file.write_bytes(bytes(999))),
        ("weights", Path.unlink),
        ("rows.json", lambda file: file.write_text("{}")),
        ("digests.json", lambda file: file.write_text("{")),
        ("digests.json", lambda file: file.write_text("[1]")),
        ("digests.json", lambda file: file.write_text('{"weights": 1000}')),
        ("digests.json", lambda file: file.write_bytes(b"\xff")),
    ],
)
def test_damage_is_seen_and_named(made: Path, name: str, harm):
    harm(made / name)
    assert damage(made) == name


def test_work_that_was_killed_before_its_last_rename_is_no_damage(tmp_path, monkeypatch):
    out = tmp_path / "out"

    def killed(_file: Path, _target: Path) -> None:
        raise Interrupted

    whole = whole_folder(out, resume=True)
    with monkeypatch.context() as patch, pytest.raises(Interrupted), whole as working:
        (working / "weights").write_text("epoch 1")
        patch.setattr(Path, "rename", killed)
    assert (working / "digests.json").is_file()
    with whole_folder(out, resume=True) as working:
        (working / "weights").write_text("epoch 2")
    assert damage(out) is None
    assert list(json.loads((out / "digests.json").read_text())) == ["weights"]


def test_a_file_more_is_no_damage_and_without_digests_nothing_is_known(made: Path):
    (made / "notes.txt").touch()
    (made / "tensorboard" / "events").write_text("late")
    assert damage(made) is None
    (made / "digests.json").unlink()
    flip(made / "weights")
    assert damage(made) is None


def test_one_process_at_a_time_makes_a_folder(tmp_path):
    out = tmp_path / "out"
    assert not is_busy(out)
    with whole_folder(out) as working:
        (working / "precious").touch()
        assert is_busy(out)
        with pytest.raises(BusyError, match="another process is at work"), whole_folder(out):
            pass
        assert (working / "precious").exists()
    assert not is_busy(out)
    assert names(tmp_path) == ["out"]


def test_a_lock_ends_with_its_process(tmp_path):
    working = working_folder(tmp_path / "out")
    working.mkdir()
    code = (
        "import fcntl, os, sys, time\n"
        "handle = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
        "fcntl.flock(handle, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)"
    )
    words = [sys.executable, "-c", code, str(working / ".lock")]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        assert is_busy(tmp_path / "out")
        other.kill()
    assert not is_busy(tmp_path / "out")
    with whole_folder(tmp_path / "out"):
        pass


def test_what_another_process_finished_meanwhile_is_not_made_twice(tmp_path, monkeypatch):
    """It may be done between the first look at the folder and the lock."""
    out, lock = tmp_path / "out", storage.locked

    @contextmanager
    def late(file: Path) -> Iterator[None]:
        out.mkdir()
        (out / "result").write_text("theirs")
        with lock(file):
            yield

    monkeypatch.setattr(storage, "locked", late)
    with pytest.raises(BusyError, match="just made"), whole_folder(out):
        raise AssertionError("made twice")
    assert (out / "result").read_text() == "theirs"
    assert names(tmp_path) == ["out"]


def test_a_disk_without_locks_is_named(tmp_path, monkeypatch):
    def refused(_handle: int, _mode: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("brainssl.foundation.locks.fcntl.flock", refused)
    error = pytest.raises(BrainsslError, match=r"x\.lock cannot be locked \(No locks")
    with error, locked(tmp_path / "x.lock"):
        pass


def test_who_would_rather_not_wait_says_so_when_it_would_have_to(tmp_path):
    file = tmp_path / "folder" / "x.lock"

    def rather_not() -> None:
        raise BusyError("not for that one")

    with locked(file), pytest.raises(BusyError, match="not for that"):  # noqa: SIM117
        with locked(file, waiting=rather_not):
            pass
    with locked(file):
        pass


def test_who_waits_for_a_lock_that_moves_away_takes_the_new_one(tmp_path):
    """Else two processes would hold what both take for the same lock."""
    file = tmp_path / "working" / "x.lock"
    waits, held, release = threading.Event(), threading.Event(), threading.Event()

    def other() -> None:
        with locked(file, waiting=waits.set):
            held.set()
            release.wait(10)

    thread = threading.Thread(target=other)
    with locked(file):
        thread.start()
        assert waits.wait(10)
        assert not held.is_set()
        file.parent.rename(tmp_path / "finished")
    assert held.wait(10)
    with pytest.raises(BusyError), locked(file):
        pass
    release.set()
    thread.join()


def test_a_full_disk_names_what_the_user_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system names nothing where a write fails, and libraries write to temporary files."""

    def fail(beside: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for free, named in ((0, "out"), (2**40, tempfile.gettempdir())):
        usage = SimpleNamespace(free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _, usage=usage: usage)
        with pytest.raises(OSError, match="No space") as failed:
            write_atomically(tmp_path / "out", fail)
        assert failed.value.filename == str(tmp_path / named)
        with pytest.raises(OSError, match="No space") as failed, whole_folder(tmp_path / "out"):
            fail(tmp_path)
        assert failed.value.filename == str(tmp_path / named)


def test_what_fails_in_a_folder_names_the_folder(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError) as failed,
        whole_folder(tmp_path / "out") as working,
    ):
        (working / "absent" / "a.txt").write_text("lost")
    assert failed.value.filename == str(tmp_path / "out")


@pytest.mark.parametrize("way", ["write_atomically(path, write)", "_in_folder(path, write)"])
@pytest.mark.parametrize(
    "write", ["save_file({'a': zeros(9999)}, file)", "write_table(table({'a': rand(9999)}), file)"]
)
def test_what_a_library_says_of_a_disk_is_told_as_what_it_is(
    way: str, write: str, tmp_path: Path
) -> None:
    """A limit on the size of files fails as a full disk does, in words of the library's own."""
    script = f"""
import resource, sys
from pathlib import Path
from numpy import zeros
from numpy.random import rand
from pyarrow import table
from pyarrow.parquet import write_table
from safetensors.numpy import save_file
from brainssl.foundation.storage import whole_folder, write_atomically
def write(file):
    {write}
def _in_folder(path, write):
    with whole_folder(path) as working:
        write(working / "weights")
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500))
try:
    {way}
except OSError as error:
    print(error.filename, error.errno, path.exists())
"""
    path = tmp_path / "weights"
    told = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )
    assert told.stdout.split() == [str(path), str(errno.EFBIG), "False"], told.stderr
