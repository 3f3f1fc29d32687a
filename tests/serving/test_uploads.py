"""Bodies: whole ones are read as they are, all others are refused in one line."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.services import form
from starlette.requests import ClientDisconnect

from brainssl.serving.faults import Fault
from brainssl.serving.limits import Limits
from brainssl.serving.uploads import Form, Held, plain_name, read_form

LIMITS = Limits(max_bytes=5000, max_files=3, held_bytes=8000, body_seconds=0.2, body_rate=1e9)
FIELDS = frozenset({"label"})
KIND = "multipart/form-data; boundary=x1x"
HELD = Held(LIMITS.held_bytes)


def read(
    parts: Iterable[bytes | None], kind: str = KIND, length: int | None = None, held: Held = HELD
) -> Form:
    """Read a body that comes in parts; at a part that is None it stops to come."""
    messages = iter(list(parts))

    async def receive() -> Any:
        part = next(messages, b"")
        if part is None:
            await asyncio.sleep(60)
        rest = part not in (b"", None)
        return {"type": "http.request", "body": part, "more_body": rest}

    headers = [(b"content-type", kind.encode())]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))

    async def whole() -> Form:
        with held.lease() as lease:
            return await read_form({"headers": headers}, receive, lease, LIMITS, FIELDS)

    return asyncio.run(whole())


def status(*given: Any, **options: Any) -> int:
    with pytest.raises(Fault) as caught:
        read(*given, **options)
    assert "\n" not in caught.value.told
    assert HELD.now == 0
    return caught.value.status


def field(name: str, value: str) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"'
    return f"--x1x\r\n{disposition}\r\n\r\n{value}\r\n".encode()


@settings(max_examples=40)
@given(
    st.lists(st.binary(max_size=600), min_size=1, max_size=3),
    st.integers(1, 700),
    st.text(max_size=5),
)
def test_files_come_whole_however_they_are_cut(files: list[bytes], size: int, label: str) -> None:
    body = form(*((f"{at}.png", data) for at, data in enumerate(files)))
    body = field("label", label) + body
    if b"x1x" in b"".join(files) or "x1x" in label:
        return
    got = read(body[at : at + size] for at in range(0, len(body), size))
    assert [one.data for one in got.files] == files
    assert [one.name for one in got.files] == [f"{at}.png" for at in range(len(files))]
    assert got.fields == {"label": label}
    assert HELD.now == 0


def test_too_much_is_refused_before_it_is_there() -> None:
    taken = 0

    def endless() -> Iterable[bytes]:
        nonlocal taken
        yield form(("a.png", b"")).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        for _ in range(1000):
            taken += 1
            yield bytes(1000)

    # Without a length, as a body in chunks has none.
    stream = endless()
    messages = iter(stream)

    async def receive() -> Any:
        return {"type": "http.request", "body": next(messages), "more_body": True}

    async def whole() -> None:
        with HELD.lease() as lease:
            scope = {"headers": [(b"content-type", KIND.encode())]}
            await read_form(scope, receive, lease, LIMITS, FIELDS)

    with pytest.raises(Fault) as caught:
        asyncio.run(whole())
    assert caught.value.status == 413
    assert taken <= 6
    # With one, nothing is read.
    assert status([None], length=LIMITS.max_bytes + 1) == 413


def test_what_others_hold_counts() -> None:
    held = Held(LIMITS.held_bytes)
    held.now = 7000
    with pytest.raises(Fault) as caught:
        read([form(("a.png", bytes(2000)))], held=held)
    assert caught.value.status == 429
    assert held.now == 7000


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (form(("a", b"x")), "application/json", 415),
        (form(("a", b"x")), "", 415),
        (form(("a", b"x")), "multipart/form-data", 422),
        (form(("a", b"x")), "multipart/form-data; boundary=other", 422),
        (form(("a", b"x")), f"multipart/form-data; boundary={'b' * 4000}", 422),
        (b"", KIND, 422),
        (b"nothing of a form", KIND, 422),
        (form(), KIND, 422),
        (form(("a", b"x"))[:-6], KIND, 422),
        (form(*[("a", b"x")] * 4), KIND, 413),
        (field("files", "no file name") + form(("a", b"x")), KIND, 422),
        (field("other", "x") + form(("a", b"x")), KIND, 422),
        (field("label", "x") * 2 + form(("a", b"x")), KIND, 422),
        (field("label", "x" * 201) + form(("a", b"x")), KIND, 422),
        (field("label", "only"), KIND, 422),
        (form(("a" * 4200, b"x")), KIND, 422),
        (b"--x1x\r\nno colon\r\n\r\nx\r\n--x1x--\r\n", KIND, 422),
        (b"--x1x\r\n" + b"A: b\r\n" * 500 + b"\r\nx\r\n--x1x--\r\n", KIND, 422),
    ],
)
def test_what_is_no_form_of_files_is_refused(body: bytes, kind: str, expected: int) -> None:
    assert status([body], kind) == expected


def test_a_body_that_stops_to_come_is_given_up() -> None:
    assert status([form(("a", b"x"))[:50], None]) == 408


def test_who_is_gone_is_not_answered() -> None:
    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def whole() -> None:
        with HELD.lease() as lease:
            scope = {"headers": [(b"content-type", KIND.encode())]}
            await read_form(scope, receive, lease, LIMITS, FIELDS)

    with pytest.raises(ClientDisconnect):
        asyncio.run(whole())


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("slice 1.png", "slice 1.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\scans\\slice.png", "slice.png"),
        ("a\r\nSet-Cookie: b\0.png", "aSet-Cookie: b.png"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("Aufnahme ü.png", "Aufnahme ü.png"),
        ("n" * 500, "n" * 120),
        ("", "file"),
        ("/", "file"),
        ("<b>.png", "<b>.png"),
    ],
)
def test_names_are_plain_and_short(given_name: str, kept: str) -> None:
    assert plain_name(given_name) == kept
