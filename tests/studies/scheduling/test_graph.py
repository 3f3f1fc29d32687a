"""The agenda: whatever the graph and whatever fails, all that can be done is done, once."""

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainssl.studies.scheduling.graph import Agenda, Node, Outcome
from brainssl.studies.scheduling.here import Here


@dataclass(frozen=True)
class Case:
    """A graph, the steps that fail, and some that were settled before."""

    nodes: tuple[Node, ...]
    failing: frozenset[str]
    settled: dict[str, Outcome] = field(default_factory=dict)

    def expected(self) -> dict[str, Outcome]:
        """What becomes of each step, by the definition."""
        by_name, known = {node.name: node for node in self.nodes}, dict(self.settled)

        def outcome(name: str) -> Outcome:
            if name not in known:
                lost = any(outcome(need) is not Outcome.DONE for need in by_name[name].needs)
                own = Outcome.FAILED if name in self.failing else Outcome.DONE
                known[name] = Outcome.UNDONE if lost else own
            return known[name]

        return {name: outcome(name) for name in by_name}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    names = [f"step {number}" for number in range(draw(st.integers(1, 8)))]
    nodes = []
    for place, name in enumerate(names):
        earlier = st.lists(st.sampled_from(names[:place]), unique=True, max_size=3)
        before = draw(earlier) if place else []
        cut = draw(st.integers(0, len(before)))
        nodes.append(Node(name, tuple(before[:cut]), tuple(before[cut:])))
    some = st.frozensets(st.sampled_from(names), max_size=3)
    settled = {name: draw(st.sampled_from([Outcome.DONE, Outcome.FAILED])) for name in draw(some)}
    return Case(tuple(draw(st.permutations(nodes))), draw(some), settled)


@given(cases(), st.randoms(use_true_random=False))
def test_all_that_can_be_done_is_done_once_and_never_early(case: Case, chance: Random) -> None:
    """Several hands take and settle steps in any order, and some give theirs back once."""
    agenda, by_name = Agenda(case.nodes, case.settled), {node.name: node for node in case.nodes}
    taken: list[str] = []
    done: list[str] = []
    returned: set[str] = set()
    while agenda.left:
        ready = agenda.ready
        assert ready or taken
        if ready and (not taken or chance.random() < 0.5):
            name = chance.choice(ready)
            assert by_name[name].before <= agenda.outcomes.keys()
            assert all(agenda.outcomes[need] is Outcome.DONE for need in by_name[name].needs)
            agenda.take(name)
            taken.append(name)
            continue
        name = taken.pop(chance.randrange(len(taken)))
        if name not in returned and chance.random() < 0.2:
            returned.add(name)
            agenda.give_back(name)
            continue
        done.append(name)
        agenda.settle(name, Outcome.FAILED if name in case.failing else Outcome.DONE)
    expected = case.expected()
    assert agenda.outcomes == expected
    own = {n for n in expected if n not in case.settled and expected[n] is not Outcome.UNDONE}
    assert sorted(done) == sorted(own)


class Noted:
    """Work that notes its steps."""

    def __init__(self, failing: frozenset[str]) -> None:
        self.done: list[str] = []
        self._failing = failing

    def do(self, name: str) -> Outcome:
        self.done.append(name)
        return Outcome.FAILED if name in self._failing else Outcome.DONE


@given(cases())
def test_one_process_takes_the_first_that_it_can(case: Case) -> None:
    agenda, work = Agenda(case.nodes, case.settled), Noted(case.failing)
    Here().run(agenda, work)  # type: ignore[arg-type]
    expected = case.expected()
    assert agenda.outcomes == expected
    settled = dict(case.settled)
    for name in work.done:
        for node in case.nodes * len(case.nodes):  # what is lost is known at once
            lost = any(settled.get(n, Outcome.DONE) is not Outcome.DONE for n in node.needs)
            if lost and node.name not in settled:
                settled[node.name] = Outcome.UNDONE
        free = [n.name for n in case.nodes if n.name not in settled and n.before <= settled.keys()]
        assert name == free[0]
        settled[name] = expected[name]


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([Node("a", ("b",))], "a waits for b, which is no step"),
        ([Node("a", ("b",)), Node("b", (), ("a",))], "wait for each other"),
    ],
)
def test_a_graph_that_cannot_be_worked_off_is_refused(nodes: list[Node], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Agenda(nodes)
