"""What would make steps of a study fail, found before any of them begins."""

from brainssl.data.extra import read_extra
from brainssl.data.layout import read_layout
from brainssl.data.store import is_store
from brainssl.foundation.plain_names import read_frame
from brainssl.methods import METHODS
from brainssl.models.encoder import Encoder
from brainssl.studies.plan import Plan
from brainssl.training.positives import refuse_unpaired
from brainssl.training.pretrain import refuse_views


def refuse_unfit_views(plan: Plan, encoder: Encoder) -> None:
    """Refuse views of a method that the encoder does not take, or would learn wrongly from.

    Args:
        plan: of the study.
        encoder: of its architecture, from whichever start.

    Raises:
        BrainsslError: as `brainssl.training.pretrain.refuse_views` says.
    """
    for method in plan.methods:
        if method in METHODS:
            refuse_views(encoder, method, plan.settings.of(method))


def refuse_unknown_patients(plan: Plan) -> None:
    """Refuse pairs of slices of one patient where a source knows no patient.

    Raises:
        BrainsslError: pretraining would fail for it; or the source is of no use.
    """
    asked = {plan.settings.of(one).pretrain.positives for one in plan.methods if one in METHODS}
    if "patient" not in asked:
        return
    if is_store(plan.source):
        known = read_frame(plan.source / "manifest.parquet", columns=["patient"])["patient"]
        patients = [one for one in known if isinstance(one, str)]
    else:
        own = read_layout(plan.source, plan.labels, plan.classes_at)
        every = [own, *(folder.layout for folder in read_extra(plan.unlabelled, plan.source))]
        patients = [one for layout in every for one in layout.patients.values() if one]
    refuse_unpaired("patient", bool(patients), str(plan.source))
