"""Folders and files that are either whole or absent, whenever the process is killed."""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.locks import BusyError, is_held, locked
from brainssl.foundation.plain_names import is_plain, plainly

DIGESTS = "digests.json"
_REQUEST = "request.json"
_LOCK = ".lock"
_ROOM = 2**20  # bytes; a disk with less is called full


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, flush it to disk and rename it into place.

    A link stays one, and its target is replaced; a pipe or a device is written to.

    Raises:
        OSError: it names `path`, and not the file beside it; also for what safetensors and
            Arrow say of the system.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder, path.name)
            write(whole)
            path.write_bytes(whole.read_bytes())
        return
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    target.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: several writers choose their format by it. A random name, because
    # processes of two machines may share a number.
    stem = target.stem if is_plain(Path(target.name)) else "file"
    beside = target.with_name(f".{stem}.{secrets.token_hex(4)}{target.suffix}")
    try:
        with _naming(beside, path):
            with plainly(target.parent) as folder:
                write(folder / beside.name)
            _flush(beside)
            beside.replace(target)
    finally:
        with suppress(OSError):  # of a disk that became read-only
            beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, atomically; bytes of names that are none are escaped."""
    content = text.encode("utf-8", "backslashreplace")
    write_atomically(path, lambda beside: beside.write_bytes(content))


def write_json(path: Path, content: Any) -> None:
    """Write `content` as readable JSON, atomically; NaN is refused because JSON has none."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


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
def whole_folder(
    folder: Path, *, resume: bool = False, request: Any = None, defaults: Any = None
) -> Iterator[Path]:
    """Yield a working folder beside `folder` that takes its name when the block succeeds.

    After a failure or a kill the working folder stays, hidden. A later call with `resume=True`
    and the same request finds what was there; any other starts empty. The finished folder holds
    `digests.json`, by which `damage` tells whether its files still are what was written.

    Args:
        folder: to make.
        resume: whether what a killed call left may be used.
        request: what the folder is for, JSON-serialisable: work begun for another is no use.
        defaults: as for `begun_for`.

    Raises:
        BrainsslError: `folder` exists already and is not empty.
        BusyError: another process is making it.
        OSError: from the block; it names `folder`, and not what is beside it.
    """
    refuse_existing(folder)
    working = working_folder(folder)
    with locked(working / _LOCK):
        _refuse_just_made(folder)
        if not resume or begun_for(folder, request, defaults) != request:
            _empty(working)
        if request is not None:
            write_json(working / _REQUEST, request)
        with _naming(working, folder), plainly(working) as plain:
            yield plain
        # What a kill in the middle of write_atomically left is no part of the result.
        for leftover in [working / _REQUEST, *working.glob(".*")]:
            if leftover.name != _LOCK:
                leftover.unlink(missing_ok=True)
        write_json(working / DIGESTS, _digests(working))
        for file in working.rglob("*"):
            if file.is_file():
                _flush(file)
        if folder.exists():
            folder.rmdir()
        # The lock goes along, so that nobody begins the same folder in between.
        working.rename(folder)
        (folder / _LOCK).unlink()


def begun_for(folder: Path, request: Any = None, defaults: Any = None) -> Any:
    """Return the request of the unfinished work on `folder`; None where there is none.

    Args:
        folder: to make.
        request: what it is to be for now.
        defaults: what keys of it stand for where an older version had not written them yet.
    """
    file = working_folder(folder) / _REQUEST
    if not file.is_file():
        return None
    return _completed(read_json(file, "what an unfinished folder is for"), request, defaults)


def _completed(begun: Any, request: Any, defaults: Any) -> Any:
    """Give what was begun the keys that it lacks of the request, each with its default."""
    if not all(isinstance(part, dict) for part in (begun, request, defaults)):
        return begun
    whole = dict(begun)
    for key in request.keys() & defaults.keys():
        whole[key] = _completed(begun.get(key, defaults[key]), request[key], defaults[key])
    return whole


def working_folder(folder: Path) -> Path:
    """Return where `whole_folder` collects what will become `folder`."""
    return folder.with_name(f".{folder.name}.partial")


def is_busy(folder: Path) -> bool:
    """Tell whether a living process is making `folder`."""
    return is_held(working_folder(folder) / _LOCK)


def damage(folder: Path) -> str | None:
    """Name a file of a finished folder that is not what was written; None if all are.

    A folder without `digests.json` is taken as it is, and so are folders within: loggers may go on
    writing there.
    """
    record = folder / DIGESTS
    if not record.is_file():
        return None
    try:
        written = dict(json.loads(record.read_text(encoding="utf-8")))
        return next((n for n, facts in written.items() if not _is_intact(folder / n, *facts)), None)
    except (OSError, ValueError, TypeError):
        return DIGESTS


def digest_of_folder(folder: Path) -> str:
    """Digest what `whole_folder` made, by its record; "" where there is none."""
    try:
        return hashlib.sha256((folder / DIGESTS).read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


def remove(path: Path) -> None:
    """Delete a file or a folder with all that it holds; of a link the link; what is absent, too."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def refuse_existing(folder: Path) -> None:
    """Raise BrainsslError unless `folder` is absent or empty: nothing finished is overwritten."""
    if folder.name in ("", ".."):
        raise BrainsslError(f"{folder} cannot be made: name a new folder, such as ./out")
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        return
    if folder.is_symlink() or folder.exists():
        raise BrainsslError(f"{folder} exists already: choose another name or delete it first")


@contextmanager
def _naming(beside: Path, path: Path) -> Iterator[None]:
    """Let errors of the system in the block name what the user named, see `_name`.

    What safetensors and Arrow tell of the system in their own words becomes such an error.
    """
    try:
        yield
    except Exception as error:
        if told := re.search(r"\(os error (\d+)\)|\[errno (\d+)\]", str(error)):
            number = int(told[1] or told[2])
            raise OSError(number, os.strerror(number), str(path)) from error
        if isinstance(error, OSError):
            _name(error, beside, path)
        raise


def _name(error: OSError, beside: Path, path: Path) -> None:
    """Let an error name what the user named, not what is written beside it, or nothing at all."""
    told = os.fspath(error.filename) if error.filename is not None else ""
    if isinstance(told, str) and beside.name in Path(told).parts:
        error.filename, error.filename2 = str(path), None
    elif error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT):
        # Libraries write to the folder for temporary files first.
        full = shutil.disk_usage(beside.parent).free < _ROOM
        error.filename = str(path) if full else tempfile.gettempdir()


def _refuse_just_made(folder: Path) -> None:
    """Look again, now with the lock: another process may have finished since the first look."""
    if folder.is_dir() and any(folder.iterdir()):
        shutil.rmtree(working_folder(folder))
        raise BusyError(f"another process has just made {folder}: use that")


def _is_intact(file: Path, size: int, digest: str) -> bool:
    try:
        # The size first: it is to be had at once.
        return file.stat().st_size == size and _digest(file) == digest
    except OSError:
        return False


def _digests(folder: Path) -> dict[str, tuple[int, str]]:
    """Return size in bytes and SHA-256 of each file by its name."""
    own = (_LOCK, DIGESTS)
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name not in own)
    return {file.name: (file.stat().st_size, _digest(file)) for file in files}


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != _LOCK:
            entry.unlink()


def _flush(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
