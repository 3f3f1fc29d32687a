"""Services to ask: in this process without a network, and in one of their own."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import uvicorn

from brainssl.serving.engine import Engine
from brainssl.serving.limits import Limits
from brainssl.serving.server import bind, config_of, guarded
from brainssl.serving.service import Service

STARTING = 120  # seconds, on a machine that is busy


class Inside:
    """A service that is asked through ASGI, by a loop in a thread.

    Attributes:
        service: as it is.
        guard: the application.
        log: what it said.
    """

    def __init__(self, engine: Engine, limits: Limits | None = None, **door: Any) -> None:
        self.log: list[str] = []
        self.service = Service(engine, limits)
        self.guard = guarded(self.service, self.log.append, **door)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._stack = AsyncExitStack()

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait(self._stack.enter_async_context(self.service.running()))
        transport = httpx.ASGITransport(app=self.guard)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        return self

    def __exit__(self, *_: object) -> None:
        self.wait(self.client.aclose())
        self.wait(self._stack.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def wait(self, work: Any) -> Any:
        """Run a coroutine in the loop of the service."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request and return the answer."""
        answer = self.wait(self.client.request(method, path, **options))
        assert isinstance(answer, httpx.Response)
        return answer

    def predict(self, *files: tuple[str, bytes], path: str = "/predict", **data: str) -> Any:
        """Send files and return the answer."""
        return self.ask("POST", path, files=[("files", file) for file in files], data=data)


class Outside:
    """`brainssl serve` in a process of its own, in a folder of its own.

    Attributes:
        url: where it is.
        folder: its working directory; temporary files would go there, too.
        process: as it is; `before` is code that it runs first.
    """

    def __init__(
        self, tuned: Path, folder: Path, *words: str, before: str = "", **environment: str
    ) -> None:
        self.folder, self._log = folder, folder.with_name(f"{folder.name}.log")
        code = f"{before}\nfrom brainssl.__main__ import main; main()"
        source = str(Path(__file__).parents[2] / "src")
        own = {"PYTHONPATH": source, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, "serve", str(tuned), "--port", "0", *words],
                cwd=folder,
                env=os.environ | own | environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        until = time.monotonic() + STARTING
        while not (found := re.search(r"serving on (http://\S+)", self.log)):
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.05)
        self.url = found[1]
        self.address = ("127.0.0.1", int(self.url.rpartition(":")[2]))
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()

    @property
    def log(self) -> str:
        """What it said."""
        return self._log.read_text()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ended(self, seconds: float) -> int:
        """Wait for its end and return its exit code."""
        return self.process.wait(seconds)

    def memory(self) -> int:
        """Return the bytes that it and its decoders have for themselves."""
        one = psutil.Process(self.process.pid)
        return sum(each.memory_full_info().uss for each in [one, *one.children(recursive=True)])

    def connect(self) -> socket.socket:
        """Return a connection to it."""
        link = socket.create_connection(self.address, timeout=60)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return link


def form(*files: tuple[str, bytes], boundary: str = "x1x") -> bytes:
    """Return the body of a form with files, written by hand."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + data
        + b"\r\n"
        for name, data in files
    ]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


def head(path: str, *headers: str, boundary: str = "x1x") -> bytes:
    """Return the head of a request with a form."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *headers]
    lines.append(f"Content-Type: multipart/form-data; boundary={boundary}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def said(link: socket.socket) -> bytes:
    """Return what is answered until the other side closes, or nothing more comes for a while."""
    answer = b""
    while chunk := link.recv(65536):
        answer += chunk
        begin, _, body = answer.partition(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", begin.lower())
        if found and len(body) >= int(found[1]):
            break
    return answer


class Ported(Inside):
    """A service on a port, in this process."""

    def __enter__(self) -> Self:
        super().__enter__()
        taken = bind("127.0.0.1", 0, None)
        self.address = taken.getsockname()
        self._server = uvicorn.Server(config_of(self.guard, self.service.limits))
        work = self._server.serve(sockets=[taken])
        self._served = asyncio.run_coroutine_threadsafe(work, self.loop)
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._served.result(60)
        super().__exit__()

    def connect(self) -> socket.socket:
        """Return a connection to it."""
        return socket.create_connection(self.address, timeout=60)
