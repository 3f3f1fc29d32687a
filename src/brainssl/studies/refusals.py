"""What would make steps of a study fail, found before any of them begins."""

from pathlib import Path

from brainssl.data.archives.archive import Archive
from brainssl.data.extra import read_extra
from brainssl.data.layout import Layout
from brainssl.data.sources import open_source
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
        own = _opened(plan.source, plan)
        extra = [_opened(folder.path) for folder in read_extra(plan.unlabelled, plan.source)]
        patients = [one for found in (own, *extra) for one in _patients(found)]
    refuse_unpaired("patient", bool(patients), str(plan.source))


def _opened(source: Path, plan: Plan | None = None) -> Layout | Archive:
    """Look at a folder, with a plan as its study will read it."""
    if plan is None:
        return open_source(source, keep=False)
    return open_source(
        source,
        labels=plan.labels,
        classes_at=plan.classes_at,
        reading=plan.reading,
        keep=False,
    )


def _patients(found: Layout | Archive) -> list[str]:
    told = (
        found.patients.values() if isinstance(found, Layout) else (s.patient for s in found.series)
    )
    return [one for one in told if one]
