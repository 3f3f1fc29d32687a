"""Objects between machines: whole or absent, and told of in a line where they cannot be had."""

import os
from pathlib import Path

import pytest

from brainssl.foundation.errors import BrainsslError
from brainssl.studies.scheduling.depot import Depot


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    # Of a real service where there is one: scripts/object_storage names it.
    return Depot(os.environ.get("BRAINSSL_TEST_STORAGE", f"file://{tmp_path}/depot"))


def made(folder: Path) -> Path:
    (folder / "steps" / "one" / "deep").mkdir(parents=True)
    (folder / "steps" / "one" / "a.bin").write_bytes(bytes(range(256)) * 999)
    (folder / "steps" / "one" / "deep" / "b").write_text("b")
    (folder / "log").mkdir()
    (folder / "log" / "one.json").write_text("{}")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


NAMES = ["steps/one", "log/one.json"]


def test_what_is_put_is_fetched_and_replaces_what_was_there(depot: Depot, tmp_path: Path) -> None:
    here, there = made(tmp_path / "here"), tmp_path / "there"
    (there / "steps" / "one").mkdir(parents=True)
    (there / "steps" / "one" / "left over").write_text("old")
    assert not depot.fetch("steps/one", there, NAMES)
    depot.put("steps/one", {name: here / name for name in NAMES})
    assert depot.has("steps/one")
    assert depot.fetch("steps/one", there, NAMES)
    assert content(there) == content(here)
    # So a step counts as noted: its note is no older.
    assert (there / "log/one.json").stat().st_mtime_ns >= (there / "steps/one").stat().st_mtime_ns
    depot.drop("steps/one")
    depot.drop("steps/one")
    assert not depot.has("steps/one")


def test_another_one_sees_it_at_once(depot: Depot, tmp_path: Path) -> None:
    other = Depot(depot.url)
    assert not other.has("a")
    depot.put("a", {"f": made(tmp_path / "x") / "log/one.json"})
    assert other.has("a")
    depot.drop("a")
    assert not other.has("a")


def test_a_storage_that_is_tried_keeps_nothing(depot: Depot) -> None:
    depot.refuse_useless()
    assert not [one for one in depot._files.find(depot._root) if ".tried" in one]


def test_what_links_lead_to_is_sent(depot: Depot, tmp_path: Path) -> None:
    here, there = made(tmp_path / "here"), tmp_path / "there"
    there.mkdir()
    (tmp_path / "link").symlink_to(here / "steps" / "one")
    depot.put("linked", {"store": tmp_path / "link"})
    assert depot.fetch("linked", there, ["store"])
    assert content(there / "store") == content(here / "steps" / "one")
    depot.drop("linked")


def test_half_an_object_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is killed, or has no room, while it writes leaves nothing that others would take."""
    depot, here = Depot(f"file://{tmp_path}/depot"), made(tmp_path / "here")
    given = depot._files.open

    class Full:
        def __init__(self, stream: object) -> None:
            self.stream, self.blocks = stream, 0

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            self.stream.close()  # type: ignore[attr-defined]

        def write(self, _block: bytes) -> None:
            self.stream.write(b"half")  # type: ignore[attr-defined]
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(depot._files, "open", lambda *args, **kw: Full(given(*args, **kw)))
    with pytest.raises(BrainsslError, match=r"cannot be written \(.*No space left"):
        depot.put("steps/one", {"steps/one": here / "steps/one"})
    monkeypatch.undo()
    assert not depot.has("steps/one")
    assert not [file for file in (tmp_path / "depot").rglob("*") if file.is_file()]


def test_what_would_leave_its_folder_is_not_unpacked(tmp_path: Path) -> None:
    import tarfile

    depot, out = Depot(f"file://{tmp_path}/depot"), tmp_path / "out"
    out.mkdir()
    (tmp_path / "depot").mkdir()
    with tarfile.open(tmp_path / "depot" / "bad.tar", "w") as archive:
        archive.add(__file__, "../../planted")
    with pytest.raises(BrainsslError, match="cannot be read"):
        depot.fetch("bad", out, ["planted"])
    assert not (tmp_path.parent / "planted").exists()
    assert not list(out.iterdir())


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense://bucket/x", "Protocol not known"),
        ("file:///proc/nowhere/x", "cannot be written"),
    ],
)
def test_a_storage_of_no_use_is_told_in_one_line(url: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match=told) as caught:
        Depot(url).put("a", {"a": made(tmp_path / "x") / "log"})
    assert "\n" not in str(caught.value)
    assert url in str(caught.value)
    assert str(caught.value).endswith("see --storage")
