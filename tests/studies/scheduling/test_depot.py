"""Objects between machines: whole or absent, and told of in a line where they cannot be had."""

import io
import os
from pathlib import Path

import pytest

from brainssl.foundation.errors import BadUseError
from brainssl.studies.scheduling import depot as module
from brainssl.studies.scheduling.depot import Depot, StorageError


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
    """Whoever has no room while it writes leaves nothing that others would take."""
    depot, here = Depot(f"file://{tmp_path}/depot"), made(tmp_path / "here")
    monkeypatch.setattr(module, "_WAITS", ())

    def half(_source: object, target: io.BufferedWriter) -> None:
        target.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_copy", half)
    with pytest.raises(StorageError, match=r"cannot be written \(.*No space left"):
        depot.put("steps/one", {"steps/one": here / "steps/one"})
    assert not depot.has("steps/one")
    assert not [file for file in (tmp_path / "depot").rglob("*") if file.is_file()]


def test_an_object_that_grows_is_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depot, here = Depot(f"file://{tmp_path}/depot"), made(tmp_path / "here")
    copy, seen = module._copy, []

    def slowly(source: object, target: object) -> None:
        copy(source, target)  # type: ignore[arg-type]
        seen.append(Depot(depot.url).has("steps/one"))

    monkeypatch.setattr(module, "_copy", slowly)
    depot.put("steps/one", {"steps/one": here / "steps/one"})
    assert seen == [False]
    assert depot.has("steps/one")


def test_an_object_that_was_cut_short_is_none(depot: Depot, tmp_path: Path) -> None:
    here, out = made(tmp_path / "here"), tmp_path / "out"
    out.mkdir()
    depot.put("cut", {"steps/one": here / "steps/one"})
    content = depot._files.cat(depot._place("cut"))
    depot._files.pipe(depot._place("cut"), content[: len(content) // 2])
    assert not depot.fetch("cut", out, ["steps/one"])
    assert not list(out.iterdir())
    depot.drop("cut")


def test_a_storage_that_fails_for_a_moment_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    depot, here = Depot(f"file://{tmp_path}/depot"), made(tmp_path / "here")
    monkeypatch.setattr(module, "_WAITS", (0.0, 0.0))
    make, failures = depot._files.makedirs, iter([ConnectionError("reset"), TimeoutError()])

    def unsure(*given: object, **named: object) -> None:
        if error := next(failures, None):
            raise error
        make(*given, **named)

    monkeypatch.setattr(depot._files, "makedirs", unsure)
    depot.put("steps/one", {"steps/one": here / "steps/one"})
    assert depot.has("steps/one")
    failures = iter([ConnectionError(f"reset {n} https://x/y?Signature=abc") for n in range(9)])
    with pytest.raises(StorageError, match=r"reset 2 https://x/y\?…\)"):
        depot.put("steps/two", {"steps/one": here / "steps/one"})


def test_what_would_leave_its_folder_is_not_unpacked(tmp_path: Path) -> None:
    import tarfile

    depot, out = Depot(f"file://{tmp_path}/depot"), tmp_path / "out"
    out.mkdir()
    (tmp_path / "depot").mkdir()
    with tarfile.open(tmp_path / "depot" / "bad.tar", "w") as archive:
        archive.add(__file__, "../../planted")
    assert not depot.fetch("bad", out, ["planted"])
    assert not (tmp_path.parent / "planted").exists()
    assert not list(out.iterdir())


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense://bucket/x", "Protocol not known"),
        ("file:///proc/nowhere/x", "cannot be written"),
    ],
)
def test_a_storage_of_no_use_is_told_in_one_line(
    url: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WAITS", ())
    with pytest.raises(StorageError, match=told) as caught:
        Depot(url).put("a", {"a": made(tmp_path / "x") / "log"})
    assert "\n" not in str(caught.value)
    assert url in str(caught.value)
    assert str(caught.value).endswith("may read and write it")


@pytest.mark.parametrize("url", ["bucket/x", "", "C:/x"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(BadUseError, match="give a URL, such as s3://"):
        Depot(url)


@pytest.mark.parametrize("url", ["ftp://me:s3cret@host/x", "s3://bucket/x?key=s3cret"])
def test_a_password_is_not_taken_nor_told(url: str) -> None:
    with pytest.raises(BadUseError, match="leave passwords and keys out") as caught:
        Depot(url)
    assert "s3cret" not in str(caught.value)
