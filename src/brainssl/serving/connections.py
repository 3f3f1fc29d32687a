"""Connections that cost only themselves: slow heads, slow readers and too many of them are closed.

uvicorn waits for a request's head, and for an answer to be read, as long as the client likes.
"""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from brainssl.serving.faults import Fault
from brainssl.serving.guard import HEADERS
from brainssl.serving.limits import Limits

_LOOK = 1.0  # seconds between looks at a connection
_UNREAD = 30.0  # seconds in which nothing of an answer is read


def protocol_of(limits: Limits) -> type[H11Protocol]:
    """Return the protocol of connections under these limits."""
    return type("Connection", (Connection,), {"limits": limits})


class Connection(H11Protocol):
    """A connection that is looked at every second."""

    limits: Limits

    _idle_since: float | None = None
    _stuck: tuple[int, float] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.abort()
        else:
            self.loop.call_later(_LOOK, self._look)

    def _look(self) -> None:
        now, transport = self.loop.time(), self.transport
        if self not in self.connections:
            return
        unread = transport.get_write_buffer_size()
        if unread == 0:
            self._stuck = None
        elif self._stuck is None or unread < self._stuck[0]:
            self._stuck = (unread, now)
        idle = self.cycle is None or self.cycle.response_complete
        self._idle_since = (self._idle_since or now) if idle else None
        if (self._idle_since and now - self._idle_since > self.limits.head_seconds) or (
            self._stuck and now - self._stuck[1] > _UNREAD
        ):
            transport.abort()
            return
        self.loop.call_later(_LOOK, self._look)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in JSON and with our headers as everything else."""
        body = Fault(400, "this is no HTTP request").body
        given = {"Content-Type": "application/json", "Connection": "close", **HEADERS}
        headers = [(name.lower(), value) for name, value in given.items()]
        headers.append(("content-length", str(len(body))))
        events: tuple[Any, ...] = (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            for event in events:
                self.transport.write(self.conn.send(event))
        self.transport.close()
