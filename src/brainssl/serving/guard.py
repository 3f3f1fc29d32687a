"""The door: who may come in, what every answer carries, and the one line that is kept of each.

A page of a stranger's that is open in a browser on this machine can send requests here. Three
things keep it out: a name in `Host` that is none of ours (a stranger's name may be pointed at this
machine), an `Origin` that is another's, and the token where there is one.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brainssl.foundation.errors import BadUseError
from brainssl.serving.faults import Fault, come_again

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer, whatever it says."""

_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_READING = ("GET", "HEAD", "OPTIONS")
_ENDING, _AGAIN = "the service is ending", 10
_GONE = 499  # in the log alone: who asked did not wait


@dataclass(frozen=True)
class Door:
    """Who may come in.

    Attributes:
        hosts: names that `Host` may have, without a port.
        token: that requests must carry; None where nobody needs one.
        open: paths that need no token.
        known: paths that the log names.
    """

    hosts: frozenset[str]
    token: str | None
    open: frozenset[str]
    known: frozenset[str]

    def check(self, scope: Scope) -> None:
        """Let a request in.

        Raises:
            Fault: its host, its origin or its token is not ours.
        """
        given: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            given.setdefault(name, []).append(value)
        host = _only(given, b"host")
        if host is None or _name(host) not in self.hosts:
            raise Fault(421, "this service has another name: see --allow-host")
        if scope["method"] not in _READING:
            _check_origin(given, host)
        if self.token is not None and scope["path"] not in self.open:
            self._check_token(_only(given, b"authorization") or "")

    def _check_token(self, given: str) -> None:
        kind, _, token = given.partition(" ")
        # Digests are compared: the time that this takes tells nothing of the token, nor its length.
        one, other = (hashlib.sha256(word.encode()).digest() for word in (token, self.token or ""))
        if not hmac.compare_digest(one, other) or kind.lower() != "bearer":
            headers = {"WWW-Authenticate": "Bearer"}
            raise Fault(401, "send the token: Authorization: Bearer TOKEN", headers=headers)


def host_names(bound: str, further: Iterable[str]) -> frozenset[str]:
    """Return the names that `Host` may have: of this machine, the bound one, and further ones.

    Args:
        bound: the address or name that is listened on.
        further: names or addresses; a port is left out, as it is of `Host`.

    Raises:
        BadUseError: one of them is no name.
    """
    names = {*_LOCAL, *(_allowed(name) for name in further)}
    try:
        if not ipaddress.ip_address(bound).is_unspecified:  # nobody's name
            names.add(_bracketed(bound))
    except ValueError:
        names.add(bound)
    return frozenset(_name(name) for name in names)


def _allowed(name: str) -> str:
    host = _name(_bracketed(name))
    _, told, port = _bracketed(name)[len(host) :].rpartition(":")
    known = _bracketed(host.strip("[]")) == host and re.fullmatch(r"[\w.%:\[\]-]+", host)
    if not known or (told and not port.isdigit()):
        raise BadUseError(f"--allow-host {name}: give a name or an address, without a port")
    return host


def _bracketed(name: str) -> str:
    try:
        return f"[{name}]" if ipaddress.ip_address(name).version == 6 else name
    except ValueError:
        return name


def _name(host: str) -> str:
    """Return a host's name without its port."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower().removesuffix(".")


def _only(given: dict[bytes, list[bytes]], name: bytes) -> str | None:
    """Return a header that must not stand twice; None if it does, or is not there."""
    values = given.get(name, [])
    return values[0].decode("latin-1").strip() if len(values) == 1 else None


def _check_origin(given: dict[bytes, list[bytes]], host: str) -> None:
    """Refuse what a page of somebody else sends: browsers say whose it is."""
    site, origin = (given.get(name) for name in (b"sec-fetch-site", b"origin"))
    own = [f"{scheme}://{host}".lower().encode("latin-1") for scheme in ("http", "https")]
    if (site and not set(site) <= {b"same-origin", b"none"}) or (
        origin and (len(origin) > 1 or origin[0].lower() not in own)
    ):
        raise Fault(403, "requests from pages of another origin are refused")


class Guard:
    """What stands before the routes.

    Attributes:
        answered: requests that got what they asked for.
        refused: those that did not.
        ending: none is let in any more.
    """

    def __init__(self, app: ASGIApp, door: Door, say: Callable[[str], None]) -> None:
        self._app, self._door, self._say = app, door, say
        self._tasks: set[asyncio.Task[Any]] = set()
        self.answered = self.refused = 0
        self.ending = self._over = False

    @property
    def at_work(self) -> int:
        """How many requests were let in and are not answered yet."""
        return len(self._tasks)

    def give_up(self) -> None:
        """Tell those who still wait for an answer that there will be none."""
        self._over = True
        for task in self._tasks:
            task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._answer(scope, receive, send, task)
        finally:
            self._tasks.discard(task)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, task: asyncio.Task[Any]
    ) -> None:
        begun, status = time.perf_counter(), 0

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": self._dressed(message["headers"])}
            await send(message)

        try:
            self._let_in(scope)
            await self._app(scope, receive, dressed)
        except Fault as fault:
            await _refuse(fault, dressed)
        except ClientDisconnect:
            status = _GONE
        except asyncio.CancelledError:
            if not self._over or status:
                raise
            task.uncancel()
            await _refuse(come_again(503, _ENDING, _AGAIN), dressed)
        except Exception as error:  # noqa: BLE001 - a stranger must not see it, nor must it end us
            self._say(f"fault of the service: {type(error).__name__}{_place(error)}")
            if not status:
                await _refuse(Fault(500, "the service failed: it is not your fault"), dressed)
        finally:
            self._note(scope, status or _GONE, time.perf_counter() - begun)

    def _let_in(self, scope: Scope) -> None:
        self._door.check(scope)
        if self.ending and scope["path"] != "/health":
            raise come_again(503, _ENDING, _AGAIN)

    def _dressed(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        whole = [*headers, *((k.lower().encode(), v.encode()) for k, v in HEADERS.items())]
        return [*whole, (b"connection", b"close")] if self.ending else whole

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        """Write the line of the log: nothing in it is from outside, but the method's name."""
        done = status < 400
        self.answered, self.refused = self.answered + done, self.refused + (not done)
        route = scope["path"] if scope["path"] in self._door.known else "(unknown)"
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "(other)"
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self._say(f"{now} {method} {route} {status} {1000 * seconds:.0f} ms")


async def _refuse(fault: Fault, send: Send) -> None:
    headers = {"content-type": "application/json", **fault.headers}
    headers["content-length"] = str(len(fault.body))
    await send(
        {
            "type": "http.response.start",
            "status": fault.status,
            "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": fault.body})


def _place(error: Exception) -> str:
    """Say where in the code an error was raised; what it says may hold what was sent."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None:
        return ""
    file = trace.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
    return json.dumps(f" in {file}:{trace.tb_lineno}")[1:-1]
