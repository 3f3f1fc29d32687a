"""The graph of a study: which steps there are, and what must be settled before each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from graphlib import CycleError, TopologicalSorter


@dataclass(frozen=True)
class Node:
    """A step in the graph.

    Attributes:
        name: of the step.
        needs: names of steps without whose success it is not done.
        after: names of steps that it waits for, whatever becomes of them.
    """

    name: str
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def before(self) -> frozenset[str]:
        """The steps that are settled before it."""
        return frozenset((*self.needs, *self.after))


class Outcome(Enum):
    """What became of a step."""

    DONE = "done"
    FAILED = "failed"
    UNDONE = "not done"
    """What it needs failed, or was not done."""


class Agenda:
    """What is still to be done of a graph, and what can be done now.

    A scheduler takes a step that is ready, and settles it or gives it back, until nothing is left.

    Args:
        nodes: the steps, in the order in which one process would take them.
        settled: what became of steps that are not to be done again.

    Raises:
        ValueError: a step waits for one that is not there, or for itself.
    """

    def __init__(self, nodes: Iterable[Node], settled: Mapping[str, Outcome] | None = None) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._place = {name: place for place, name in enumerate(self._nodes)}
        self._waits = {name: set(node.before) for name, node in self._nodes.items()}
        self._followers: dict[str, list[str]] = {name: [] for name in self._nodes}
        for name, before in self._waits.items():
            for earlier in before:
                if earlier not in self._nodes:
                    raise ValueError(f"{name} waits for {earlier}, which is no step")
                self._followers[earlier].append(name)
        try:
            TopologicalSorter(self._waits).prepare()
        except CycleError as error:
            raise ValueError(f"steps wait for each other: {error.args[1]}") from None
        self.outcomes = dict(settled or {})
        self._taken: set[str] = set()
        self._ready = {name for name, before in self._waits.items() if not before}
        for name in tuple(self.outcomes):
            self._spread(name)

    @property
    def left(self) -> int:
        """How many steps are not settled."""
        return len(self._nodes) - len(self.outcomes)

    @property
    def ready(self) -> list[str]:
        """The steps that can be done now and that nobody has taken, in their order."""
        return sorted(self._ready, key=self._place.__getitem__)

    def before(self, name: str) -> frozenset[str]:
        """Return the steps that are settled before one."""
        return self._nodes[name].before

    def take(self, name: str) -> None:
        """Take a step that is ready."""
        self._ready.remove(name)
        self._taken.add(name)

    def give_back(self, name: str) -> None:
        """Give back a step that was taken and not settled: it is ready again."""
        self._taken.remove(name)
        self._ready.add(name)

    def settle(self, name: str, outcome: Outcome) -> None:
        """Say what became of a step that was taken; those that need it are settled with it."""
        self._taken.remove(name)
        self.outcomes[name] = outcome
        self._spread(name)

    def _spread(self, name: str) -> None:
        """Let the steps that wait for one that was settled know of it."""
        settled = [name]
        while settled:
            one = settled.pop()
            self._ready.discard(one)
            for follower in self._followers[one]:
                self._waits[follower].discard(one)
                if follower in self.outcomes:
                    continue
                lost = self.outcomes[one] is not Outcome.DONE
                if lost and one in self._nodes[follower].needs:
                    self.outcomes[follower] = Outcome.UNDONE
                    settled.append(follower)
                elif not self._waits[follower]:
                    self._ready.add(follower)
