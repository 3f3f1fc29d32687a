"""Files are listed; what leads elsewhere is refused, what leads nowhere is counted."""

from pathlib import Path

import pytest

from brainssl.data.archives.walk import bare, inner, own_names, volume_suffix, walk


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_links_that_leave_the_source_are_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    put(home / "a" / "1.nii")
    put(tmp_path / "outside.nii")
    (home / "out.nii").symlink_to(tmp_path / "outside.nii")
    (home / "folder").symlink_to(home / "a")
    (home / "inside.nii").symlink_to(home / "a" / "1.nii")
    (home / "gone.nii").symlink_to(home / ".git" / "annex" / "objects" / "x")
    (home / "circle.nii").symlink_to(home / "circle.nii")
    found = walk(home)
    assert found.files == ["a/1.nii", "inside.nii"]
    assert dict(found.unreadable) == {
        "out.nii": "is a link that leaves the source; copy what it points to",
        "folder": "is a link to a folder, which is not followed; its files are read where they lie",
    }
    assert found.absent == ["circle.nii", "gone.nii"]
    (note,) = found.notes
    assert note.startswith("2 files are links that lead nowhere")
    assert "datalad get" in note


def test_annexed_content_that_is_there_is_read(tmp_path: Path) -> None:
    put(tmp_path / ".git" / "annex" / "objects" / "key")
    (tmp_path / "1.nii.gz").symlink_to(".git/annex/objects/key")
    assert walk(tmp_path).files == ["1.nii.gz"]


def test_of_a_pair_the_header_stands(tmp_path: Path) -> None:
    for name in ("a.hdr", "a.img", "b.img", "c.nii.gz", "d.json", "e.NII", "f.hdr", "f.img.gz"):
        put(tmp_path / name)
    assert walk(tmp_path).volumes() == ["a.hdr", "b.img", "c.nii.gz", "e.NII", "f.hdr"]


def test_folders_may_be_left_out(tmp_path: Path) -> None:
    put(tmp_path / "kept" / "deep" / "1.nii")
    put(tmp_path / "left" / "1.nii")
    found = walk(tmp_path, enter=lambda folder: folder != "left")
    assert found.files == ["kept/deep/1.nii"]


@pytest.mark.parametrize(
    ("name", "suffix", "stem"),
    [
        ("a/x.nii.gz", ".nii.gz", "a/x"),
        ("x.NII", ".nii", "x"),
        ("x.y.hdr", ".hdr", "x.y"),
        ("x.json", None, "x.json"),
        ("nii", None, "nii"),
    ],
)
def test_suffixes(name: str, suffix: str | None, stem: str) -> None:
    assert volume_suffix(name) == suffix
    assert bare(name) == stem


def test_names_stay_unique() -> None:
    assert list(own_names(["a.nii", "a.nii.gz", "b.nii"])) == ["a.nii", "a.nii.gz", "b"]


def test_wrapping_folders_are_looked_through(tmp_path: Path) -> None:
    put(tmp_path / "one" / "two" / "sub-01" / "anat" / "x.nii")
    assert inner(tmp_path) == tmp_path / "one" / "two"
    assert inner(tmp_path / "one" / "two") == tmp_path / "one" / "two"
