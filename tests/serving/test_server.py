"""`brainssl serve` as a process: how it begins, what it leaves behind, and how it ends."""

import asyncio
import json
import os
import select
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest
from oracles.pictures import hostile, picture
from oracles.services import Outside, form, head, said
from typer.testing import CliRunner

import brainssl
from brainssl.cli import app
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.serving.server import bind, checked_token

TOKEN = "0123456789abcdef0123"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_what_others_see_needs_a_token(host: str, tuned: Path) -> None:
    with pytest.raises(BadUseError, match="is seen by other machines: give a token"):
        bind(host, 0, None)
    told = CliRunner(env={"BRAINSSL_TOKEN": ""}).invoke(app, ["serve", str(tuned), "--host", host])
    assert told.exit_code == 2
    assert told.stderr.startswith("brainssl: --host ")
    try:
        bind(host, 0, TOKEN).close()
    except BrainsslError:
        assert host == "::"  # where there is no IPv6


def test_loopback_by_whatever_name_needs_none() -> None:
    for host in ("127.0.0.1", "localhost", "127.0.0.9"):
        bind(host, 0, None).close()


def test_a_port_that_is_taken_is_told(tuned: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(BrainsslError, match=f"--port {port}: .*; choose another port"):
            brainssl.serve(tuned, port=port)


def test_an_address_that_there_is_not_is_told(tuned: Path) -> None:
    with pytest.raises(BrainsslError, match="there is no such address"):
        brainssl.serve(tuned, host="no such host")


@pytest.mark.parametrize("token", ["short", "x" * 15, "with a space in it at all", "ü" * 20])
def test_what_is_no_token_is_refused(token: str, tuned: Path) -> None:
    with pytest.raises(BadUseError, match="--token: give at least 16"):
        checked_token(token)
    with pytest.raises(BadUseError, match="--token"):
        brainssl.serve(tuned, token=token)


def test_strangers_leave_nothing_behind(outside: Outside) -> None:
    """Bodies larger than what Starlette keeps in memory; names in all places; many requests."""
    before = sorted(outside.folder.rglob("*"))
    watched: set[Path] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            watched.update(set(outside.folder.rglob("*")) - set(before))

    watching = threading.Thread(target=watch)
    watching.start()
    large = picture(0, 2000, 2000)
    assert len(large) > 2**21
    with httpx.Client(base_url=outside.url, timeout=60) as client:
        for name, data in [("Mueller.png", large), *list(hostile())[::4]]:
            answer = client.post(
                "/predict?patient=Mueller",
                files={"files": (f"Mueller {name}", data)},
                headers={"X-Patient": "Mueller"},
            )
            assert answer.status_code in (200, 413, 415, 422)
        client.get("/Mueller")
    with outside.connect() as link:
        link.sendall(b"GET /Mueller Mueller\r\n\r\n")
        said(link)
    opened = [Path(one.path) for one in psutil.Process(outside.process.pid).open_files()]
    done.set()
    watching.join()
    assert watched == set()
    assert sorted(outside.folder.rglob("*")) == before
    assert not [path for path in opened if path.is_relative_to(outside.folder)]
    assert "Mueller" not in outside.log
    assert " POST /predict 200 " in outside.log


def test_memory_stays_flat(outside: Outside) -> None:
    files = {"files": ("a.png", picture(0, 200, 180))}
    with httpx.Client(base_url=outside.url, timeout=60) as client:

        def ask(count: int) -> None:
            for number in range(count):
                path = "/explain" if number % 15 == 0 else "/predict"
                assert client.post(path, files=files).status_code == 200

        ask(40)
        before = outside.memory()
        ask(300)
    assert outside.memory() - before < 8 * 2**20


def test_who_is_in_is_answered_when_it_ends(
    tuned: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    body = form(*((f"{one}.png", picture(one)) for one in range(8)))
    folder = tmp_path_factory.mktemp("ending")  # short: a socket of Python's lies in it
    with Outside(tuned, folder, "--json", BRAINSSL_TOKEN=TOKEN) as service:
        bearer = f"Authorization: Bearer {TOKEN}"
        length = f"Content-Length: {len(body)}"
        slow = [service.connect() for _ in range(4)]
        for link in slow:  # whose body is still to come
            link.sendall(head("/predict", bearer, length) + body[:100])
        stopped = threading.Event()
        answers: list[bytes] = []

        def ask() -> None:
            while not stopped.is_set():
                try:
                    with service.connect() as link:
                        link.sendall(head("/predict", bearer, length) + body)
                        answer = said(link)
                except OSError:
                    return  # the port is closed
                answers.append(answer)

        with ThreadPoolExecutor(8) as pool:
            asking = [pool.submit(ask) for _ in range(8)]
            while len(answers) < 12:
                time.sleep(0.01)
            os.killpg(service.process.pid, signal.SIGINT)  # as Ctrl-C does
            time.sleep(0.1)
            for link in slow:
                link.sendall(body[100:])
            begun = time.monotonic()
            late = [said(link) for link in slow]
            for link in slow:
                link.close()
            code = service.ended(30)
            assert time.monotonic() - begun < 30
            stopped.set()
            for one in asking:
                one.result()
        assert code == 0, service.log
        assert [one[:12] for one in late] == [b"HTTP/1.1 200"] * 4
        statuses = {one[9:12] for one in answers if one}
        assert statuses <= {b"200", b"503"}
        assert b"200" in statuses
        assert sum(not one for one in answers) <= 8  # met the port as it closed
        assert service.process.stdout
        told = json.loads(service.process.stdout.read())
        done = sum(one[9:12] == b"200" for one in answers) + len(late)
        assert told["answered"] == done
        assert told["url"] == service.url
        assert TOKEN not in service.log


HURRIED = """
import time
from functools import partial
from brainssl.serving import engine, limits, service
service.Limits = partial(limits.Limits, grace_seconds=1.5)
def explain(*_):
    print("it explains", flush=True)
    time.sleep(600)
engine.Engine.explain = explain
"""


def test_it_ends_in_time_whatever_it_is_at(
    tuned: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A body that never ends, an answer that nobody reads, decoders that hang, a map that computes.

    Each would be waited for longer than `grace_seconds`, and the map longer than anybody waits.
    """
    many = form(*((f"{one}.png", picture(0, 512, 512)) for one in range(8)))
    body = form(("a.png", picture(0)))
    length = f"Content-Length: {len(body)}"
    folder = tmp_path_factory.mktemp("busy")
    with Outside(tuned, folder, "--json", before=HURRIED) as service, ExitStack() as stack:
        unsent, unread, mapped, decoding = (
            stack.enter_context(service.connect()) for _ in range(4)
        )
        unsent.sendall(head("/predict", length) + body[:100])
        unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        unread.sendall(head("/slices", f"Content-Length: {len(many)}") + many)
        assert select.select([unread], [], [], 60)[0]  # the answer is ready, of 2 MB
        mapped.sendall(head("/explain", length) + body)
        assert service.process.stdout
        assert service.process.stdout.readline() == "it explains\n"
        own = psutil.Process(service.process.pid)
        for one in set(own.children(recursive=True)) - set(own.children()):
            one.suspend()
        decoding.sendall(head("/predict", length) + body)
        time.sleep(0.3)
        begun = time.monotonic()
        os.killpg(service.process.pid, signal.SIGTERM)  # all of its processes, as systemd does
        answers = [said(link) for link in (unsent, mapped, decoding)]
        assert service.ended(40) == 0, service.log
        assert time.monotonic() - begun < 20
        assert [one[:12] for one in answers] == [b"HTTP/1.1 503"] * 3
        assert all(b"the service is ending" in one for one in answers)
        assert json.loads(service.process.stdout.read())["refused"] >= 3


def test_a_second_signal_ends_at_once(outside: Outside) -> None:
    """It is the last test of this service."""
    with outside.connect() as link:
        link.sendall(head("/predict", "Content-Length: 1000"))
        time.sleep(0.3)
        outside.signal(signal.SIGTERM)
        time.sleep(0.6)
        assert outside.process.poll() is None
        begun = time.monotonic()
        outside.signal(signal.SIGTERM)
        assert outside.ended(20) == 128 + signal.SIGTERM
        assert time.monotonic() - begun < 10


def test_no_answer_waits_for_the_acknowledgement_of_its_head() -> None:
    """Nagle's algorithm and a delayed ACK cost 40 ms; asyncio ends the former where it sees TCP."""

    async def off() -> int:
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            own = writer.get_extra_info("socket")
            told.set_result(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        taken = bind("127.0.0.1", 0, None)
        async with await asyncio.start_server(meet, sock=taken):
            _, writer = await asyncio.open_connection(*taken.getsockname())
            found = await told
            writer.close()
            return found

    assert asyncio.run(off()) == 1


@pytest.mark.parametrize("ours", [True, False])
def test_threads_wait_longer_unless_somebody_said_how(
    ours: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brainssl, "_waiting_is_ours", ours)
    monkeypatch.setenv("GOMP_SPINCOUNT", "")  # so that it is taken back
    monkeypatch.delenv("GOMP_SPINCOUNT")
    with pytest.raises(BrainsslError):
        brainssl.serve(tmp_path, port=0, quiet=True)
    assert ("GOMP_SPINCOUNT" in os.environ) is ours
