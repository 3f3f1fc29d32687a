"""The steps in this process, one after the other."""

from brainssl.studies.scheduling.graph import Agenda
from brainssl.studies.scheduling.scheduler import Work


class Here:
    """Does the steps in their order."""

    def check(self) -> None:
        """Find nothing amiss."""

    def run(self, agenda: Agenda, work: Work) -> None:
        """Settle every step of the agenda."""
        while ready := agenda.ready:
            agenda.take(ready[0])
            agenda.settle(ready[0], work.do(ready[0]))
