"""One thread computes; slices that wait while it does go through the network together."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from brainssl.serving.engine import Images, Logits

TOGETHER = 64
"""Slices that go through the network at once, as in `predict`.

Who is alone is answered as by `predict`, bit for bit; who shares a batch with others may differ in
the last digits of float32, whose sums come in another order.
"""

Result = TypeVar("Result")


class Batches:
    """The thread that computes, and what waits for it."""

    def __init__(self, logits: Callable[[Images], Logits]) -> None:
        self._logits = logits
        self._thread = ThreadPoolExecutor(1, "computing")
        self._waiting: deque[deque[tuple[Images, asyncio.Future[Logits]]]] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def logits(self, images: Images) -> Logits:
        """Return the logits of slices, in parcels of at most `TOGETHER`.

        Who asks takes turns: a request of many slices does not hold up one of few.
        """
        loop = asyncio.get_running_loop()
        told: list[asyncio.Future[Logits]] = []
        own: deque[tuple[Images, asyncio.Future[Logits]]] = deque()
        for start in range(0, len(images), TOGETHER):
            told.append(loop.create_future())
            own.append((images[start : start + TOGETHER], told[-1]))
        self._waiting.append(own)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        try:
            return np.concatenate([await one for one in told])
        finally:
            for one in told:  # of who does not wait any more, those that are not computed yet
                one.cancel()

    async def alone(self, function: Callable[[], Result]) -> Result:
        """Call a function in the thread that computes."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while parcel := self._parcel():
            images = [one for one, _ in parcel]
            whole = images[0] if len(images) == 1 else np.concatenate(images)
            try:
                said = await loop.run_in_executor(self._thread, self._logits, whole)
            except Exception as error:  # noqa: BLE001 - each of them is told
                for _, told in parcel:
                    if not told.done():
                        told.set_exception(error)
                continue
            at = 0
            for one, told in parcel:
                if not told.done():
                    told.set_result(said[at : at + len(one)])
                at += len(one)

    def _parcel(self) -> list[tuple[Images, asyncio.Future[Logits]]]:
        """Take what goes together; what nobody waits for any more is dropped."""
        parcel: list[tuple[Images, asyncio.Future[Logits]]] = []
        count = 0
        while self._waiting:
            own = self._waiting[0]
            while own and own[0][1].done():
                own.popleft()
            if not own:
                self._waiting.popleft()
                continue
            if count + len(own[0][0]) > TOGETHER:
                break
            parcel.append(own.popleft())
            count += len(parcel[-1][0])
            self._waiting.rotate(-1)
        return parcel

    def end(self) -> None:
        """End the thread after what it is at."""
        self._thread.shutdown(wait=False, cancel_futures=True)
