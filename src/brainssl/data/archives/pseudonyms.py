"""Pseudonyms: the same identifier gives the same one under the same key, and none leads back.

HMAC-SHA256 (RFC 2104), of which 16 hexadecimal digits are kept: among a million patients two share
one by chance in three of 100 million archives. Who has the key can tell whether a known identifier
is in the data, so that the key is as secret as they are.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import write_atomically

KEY_BYTES = 32
PREFIXES = {"patient": "p", "study": "s", "series": "r", "site": "i"}
DIGITS = 16


class Pseudonyms:
    """Gives pseudonyms under one key."""

    def __init__(self, key: bytes) -> None:
        """Take a key.

        Raises:
            BrainsslError: it is too short to be one.
        """
        if len(key) < DIGITS:
            raise BrainsslError(f"a key for pseudonyms has at least {DIGITS} bytes: make a new one")
        self._key = key

    def of(self, unit: str, *parts: str) -> str:
        """Return the pseudonym of what some texts identify together, such as `p-0123456789abcdef`.

        Args:
            unit: `patient`, `study`, `series` or `site`; the same texts give another pseudonym
                as another unit.
            parts: the texts, in order.
        """
        # Each with its length before it, so that no two lists of texts are written alike.
        encoded = [part.encode("utf-8", "surrogatepass") for part in (unit, *parts)]
        message = b"".join(len(part).to_bytes(8, "big") + part for part in encoded)
        digest = hmac.new(self._key, message, hashlib.sha256).hexdigest()
        return f"{PREFIXES[unit]}-{digest[:DIGITS]}"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a key for pseudonyms does not travel")


def make_key(file: Path) -> bytes:
    """Write a new key, 32 random bytes in hexadecimal digits, that its owner alone can read.

    Raises:
        BrainsslError: the file exists: a key that is lost cannot be made again.
        OSError: it cannot be written.
    """
    key = secrets.token_bytes(KEY_BYTES)
    write_key(file, key)
    return key


def write_key(file: Path, key: bytes) -> None:
    """Write a key as `make_key` does: whole or not at all, and never over another.

    Raises:
        BrainsslError: the file exists.
        OSError: it cannot be written.
    """
    taken = BrainsslError(f"{file} exists already: pseudonyms of another key would not match it")
    if file.exists() or file.is_symlink():
        raise taken

    def write(beside: Path) -> None:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(key.hex() + "\n")

    beside = file.with_name(f".key.{secrets.token_hex(4)}")
    try:
        write_atomically(beside, write)
    except OSError as error:
        error.filename = str(file)
        raise
    try:
        os.link(beside, file)  # unlike a rename, it fails where another process was faster
    except FileExistsError:
        raise taken from None
    except OSError:  # a file system without links
        if file.exists():
            raise taken from None
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def read_key(file: Path) -> bytes:
    """Read a key that `make_key` wrote.

    Raises:
        BrainsslError: there is none, others can read it, or it is no key.
    """
    try:
        text = file.read_text(encoding="ascii").strip()
        mode = file.stat().st_mode
    except FileNotFoundError:
        raise BrainsslError(f"{file} is missing: it should hold the key of pseudonyms") from None
    except (OSError, UnicodeDecodeError):
        raise BrainsslError(f"{file} cannot be read as a key of pseudonyms") from None
    if mode & 0o077:
        raise BrainsslError(f"{file} can be read by others: chmod 600 it, for it is a secret")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise BrainsslError(
            f"{file} is no key of pseudonyms: it should hold {2 * KEY_BYTES} hexadecimal digits"
        )
    return key
