"""Whether networks beat classical baselines, in words: one that does not has to say so."""

from collections.abc import Sequence
from dataclasses import dataclass

from brainssl.reporting.findings.differences import Verdict, compare, of_interval, paired
from brainssl.reporting.findings.outcomes import CHOOSING
from brainssl.reporting.rows import Arm, Interval
from brainssl.reporting.study import Study
from brainssl.reporting.titles import CLASSICAL, CONTROLS, ENSEMBLE
from brainssl.reporting.wording import HEADLINE, labels_title, percent, signed

CHOSEN = "Best is who has the highest macro F1 on validation."


@dataclass(frozen=True)
class Challenge:
    """The best network against the best classical baseline, both chosen on validation.

    Attributes:
        network: the arm with the best macro F1 on validation, of trained encoders.
        classical: the same, of classical baselines.
        verdict: on the network's accuracy on test minus that of the baseline.
        difference: of the two on the same test images, with its interval; None where there is none.
    """

    network: Arm
    classical: Arm
    verdict: Verdict
    difference: tuple[float, Interval] | None

    @property
    def text(self) -> str:
        """What came out, in words."""
        network = f"the best network ({_scored(self.network, self.network.title)})"
        told = f"{self.classical.title} on hand-made features"
        classical = f"the best classical baseline ({_scored(self.classical, told)})"
        said = {
            "above": f"{network} beats {classical}",
            "below": f"{classical} beats {network}",
            "undecided": f"{network} is not shown to beat {classical}",
        }[self.verdict]
        if self.difference:
            gap, (low, high) = self.difference
            said += (
                f"; the network minus the baseline on the same images: {signed(gap)} points, "
                f"95\u00a0% interval {percent(low)} to {percent(high)}"
            )
        return f"With {labels_title(self.network.label_fraction, of='the labels')} {said}."


def challenges(study: Study) -> list[Challenge]:
    """Return what the best network of each label fraction has against the best baseline.

    Of the first protocol alone; label fractions without either are left out.
    """
    found = []
    for protocol in study.protocols[:1]:
        tested = [arm for arm in study.arms(protocol) if arm.mean(HEADLINE.name) is not None]
        for fraction in sorted({arm.label_fraction for arm in tested}):
            own = [arm for arm in tested if arm.label_fraction == fraction]
            classical = strongest(study, [arm for arm in own if arm.method in CLASSICAL])
            network = strongest(study, [arm for arm in own if _is_network(arm)])
            if classical and network:
                difference = paired(study, network, classical)
                verdict = of_interval(difference[1]) if difference else compare(network, classical)
                found.append(Challenge(network, classical, verdict, difference))
    return found


def strongest(study: Study, arms: Sequence[Arm]) -> Arm | None:
    """Return the arm with the best macro F1 on validation; None where none was validated."""
    if not arms:
        return None
    validated = study.validated(arms[0].protocol, CHOOSING.name)
    scored = [(validated[key], arm) for arm in arms if (key := arm.key) in validated]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def _is_network(arm: Arm) -> bool:
    return arm.method not in CLASSICAL and arm.method not in CONTROLS and arm.stage != ENSEMBLE


def _scored(arm: Arm, title: str) -> str:
    return f"{title}: {percent(arm.mean(HEADLINE.name))}\u00a0%"
