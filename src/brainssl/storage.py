"""Folders and files that are either whole or absent, whenever the process is killed."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brainssl.errors import BrainsslError

_REQUEST = "request.json"


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, flush it to disk and rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: several writers choose their format by it.
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(beside)
        _flush(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as readable JSON, atomically; NaN is refused because JSON has none."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def read_json(path: Path, what: str) -> Any:
    """Read JSON; `what` names the file's role in the error that a damaged one gives."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BrainsslError(f"{path} is missing: it should hold {what}") from None
    except (OSError, ValueError) as error:
        raise BrainsslError(
            f"{path} is damaged ({error}): delete it and make {what} anew"
        ) from None


@contextmanager
def whole_folder(folder: Path, *, resume: bool = False, request: Any = None) -> Iterator[Path]:
    """Yield a working folder beside `folder` that takes its name when the block succeeds.

    After a failure or a kill the working folder stays, hidden. A later call with `resume=True`
    and the same request finds what was there; any other starts empty.

    Args:
        folder: to make.
        resume: whether what a killed call left may be used.
        request: what the folder is for, JSON-serialisable: work begun for another is no use.

    Raises:
        BrainsslError: `folder` exists already and is not empty, or another process is making it.
    """
    refuse_existing(folder)
    working = working_folder(folder)
    working.mkdir(parents=True, exist_ok=True)
    with _locked(working):
        if not resume or begun_for(folder) != request:
            _empty(working)
        if request is not None:
            write_json(working / _REQUEST, request)
        yield working
        # What a kill in the middle of write_atomically left is no part of the result.
        for leftover in [working / _REQUEST, *working.glob(".*")]:
            leftover.unlink(missing_ok=True)
        for file in working.rglob("*"):
            if file.is_file():
                _flush(file)
        if folder.exists():
            folder.rmdir()
        working.rename(folder)


def begun_for(folder: Path) -> Any:
    """Return the request of the unfinished work on `folder`; None where there is none."""
    file = working_folder(folder) / _REQUEST
    return read_json(file, "what an unfinished folder is for") if file.is_file() else None


def working_folder(folder: Path) -> Path:
    """Return where `whole_folder` collects what will become `folder`."""
    return folder.with_name(f".{folder.name}.partial")


def refuse_existing(folder: Path) -> None:
    """Raise BrainsslError unless `folder` is absent or empty: nothing finished is overwritten."""
    if folder.name in ("", ".."):
        raise BrainsslError(f"{folder} cannot be made: name a new folder, such as ./out")
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        return
    if folder.is_symlink() or folder.exists():
        raise BrainsslError(f"{folder} exists already: choose another name or delete it first")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder that ends with the process, however it ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise BrainsslError(f"another process is at work in {folder}: wait for it") from None
    try:
        yield
    finally:
        os.close(handle)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _flush(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
