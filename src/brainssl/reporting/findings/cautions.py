"""What a reader should be careful about, found in the study itself."""

from brainssl.reporting.findings.caution import Caution
from brainssl.reporting.findings.cautions_of_data import (
    from_audit,
    from_draws,
    from_groups,
    from_patients,
    from_protocols,
    from_size,
    from_validation,
)
from brainssl.reporting.findings.cautions_of_training import (
    from_classical,
    from_losses,
    from_patience,
    from_preset,
    from_pretraining,
    from_run,
    from_searches,
)
from brainssl.reporting.study import Study


def cautions(study: Study) -> list[Caution]:
    """Return what to be careful about, the serious first, each said once."""
    everything = [
        *from_protocols(study),
        *from_patients(study),
        *from_groups(study),
        *from_validation(study),
        *from_pretraining(study),
        *from_losses(study),
        *from_searches(study),
        *from_preset(study),
        *from_run(study),
        *from_classical(study),
        *from_patience(study),
        *from_audit(study),
        *from_draws(study),
        *from_size(study),
    ]
    unique = list(dict.fromkeys(everything))
    return sorted(unique, key=lambda caution: caution.severity != "serious")
