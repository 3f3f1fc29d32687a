"""Files whose names are not UTF-8, for libraries that take only names that are."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def is_plain(path: Path) -> bool:
    """Tell whether a path can be written as UTF-8: file systems know only bytes."""
    try:
        os.fspath(path.absolute()).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def plainly(path: Path) -> Iterator[Path]:
    """Yield a path in UTF-8 that leads to `path`: that itself, or while the block runs a link."""
    if is_plain(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, f"link{path.suffix}" if is_plain(Path(path.suffix)) else "link")
        link.symlink_to(path.absolute())
        yield link


def read_frame(path: Path, columns: Sequence[str] | None = None) -> "pd.DataFrame":
    """Read a parquet file, whatever its name.

    Raises:
        OSError, pyarrow.ArrowInvalid: it is missing or damaged.
    """
    import pandas as pd  # a second that most commands need not wait for

    with path.open("rb") as stream:
        return pd.read_parquet(stream, columns=None if columns is None else list(columns))
