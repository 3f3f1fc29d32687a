"""Names of files: patterns that a shell left alone, and lines of standard input."""

from pathlib import Path

import pytest

from brainssl.foundation.errors import BadUseError
from brainssl.inference.names import expanded


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.png", "a.png", "sub/c.png", "odd[1].png", "x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_patterns_are_expanded_and_names_are_left(here: Path) -> None:
    assert expanded(["x.txt", "?.png"]) == [Path("x.txt"), Path("a.png"), Path("b.png")]
    assert expanded(["**/c.png"]) == [Path("sub/c.png")]
    assert expanded([str(here / "[ab].png")]) == [here / "a.png", here / "b.png"]
    assert expanded(["odd[1].png"]) == [Path("odd[1].png")]  # there is such a file
    assert expanded(["gone.png"]) == [Path("gone.png")]  # which is told with the others


def test_lines_are_names_and_no_patterns(here: Path) -> None:
    assert expanded(["-", "a.png"], ["b*.png\n", "\n", "c d.png\r\n"]) == [
        Path("b*.png"),
        Path("c d.png"),
        Path("a.png"),
    ]


@pytest.mark.parametrize(
    ("names", "lines", "said"),
    [
        (["*.dcm"], None, r"\*\.dcm: no file matches"),
        (["-"], ["\n"], "standard input names no file"),
        (["-", "-"], ["a"], "stands twice"),
        (["-"], None, "on the command line alone"),
    ],
)
def test_what_names_nothing_is_bad_use(
    here: Path, names: list[str], lines: list[str] | None, said: str
) -> None:
    with pytest.raises(BadUseError, match=said):
        expanded(names, lines)
