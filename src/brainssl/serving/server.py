"""A service on a port: bound before the classifier is read, ended without losing a request."""

import asyncio
import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import Protocol

import uvicorn
from fastapi import FastAPI

from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.serving.answers import NOTICE
from brainssl.serving.connections import protocol_of
from brainssl.serving.guard import Door, Guard, host_names
from brainssl.serving.limits import Limits
from brainssl.serving.routes import page_paths, paths_of, routes_of
from brainssl.serving.service import Service

SHORTEST_TOKEN = 16
_BACKLOG = 128
_LINGER = 0.3  # seconds in which who comes too late is told so
_CLOSING = 5  # seconds for connections to close after the last answer


class Served(Protocol):
    """What answers behind a door: a classifier, or labels that are to be reviewed.

    Attributes:
        limits: what a request may cost.
        ending: no request is taken any more.
    """

    limits: Limits
    ending: bool

    def running(self) -> AbstractAsyncContextManager[None]:
        """Be ready to answer within the block."""

    def end(self) -> None:
        """End at once what would outlive the process."""


def checked_token(token: str | None) -> str | None:
    """Return a token that can be one; None for an empty one.

    Raises:
        BadUseError: too short to be one, or not of printable ASCII without spaces.
    """
    if not token:
        return None
    if len(token) < SHORTEST_TOKEN or not (token.isascii() and token.isprintable()) or " " in token:
        raise BadUseError(
            f"--token: give at least {SHORTEST_TOKEN} printable ASCII characters without spaces, "
            "such as `openssl rand -hex 16` prints"
        )
    return token


def bind(host: str, port: int, token: str | None) -> socket.socket:
    """Take a port; nobody is answered yet.

    Args:
        host: name or address to bind.
        port: 0 for any that is free.
        token: without one only addresses of this machine are bound.

    Raises:
        BadUseError: the address is seen by others, and there is no token.
        BrainsslError: there is no such address, or the port is taken.
    """
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError):
        raise BrainsslError(f"--host {host}: there is no such address") from None
    if token is None and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise BadUseError(
            f"--host {host} is seen by other machines: give a token too, in BRAINSSL_TOKEN or by "
            "--token"
        )
    # Without its protocol asyncio does not know it for TCP, and an answer waits 40 ms for the
    # acknowledgement of its head.
    taken = socket.socket(family, kind, protocol)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
    except OSError as error:
        taken.close()
        raise BrainsslError(
            f"--host {host} --port {port}: {error.strerror}; choose another port"
        ) from None
    return taken


def guarded(
    service: Service,
    say: Callable[[str], None],
    *,
    host: str = "127.0.0.1",
    token: str | None = None,
    allow_hosts: tuple[str, ...] = (),
) -> Guard:
    """Return the application of a service, behind its door."""
    free = page_paths() | {"/health"}
    return behind_door(
        routes_of(service), say, free=free, host=host, token=token, allow_hosts=allow_hosts
    )


def behind_door(
    app: FastAPI,
    say: Callable[[str], None],
    *,
    free: frozenset[str],
    host: str = "127.0.0.1",
    token: str | None = None,
    allow_hosts: tuple[str, ...] = (),
) -> Guard:
    """Return an application behind its door; `free` are the paths that need no token."""
    hosts = host_names(host, allow_hosts)
    return Guard(app, Door(hosts=hosts, token=token, open=free, known=paths_of(app)), say)


def run(guard: Guard, service: Served, taken: socket.socket, say: Callable[[str], None]) -> None:
    """Answer until a signal says that it is enough.

    The first SIGTERM or SIGINT lets nobody in any more and answers who is in, within
    `Limits.grace_seconds`. The second ends at once.
    """
    server = _Server(config_of(guard, service.limits))
    asyncio.run(_run(server, guard, service, taken, say))


def config_of(guard: Guard, limits: Limits) -> uvicorn.Config:
    """Return how uvicorn serves: no log of its own, and connections under our limits."""
    return uvicorn.Config(
        guard,
        http=protocol_of(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_CLOSING,
    )


def url_of(taken: socket.socket) -> str:
    """Return where a bound service is found."""
    host, port = taken.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class _Server(uvicorn.Server):
    """A server that leaves signals to us: uvicorn's own would end us by the signal, not by 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _run(
    server: _Server,
    guard: Guard,
    service: Served,
    taken: socket.socket,
    say: Callable[[str], None],
) -> None:
    loop = asyncio.get_running_loop()
    ends: list[asyncio.Task[None]] = []

    def asked_to_end(number: int) -> None:
        if ends:
            service.end()
            os._exit(128 + number)
        say("ending: who is in is answered, nobody else is let in")
        service.ending = guard.ending = True
        ends.append(loop.create_task(_end(server, guard, service.limits.grace_seconds)))

    async with service.running():
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(ValueError, RuntimeError):  # not in the main thread: who calls ends us
                loop.add_signal_handler(number, asked_to_end, number)
        telling = loop.create_task(_tell(server, taken, say))
        await server.serve(sockets=[taken])
        telling.cancel()


async def _tell(server: _Server, taken: socket.socket, say: Callable[[str], None]) -> None:
    while not server.started:
        await asyncio.sleep(0.02)
    say(f"serving on {url_of(taken)}")
    say(NOTICE)


async def _end(server: _Server, guard: Guard, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while loop.time() - begun < _LINGER or (guard.at_work and loop.time() - begun < seconds):
        await asyncio.sleep(0.02)
    guard.give_up()
    server.should_exit = True
