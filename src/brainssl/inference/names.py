"""Names of files as they are given: one by one, as patterns, or line by line."""

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

from brainssl.foundation.errors import BadUseError

STDIN = "-"
_PATTERN = "*?["


def expanded(named: Sequence[Path | str], lines: Iterable[str] | None = None) -> list[Path]:
    """Return the files and folders that are meant, in order.

    Args:
        named: names; `-` stands for those of `lines`, and a name with `*`, `?` or `[` that is no
            file for those that match it, sorted; `**` stands for any folders. Shells that expand
            patterns leave nothing to do.
        lines: a name each; empty ones are left out. A pattern in them is none.

    Raises:
        BadUseError: nothing matches, `-` stands twice or with no names, or no lines can be read.
    """
    names = [str(name) for name in named]
    if names.count(STDIN) > 1:
        raise BadUseError("- stands twice: standard input is read once")
    found: list[Path] = []
    for name in names:
        if name == STDIN:
            found += _read(lines)
        elif any(sign in name for sign in _PATTERN) and not Path(name).exists():
            matching = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - absolute ones, too
            if not matching:
                raise BadUseError(f"{name}: no file matches; the current folder is {Path.cwd()}")
            found += map(Path, matching)
        else:
            found.append(Path(name))
    return found


def _read(lines: Iterable[str] | None) -> list[Path]:
    if lines is None:
        raise BadUseError("- reads names from standard input, on the command line alone")
    try:
        names = [line.rstrip("\r\n") for line in lines]
    except UnicodeDecodeError:
        raise BadUseError("-: standard input is no text with a file's name on each line") from None
    named = [Path(name) for name in names if name.strip()]
    if not named:
        raise BadUseError("-: standard input names no file; give one on each line")
    return named
