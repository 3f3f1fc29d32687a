"""The body of a request, read into memory as it arrives and refused as soon as it is too much.

Starlette's own reader of forms writes larger files to disk; nothing that a stranger sends may get
there.
"""

import asyncio
import logging
import time
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from brainssl.serving.faults import Fault, come_again
from brainssl.serving.limits import Limits

FILES = "files"
"""The field of a form that holds the files."""

_LONGEST_NAME, _LONGEST_FIELD, _LONGEST_HEAD = 120, 200, 4096
_FORM = "multipart/form-data"

# It warns of damaged forms, and quotes them.
logging.getLogger("python_multipart.multipart").setLevel(logging.CRITICAL)


@dataclass
class Upload:
    """A file as it was sent.

    Attributes:
        name: to tell it by in the answer, and nothing else: without folders and control characters,
            cut to 120 characters.
        data: its content.
    """

    name: str
    data: bytes


@dataclass
class Form:
    """What a request holds.

    Attributes:
        files: in the order in which they came.
        fields: the others.
    """

    files: list[Upload] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)


class Held:
    """Bytes of all requests that are in memory."""

    def __init__(self, most: int) -> None:
        self.most, self.now = most, 0

    @contextmanager
    def lease(self) -> Iterator["Lease"]:
        """Give a request its part, and take it back after."""
        lease = Lease(self)
        try:
            yield lease
        finally:
            self.now -= lease.taken


class Lease:
    """What one request holds."""

    def __init__(self, held: Held) -> None:
        self._held, self.taken = held, 0

    def take(self, count: int) -> None:
        """Hold more bytes.

        Raises:
            Fault: there are too many in all.
        """
        if self._held.now + count > self._held.most:
            raise come_again(429, "too much is being sent at once: ask again in a moment")
        self._held.now += count
        self.taken += count


async def read_form(
    scope: Scope, receive: Receive, lease: Lease, limits: Limits, fields: frozenset[str]
) -> Form:
    """Read a form of files and fields.

    Args:
        scope: of the request.
        receive: of the request.
        lease: what it holds in memory.
        limits: of the service.
        fields: beside the files, that there may be.

    Raises:
        Fault: no form, not whole, too large, too slow, or with what it may not hold.
        ClientDisconnect: who sent it is gone.
    """
    headers = dict(scope["headers"])
    kind, options = parse_options_header(headers.get(b"content-type", b""))
    if kind.decode("latin-1") != _FORM:
        raise Fault(415, f"send a form ({_FORM}) with one or several `{FILES}`")
    stated = headers.get(b"content-length", b"0")
    if stated.isdigit() and int(stated) > limits.max_bytes:
        raise _too_large(limits)
    reader = _Reader(limits, fields)
    try:
        parser = MultipartParser(
            options.get(b"boundary", b""),
            {
                "on_part_begin": reader.begin,
                "on_header_field": reader.header_name,
                "on_header_value": reader.header_value,
                "on_header_end": reader.header_end,
                "on_headers_finished": reader.head_end,
                "on_part_data": reader.data,
                "on_part_end": reader.end,
                "on_end": reader.finish,
            },
        )
        async for chunk in _chunks(receive, lease, limits):
            parser.write(chunk)
    except FormParserError:
        raise Fault(422, "the form is damaged") from None
    if not reader.whole:
        raise Fault(422, "the form is cut short")
    if not reader.form.files:
        raise Fault(422, f"the form holds no file: send one or several `{FILES}`")
    return reader.form


def _too_large(limits: Limits) -> Fault:
    return Fault(413, f"larger than the limit of {limits.max_bytes:,} bytes a request")


async def _chunks(receive: Receive, lease: Lease, limits: Limits) -> AsyncIterator[bytes]:
    """Yield the body, which must keep coming: one that trickles would be held for ever."""
    begun, more = time.monotonic(), True
    while more:
        late = begun + limits.body_seconds + lease.taken / limits.body_rate
        try:
            async with asyncio.timeout(late - time.monotonic()):
                message = await receive()
        except TimeoutError:
            raise Fault(408, "the body comes too slowly", headers={"Connection": "close"}) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        if chunk := message.get("body", b""):
            if lease.taken + len(chunk) > limits.max_bytes:
                raise _too_large(limits)
            lease.take(len(chunk))
            yield chunk


class _Reader:
    """What the parser calls as it goes along."""

    def __init__(self, limits: Limits, fields: frozenset[str]) -> None:
        self.form, self.whole = Form(), False
        self._limits, self._fields = limits, fields
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._disposition = b""
        self._field, self._file = "", ""
        self._held = bytearray()

    def begin(self) -> None:
        self._disposition, self._held = b"", bytearray()
        self._header = (bytearray(), bytearray())

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])
        if len(self._header[1]) > _LONGEST_HEAD:
            raise Fault(422, "a part of the form has too long a head")

    def header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)
        self._header = (bytearray(), bytearray())

    def head_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        if self._field == FILES:
            if b"filename" not in options:
                raise Fault(422, f"`{FILES}` are to be files, with a file name each")
            if len(self.form.files) >= self._limits.max_files:
                raise Fault(413, f"more files than the limit of {self._limits.max_files} a request")
            self._file = plain_name(options[b"filename"].decode("utf-8", "replace"))
        elif self._field not in self._fields:
            known = ", ".join(f"`{name}`" for name in (FILES, *sorted(self._fields)))
            raise Fault(422, f"the form may hold {known} and nothing else")
        elif self._field in self.form.fields:
            raise Fault(422, f"`{self._field}` is given twice")

    def data(self, data: bytes, start: int, end: int) -> None:
        self._held += data[start:end]
        if self._field != FILES and len(self._held) > _LONGEST_FIELD:
            raise Fault(422, f"`{self._field}` is too long")

    def end(self) -> None:
        if self._field == FILES:
            self.form.files.append(Upload(self._file, bytes(self._held)))
        else:
            self.form.fields[self._field] = self._held.decode("utf-8", "replace")
        self._held = bytearray()

    def finish(self) -> None:
        self.whole = True


def plain_name(name: str) -> str:
    """Return the last part of a file's name, without what is not to be seen, cut short."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(one for one in last if unicodedata.category(one)[0] not in "CZ" or one == " ")
    return kept[:_LONGEST_NAME] or "file"
