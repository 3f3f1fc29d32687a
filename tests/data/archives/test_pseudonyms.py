"""Pseudonyms against the definition of HMAC, and their key as a file."""

import hashlib
import os
import pickle
import stat
from pathlib import Path

import pytest

from brainssl.data.archives.pseudonyms import Pseudonyms, make_key, read_key, write_key
from brainssl.foundation.errors import BrainsslError


def test_it_is_hmac_of_the_unit_and_the_parts_with_their_lengths() -> None:
    key = bytes(range(32))
    message = b"".join(len(part).to_bytes(8, "big") + part for part in (b"patient", b"A", b"17"))
    block = key.ljust(64, b"\0")  # RFC 2104
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + message).digest()
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).hexdigest()
    assert Pseudonyms(key).of("patient", "A", "17") == f"p-{outer[:16]}"


def test_other_parts_units_and_keys_give_others() -> None:
    one, other = Pseudonyms(b"1" * 32), Pseudonyms(b"2" * 32)
    given = [
        one.of("patient", "A", "17"),
        one.of("patient", "A1", "7"),
        one.of("patient", "A17"),
        one.of("study", "A", "17"),
        other.of("patient", "A", "17"),
    ]
    assert len({name.partition("-")[2] for name in given}) == 5
    assert one.of("patient", "A", "17") == given[0]


def test_a_key_is_written_for_its_owner_alone_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "key"
    key = make_key(file)
    assert len(key) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().strip() == key.hex()
    assert read_key(file) == key
    with pytest.raises(BrainsslError, match="exists already"):
        make_key(file)
    assert make_key(tmp_path / "other") != key


@pytest.mark.parametrize("links", [True, False])
def test_a_key_is_never_written_over_one_made_at_the_same_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    file = tmp_path / "key"
    own = os.link

    def late(source: Path, target: Path) -> None:
        target.write_text("of the other")
        if not links:
            raise PermissionError(1, "no links here")
        own(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(BrainsslError, match="exists already"):
        write_key(file, bytes(32))
    assert file.read_text() == "of the other"
    assert list(tmp_path.iterdir()) == [file]


def test_a_key_is_written_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(source: Path, target: Path) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", none)
    assert make_key(tmp_path / "key") == read_key(tmp_path / "key")
    assert list(tmp_path.iterdir()) == [tmp_path / "key"]


def test_what_is_no_key_is_refused_without_being_shown(tmp_path: Path) -> None:
    file = tmp_path / "key"
    with pytest.raises(BrainsslError, match="is missing"):
        read_key(file)
    for text in ("abcd", "zz" * 32, "", "ä" * 64):
        file.write_text(text)
        file.chmod(0o600)
        with pytest.raises(BrainsslError, match="key of pseudonyms") as caught:
            read_key(file)
        assert not text or text not in str(caught.value)
    file.write_text("ab" * 32)
    file.chmod(0o644)
    with pytest.raises(BrainsslError, match="chmod 600"):
        read_key(file)


def test_a_key_does_not_travel() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Pseudonyms(b"1" * 32))
