"""The steps in several processes of this machine, which this one hands them to."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

import torch

from brainssl.foundation.board import Board, board
from brainssl.foundation.errors import BrainsslError
from brainssl.studies.scheduling.graph import Agenda, Outcome
from brainssl.studies.scheduling.scheduler import MOST_DEATHS, Work

_END_SECONDS = 10.0
"""In which a process ends that has nothing to do; else it is ended."""


@dataclass(eq=False)
class _Worker:
    """A process: what it does now, and the kind of step whose preparations it still holds."""

    place: int
    process: "subprocess.Popen[bytes]"
    connection: "Connection[object, tuple[object, ...]]"
    ready: bool = False
    step: str | None = None
    kind: str | None = None

    @property
    def idle(self) -> bool:
        return self.ready and self.step is None


class Processes:
    """Hands the steps to `jobs` processes, which share the threads and the GPUs that this one has.

    They end with this process, however it ends. One that dies costs its step one more try, in
    another process; a step of which two die has failed.

    Args:
        jobs: how many processes.
        devices: GPUs that each of them needs, if there are any.
    """

    def __init__(self, jobs: int, *, devices: int = 1) -> None:
        self._jobs = jobs
        self._gpus = _shares(devices)
        self._threads = max(1, torch.get_num_threads() // jobs)

    def check(self) -> None:
        """Find nothing amiss."""

    def run(self, agenda: Agenda, work: Work) -> None:
        """Settle every step of the agenda.

        Raises:
            BrainsslError: no process can be started.
        """
        with board(work.terminal) as shown, self._crew() as crew:
            shift = _Shift(agenda, work, shown, crew)
            while agenda.left:
                self._fill(shift)
                shift.hand_out()
                shift.listen()
            shift.end()

    def _fill(self, shift: "_Shift") -> None:
        """Start as many processes as have something to do; one that died is replaced."""
        crew, agenda = shift.crew, shift.agenda
        busy = sum(worker.step is not None for worker in crew)
        wanted = min(self._jobs, busy + len(agenda.ready))
        for place in range(self._jobs):
            if len(crew) >= wanted:
                return
            if all(worker.place != place for worker in crew):
                worker = self._start(place)
                crew.append(worker)
                with suppress(OSError):  # it has died already: `listen` will know
                    worker.connection.send(shift.work.elsewhere())

    def _start(self, place: int) -> _Worker:
        ours, theirs = Pipe()
        more = {"OMP_NUM_THREADS": str(self._threads)}
        if self._gpus:
            more["CUDA_VISIBLE_DEVICES"] = self._gpus[place % len(self._gpus)]
        process = subprocess.Popen(  # noqa: S603 - nothing from outside
            [sys.executable, "-m", "brainssl.studies.scheduling.worker", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the answer of the command is this process's alone
            env=os.environ | more,
            start_new_session=True,  # Ctrl-C is for this process, which then ends the others
        )
        theirs.close()
        return _Worker(place, process, ours)

    @contextmanager
    def _crew(self) -> Iterator[list[_Worker]]:
        crew: list[_Worker] = []
        try:
            yield crew
        finally:
            for worker in crew:
                worker.process.kill()
                worker.process.wait()
                worker.connection.close()


@dataclass
class _Shift:
    """One agenda, and the processes that work it off."""

    agenda: Agenda
    work: Work
    shown: Board
    crew: list[_Worker]
    deaths: Counter[str] = field(default_factory=Counter)
    never_ready: int = 0

    def hand_out(self) -> None:
        """Give each idle process a step: of its own kind if there is one, else of nobody's."""
        for worker in [worker for worker in self.crew if worker.idle]:
            if not (ready := self.agenda.ready):
                return
            kinds = {name: self.work.kind(name) for name in ready}
            others = {one.kind for one in self.crew if one is not worker} - {None}
            name = min(
                ready, key=lambda one: _preference(kinds[one], worker.kind, others)
            )  # the first of those that are preferred
            self.agenda.take(name)
            worker.step, worker.kind = name, kinds[name] or worker.kind
            with suppress(OSError):  # it has died: `listen` will know
                worker.connection.send(name)

    def listen(self) -> None:
        """Wait until a process says something, or dies."""
        by_connection = {worker.connection: worker for worker in self.crew}
        for connection in wait(list(by_connection)):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                self._hear(worker, worker.connection.recv())
            except (EOFError, OSError):
                self._bury(worker)

    def end(self) -> None:
        """Let the processes end by themselves, so that what they wrote last is written."""
        for worker in self.crew:
            with suppress(OSError):
                worker.connection.send(None)
        for worker in self.crew:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(_END_SECONDS)

    def _hear(self, worker: _Worker, message: tuple[object, ...]) -> None:
        match message:
            case ("ready",):
                worker.ready = True
            case ("settled", str(name), Outcome() as outcome):
                worker.step = None
                self.agenda.settle(name, outcome)
            case ("unfit", str(text)):
                raise BrainsslError(text)
            case _:
                self.shown.hear(message)

    def _bury(self, worker: _Worker) -> None:
        """Take a process that died out of the crew, and see what becomes of its step."""
        worker.connection.close()
        cause = _cause(worker.process.wait())
        self.crew.remove(worker)
        if not worker.ready:
            self.never_ready += 1
            if self.never_ready >= MOST_DEATHS:
                raise BrainsslError(f"no further process can be started: {cause}; leave out --jobs")
        if worker.step is not None:
            self._try_again(worker.step, cause)

    def _try_again(self, name: str, cause: str) -> None:
        self.shown.drop(name)
        self.deaths[name] += 1
        if self.deaths[name] < MOST_DEATHS:
            self.work.terminal.say(f"a process {cause} while it did {name}: done again in another")
            self.agenda.give_back(name)
            return
        self.work.give_up(
            name,
            f"{MOST_DEATHS} processes died of it: the last {cause}. Where memory was short, take "
            "fewer --jobs or a smaller batch",
        )
        self.agenda.settle(name, Outcome.FAILED)


def _preference(kind: str | None, own: str | None, others: set[str | None]) -> int:
    if kind is not None and kind == own:
        return 0
    return 2 if kind in others else 1


def _cause(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed ({signal.Signals(-code).name})"
    except ValueError:
        return f"was killed (signal {-code})"


def _shares(devices: int) -> list[str]:
    """Divide the GPUs among processes, as CUDA_VISIBLE_DEVICES has them; none for one share."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    every = named.split(",")[:count] if named else [str(number) for number in range(count)]
    shares = [
        ",".join(every[first : first + devices])
        for first in range(0, len(every) - devices + 1, devices)
    ]
    return shares if len(shares) > 1 else []
