"""The steps on a Ray cluster: each is a task of it, put where there is room."""

import logging
import os
import secrets
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brainssl import __version__
from brainssl.foundation.board import Board, board
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.extras import require
from brainssl.foundation.storage import remove
from brainssl.studies.scheduling import on_node
from brainssl.studies.scheduling.away import (
    Traces,
    fetch_step,
    keep_trace,
    name_of,
    send_ground,
    send_step,
    traces_in,
)
from brainssl.studies.scheduling.depot import FETCHED, Depot
from brainssl.studies.scheduling.graph import Agenda, Outcome
from brainssl.studies.scheduling.machines import (
    clear,
    gpus_of,
    has_room,
    line_of,
    machines,
    only,
    refuse_blind,
)
from brainssl.studies.scheduling.scheduler import MOST_DEATHS, Work

AUTO = "auto"
_LISTEN_SECONDS = 0.5
_CONNECT_SECONDS = 10.0
_MOST_LOST = 20
"""So often a step begins again because a machine went: on machines that are taken back, often."""


class Cluster:
    """Hands the steps to the machines of a Ray cluster.

    All of them see the study's folder, or a storage by which they get what they need of it.

    A machine that is lost costs its steps a new beginning elsewhere, from their checkpoints. A
    process that dies of a step costs one more try; a step of which two die has failed.

    Args:
        address: host:port of its head, `ray://host:port`, or `auto`: of the one that runs here, or
            that RAY_ADDRESS names.
        folder: of the study.
        storage: URL of a folder by which machines get and give what they need, if they do not see
            that of the study.

    Raises:
        BrainsslError: Ray is not installed, or the storage is of no use.
    """

    def __init__(self, address: str, folder: Path, storage: str | None = None) -> None:
        require("cluster")
        self._address, self._folder = address, folder.resolve()
        self._storage = storage if storage is None else Depot(storage).url
        self._own = False

    def check(self) -> None:
        """Connect, unless this process is connected already.

        Raises:
            BrainsslError: no cluster answers, or the storage takes nothing.
        """
        import ray

        if self._storage is not None:
            Depot(self._storage).refuse_useless()
        if ray.is_initialized():
            return
        if address := self._silent():
            raise BrainsslError(f"no Ray cluster answers at {address}: see --cluster")
        try:
            ray.init(address=self._address, log_to_driver=False, logging_level=logging.CRITICAL)
        except Exception as error:  # noqa: BLE001 - it has no class of its own for each of them
            told = " ".join(str(error).split())[:200]
            raise BrainsslError(
                f"no Ray cluster answers at {self._address} ({told}): start one with `ray start "
                "--head`, or name its address"
            ) from None
        self._own = True

    def run(self, agenda: Agenda, work: Work) -> None:
        """Settle every step of the agenda.

        Raises:
            BrainsslError: a machine does not see the folder, or has another version of brainssl.
        """
        if not agenda.left:
            self._leave()
            return
        with (
            board(work.terminal) as shown,
            # Ray prints to it what it thinks of machines that went; the answer goes there, too.
            Path(os.devnull).open("w") as nowhere,
            redirect_stdout(nowhere),
            self._marked(work) as place,
        ):
            nodes = machines()
            refuse_blind(place, nodes)
            shift = _Shift(
                agenda, work, shown, place, self._folder, any(gpus_of(node) for node in nodes)
            )
            shift.warn(nodes)
            try:
                while agenda.left:
                    shift.submit()
                    shift.listen()
            finally:
                shift.cancel()
                clear(place)
                self._leave()

    def _silent(self) -> str | None:
        """Return the address if nothing listens there: Ray would try for a minute or more."""
        address = self._address
        if address == AUTO:
            address = os.environ.get("RAY_ADDRESS", "")
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if not host or not port.isdigit():
            return None
        try:
            socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
        except OSError:
            return address
        return None

    def _leave(self) -> None:
        if self._own:
            import ray

            ray.shutdown()
            self._own = False

    @contextmanager
    def _marked(self, work: Work) -> Iterator[on_node.Place]:
        """Lay a mark where the study is as long as the block runs, by which machines know it."""
        mark = self._folder / f".cluster.{secrets.token_hex(4)}"
        mark.write_text(mark.name, "utf-8")
        here = str(Path.cwd()), __version__
        try:
            if self._storage is None:
                yield on_node.Place(self._folder, mark.name, *here)
                return
            for left in self._folder.glob(f"{FETCHED}*"):  # by a command that was killed
                remove(left)
            ground = work.ground()
            # The same study of other images, perhaps somebody else's, is another one.
            name = f"{work.digest[:16]}-{name_of(ground)}"
            depot = Depot(f"{self._storage.rstrip('/')}/{name}")
            depot.put(mark.name, {mark.name: mark})
            try:
                send_ground(depot, ground)
                stored = on_node.Stored(depot.url, tuple(ground), secrets.token_hex(8))
                yield on_node.Place(None, mark.name, *here, stored)
            finally:
                depot.drop(mark.name)
        finally:
            mark.unlink(missing_ok=True)


@dataclass
class _Shift:
    """One agenda on a cluster."""

    agenda: Agenda
    work: Work
    shown: Board
    place: on_node.Place
    folder: Path
    gpus: bool
    running: dict[Any, str] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        import ray

        here = ray.get_runtime_context().get_node_id()
        self._ears: Any = (
            ray.remote(on_node.Ears).options(num_cpus=0, scheduling_strategy=only(here)).remote()
        )
        self._begin = ray.put(self.work.elsewhere())
        self._do = ray.remote(on_node.do)
        stored = self.place.stored
        self._depot = None if stored is None else Depot(stored.url)
        self._sent: set[str] = set()

    def warn(self, nodes: list[dict[str, Any]]) -> None:
        """Tell of what no machine has room for: it waits until one comes that has."""
        for name in self.agenda.ready:
            demand = self.work.demand(name, gpus=self.gpus)
            if not any(has_room(node["Resources"], demand) for node in nodes):
                self.work.terminal.say(
                    f"waiting for a machine with {demand.cpus} CPUs, {demand.gpus:g} GPUs and "
                    f"{demand.memory / 1e9:.1f} GB for {name}: see run.step_cpus, run.step_gpus "
                    "and run.step_memory"
                )
                return

    def submit(self) -> None:
        """Hand what is ready to Ray, which begins it where and when there is room."""
        for name in self.agenda.ready:
            demand = self.work.demand(name, gpus=self.gpus)
            self.agenda.take(name)
            if self._depot is not None and fetch_step(self._depot, name, self.folder):
                self.agenda.settle(name, Outcome.DONE)  # as an earlier run was lost after it
                continue
            needed, traces = self._told_of(name)
            task = self._do.options(
                num_cpus=demand.cpus,
                num_gpus=demand.gpus,
                memory=demand.memory,
                max_retries=0,  # they are counted here
                name=name,
            )
            made = task.remote(
                [self._begin], name, needed, traces, self.place, demand.cpus, self._ears
            )
            self.running[made] = name

    def _told_of(self, name: str) -> tuple[list[str], Traces]:
        """Return the finished steps before one, which the depot then has, and traces of others."""
        if self._depot is None:
            return [], {}
        before = sorted(self.agenda.before(name))
        needed = [one for one in before if self.agenda.outcomes[one] is Outcome.DONE]
        for one in needed:
            if one not in self._sent and not self._depot.has(f"steps/{one}"):
                send_step(self._depot, one, self.folder)  # it was made without this storage
            self._sent.add(one)
        return needed, traces_in(self.folder) if len(needed) < len(before) else {}

    def listen(self) -> None:
        """Wait a moment for steps to end, and show what was said meanwhile."""
        import ray

        if not self.running:
            return
        ended, _ = ray.wait(
            list(self.running), num_returns=len(self.running), timeout=_LISTEN_SECONDS
        )
        with suppress(ray.exceptions.RayError):  # without ears, steps are done all the same
            for message in ray.get(self._ears.take.remote(), timeout=_CONNECT_SECONDS):
                self.shown.hear(message)
        for task in ended:
            self._end(self.running.pop(task), task)

    def cancel(self) -> None:
        """End the steps that run."""
        import ray

        for task in self.running:
            with suppress(Exception):
                ray.cancel(task, force=True)
        with suppress(Exception):
            ray.kill(self._ears)

    def _end(self, name: str, task: Any) -> None:
        import ray

        try:
            told = ray.get(task)
        except (ray.exceptions.NodeDiedError, ray.exceptions.LocalRayletDiedError):
            self.lost[name] += 1
            self._again(name, "its machine was lost", self.lost[name] < _MOST_LOST)
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
            self.deaths[name] += 1
            short = isinstance(error, ray.exceptions.OutOfMemoryError)
            cause = "its process was ended for memory" if short else "its process died"
            self._again(name, cause, self.deaths[name] < MOST_DEATHS)
        except ray.exceptions.RayTaskError as error:  # not of the step, whose failures are told
            raise BrainsslError(line_of(error)) from None
        else:
            self.shown.drop(name)
            outcome = told.outcome
            fetched = outcome is not Outcome.DONE or self._fetched(name)
            if outcome is None or not fetched:
                self.deaths[name] += 1
                fault = told.fault or "what it made is not in the storage"
                self._again(name, fault, self.deaths[name] < MOST_DEATHS)
                return
            if told.trace is not None:
                keep_trace(self.folder, name, told.trace)
            if outcome is Outcome.DONE:
                self.shown.settle(name)
            self.agenda.settle(name, outcome)

    def _fetched(self, name: str) -> bool:
        """Tell whether a step that was made is in the study's folder."""
        return self._depot is None or fetch_step(self._depot, name, self.folder)

    def _again(self, name: str, cause: str, once_more: bool) -> None:
        self.shown.drop(name)
        if once_more:
            self.work.terminal.say(f"{name}: {cause}: it goes on elsewhere")
            self.agenda.give_back(name)
            return
        self.work.give_up(
            name,
            f"{cause}, as before: tried no more. Where memory is short, raise run.step_memory or "
            "take a smaller batch",
        )
        self.agenda.settle(name, Outcome.FAILED)
