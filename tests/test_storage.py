import json
import math
from pathlib import Path

import pytest

from brainssl.errors import BrainsslError
from brainssl.storage import (
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


def test_a_file_is_flushed_to_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr("brainssl.storage.os.fsync", lambda _: events.append("fsync"))
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
    monkeypatch.setattr("brainssl.storage._flush", lambda f: flushed.append((f.name, out.exists())))
    with whole_folder(out) as working:
        (working / "a").touch()
        (working / "deep").mkdir()
        (working / "deep" / "b").touch()
    assert sorted(flushed) == [("a", False), ("b", False)]


def test_after_a_failure_there_is_no_folder_and_a_new_start_is_empty(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(Interrupted), whole_folder(out) as working:
        (working / "stale").touch()
        raise Interrupted
    assert not out.exists()
    with whole_folder(out) as working:
        assert names(working) == []
        (working / "fresh").touch()
    assert names(out) == ["fresh"]


def test_resume_goes_on_in_the_working_folder(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(Interrupted), whole_folder(out, resume=True) as working:
        (working / "last.ckpt").write_text("epoch 3")
        raise Interrupted
    assert (working_folder(out) / "last.ckpt").read_text() == "epoch 3"
    with whole_folder(out, resume=True) as working:
        assert (working / "last.ckpt").read_text() == "epoch 3"
    assert names(out) == ["last.ckpt"]
    assert not working_folder(out).exists()


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
    assert names(out) == ["a"]


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
