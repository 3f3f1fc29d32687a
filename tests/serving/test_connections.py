"""Connections, on a real port: clients that are slow, too many, or send what is no HTTP."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from oracles.pictures import picture
from oracles.services import Ported, form, head, said

from brainssl.serving.engine import Engine
from brainssl.serving.limits import Limits

LIMITS = Limits(
    head_seconds=1.5, body_seconds=1.5, body_rate=1e6, connections=8, max_bytes=2 * 10**6
)


@pytest.fixture(scope="module")
def ported(engine: Engine) -> Iterator[Ported]:
    with Ported(engine, LIMITS) as service:
        yield service


def predicted(ported: Ported) -> float:
    """Ask for a prediction and return the seconds that it took."""
    begun = time.monotonic()
    body = form(("a.png", picture(0)))
    with ported.connect() as link:
        link.sendall(head("/predict", f"Content-Length: {len(body)}") + body)
        assert b"200 OK" in said(link)
    return time.monotonic() - begun


def closed_after(link: socket.socket) -> tuple[float, bytes]:
    begun, answer = time.monotonic(), b""
    try:
        while chunk := link.recv(65536):
            answer += chunk
    except ConnectionResetError:
        pass
    return time.monotonic() - begun, answer


@pytest.mark.parametrize("sent", [b"", b"POST /pre", b"POST /predict HTTP/1.1\r\nHost: loc"])
def test_a_head_that_does_not_come_costs_only_itself(ported: Ported, sent: bytes) -> None:
    with ported.connect() as link:
        link.sendall(sent)
        assert predicted(ported) < 20
        seconds, answer = closed_after(link)
        assert 0.5 < seconds < 30
        assert answer == b""


def test_a_head_that_trickles_is_closed_too(ported: Ported) -> None:
    whole = head("/predict", "X: " + "y" * 4000)
    with ported.connect() as link, pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
        for at in range(len(whole)):
            link.sendall(whole[at : at + 1])
            time.sleep(0.02)


@pytest.mark.parametrize("framing", ["Content-Length: 5000", "Transfer-Encoding: chunked"])
def test_a_body_that_trickles_is_refused(ported: Ported, framing: str) -> None:
    with ported.connect() as link:
        link.sendall(head("/predict", framing))
        piece = form(("a.png", b"x" * 500))[:40]
        for at in range(20):
            part = piece[at : at + 1]
            link.sendall(b"1\r\n" + part + b"\r\n" if "chunked" in framing else part)
            time.sleep(0.02)
        assert predicted(ported) < 20
        _, answer = closed_after(link)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"too slowly" in answer


def test_too_much_in_chunks_is_refused_while_it_is_sent(ported: Ported) -> None:
    begin = form(("a.png", b"")).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    with ported.connect() as link:
        link.sendall(head("/predict", "Transfer-Encoding: chunked"))
        link.sendall(b"%x\r\n%s\r\n" % (len(begin), begin))
        piece = b"10000\r\n" + bytes(65536) + b"\r\n"
        answer = b""
        link.setblocking(False)
        sent = 0
        while sent < 400:
            sent += 1
            try:
                link.sendall(piece)
            except BlockingIOError:
                link.settimeout(30)
                answer = said(link)
                break
            except OSError:
                break
            try:
                answer = link.recv(65536)
            except BlockingIOError:
                time.sleep(0.005)
                continue
            break
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert sent < 200


def test_too_much_that_is_announced_is_refused_before_it_is_sent(ported: Ported) -> None:
    with ported.connect() as link:
        link.sendall(head("/predict", "Content-Length: 2000001", "Expect: 100-continue"))
        answer = said(link)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"100 Continue" not in answer


def test_a_body_is_asked_for_where_it_will_be_read(ported: Ported) -> None:
    body = form(("a.png", picture(0)))
    with ported.connect() as link:
        link.sendall(head("/predict", f"Content-Length: {len(body)}", "Expect: 100-continue"))
        assert link.recv(1000).startswith(b"HTTP/1.1 100 ")
        link.sendall(body)
        assert b"200 OK" in said(link)


def test_a_connection_serves_several_requests(ported: Ported) -> None:
    body = form(("a.png", picture(0)))
    with ported.connect() as link:
        for _ in range(3):
            link.sendall(head("/predict", f"Content-Length: {len(body)}") + body)
            assert b"200 OK" in said(link)


def test_too_many_connections_are_closed_and_others_answered(ported: Ported) -> None:
    links = [ported.connect() for _ in range(LIMITS.connections)]
    with ported.connect() as late:
        _, answer = closed_after(late)
        assert answer == b""
    for link in links:
        link.close()
    time.sleep(0.2)
    assert predicted(ported) < 20


@pytest.mark.parametrize(
    "sent",
    [
        b"Mueller\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_our_words(ported: Ported, sent: bytes) -> None:
    with ported.connect() as link:
        link.sendall(sent)
        answer = said(link)
    begin, _, body = answer.partition(b"\r\n\r\n")
    assert begin.startswith(b"HTTP/1.1 400 ")
    assert b"content-security-policy" in begin.lower()
    assert json.loads(body)["error"] == "this is no HTTP request"


def test_who_does_not_read_the_answer_costs_only_itself(ported: Ported, tmp_path: Path) -> None:
    body = form(("a.png", picture(0)))
    with ported.connect() as link:
        link.sendall((head("/explain", f"Content-Length: {len(body)}") + body) * 3)
        assert predicted(ported) < 20


def test_who_goes_away_leaves_nothing(ported: Ported) -> None:
    body = form(("a.png", picture(0)))
    for cut in (50, len(body) // 2, len(body) - 1, len(body)):
        with ported.connect() as link:
            link.sendall(head("/predict", f"Content-Length: {len(body)}") + body[:cut])
    assert predicted(ported) < 20
    until = time.monotonic() + 20
    while ported.guard.at_work and time.monotonic() < until:
        time.sleep(0.02)
    assert ported.guard.at_work == 0
    assert ported.service.health().room == LIMITS.requests
