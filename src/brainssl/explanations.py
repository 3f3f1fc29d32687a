"""Where a study's classifiers look: each is explained on the same test slices, into a folder."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from brainssl.classifier import Classifier, device_of
from brainssl.data.dataset import Data
from brainssl.data.layout import masks_beside
from brainssl.data.store import is_store
from brainssl.errors import BrainsslError
from brainssl.explaining import Request, choose_slices, explain_classifier
from brainssl.explanation.measure import Cases
from brainssl.explanation.models import EXPLANATIONS, FOLDER, INDEX
from brainssl.grid import SUPERVISED, Step
from brainssl.plan import Plan
from brainssl.progress import Report
from brainssl.storage import damage, digest_of_folder, read_json, remove, write_json

VERSION = 1


def request_of(plan: Plan) -> Request:
    """Return what a study explains: so many slices, with the lesions that are known."""
    beside = None if is_store(plan.source) else masks_beside(plan.source)
    return Request(
        images=plan.explained,
        lesions=plan.lesions or beside,
        draws=plan.settings.evaluation.draws,
        seed=plan.seed,
    )


def check_lesions(plan: Plan, data: Data) -> None:
    """Read the lesions before hours of training, lest a slip in them be told after.

    Raises:
        BrainsslError: they cannot be read, or name none of the slices.
    """
    if plan.explained:
        choose_slices(data, request_of(plan))


def explain_models(
    plan: Plan, out: Path, data: Data, *, progress: Report | None = None
) -> dict[str, Any]:
    """Explain the classifiers of a study's first seed that were trained on the most labels.

    Those are the linear probe and the fine-tuned model of each method, and the supervised baseline.
    Each has a folder of its step's name in `out/explanations`, see
    `brainssl.explaining.explain_classifier`; one that is there is made again only when its
    classifier, the slices or the lesions changed. `index.json` says what is there.

    Args:
        plan: of the study, with slices to be explained.
        out: its folder; steps that are not there are left out.
        data: of the protocol to show.
        progress: called with (slices done, slices of all models).

    Returns:
        What is in the index: `protocol`, `label_fraction`, `seed`, `steps` that were explained, and
        `left_out`, each with `step` and `reason`.
    """
    index: dict[str, Any] = {
        "protocol": data.split.protocol,
        "label_fraction": max(plan.label_fractions),
        "seed": plan.seed,
        "steps": [],
        "left_out": [],
    }
    steps = [step for step in _steps(plan, data) if (out / "steps" / step.name).is_dir()]
    if steps:
        request = request_of(plan)
        _, cases = choose_slices(data, request)
        for place, step in enumerate(steps):
            made_from = _made_from(out / "steps" / step.name, data, cases)

            def told(done: int, of: int, before: int = place) -> None:
                if progress:
                    progress(before * of + done, len(steps) * of)

            try:
                _explain(plan, out, data, step, request, made_from, told)
                index["steps"].append(step.name)
            except BrainsslError as error:
                index["left_out"].append({"step": step.name, "reason": str(error)})
            told(len(cases), len(cases))
    write_json(out / FOLDER / INDEX, index)
    return index


def _steps(plan: Plan, data: Data) -> Iterator[Step]:
    where = data.split.protocol, plan.seed, max(plan.label_fractions)
    for method in plan.methods:
        yield Step("linear", method, *where)
        yield Step("finetune", method, *where)
    yield Step("supervised", SUPERVISED, *where)


def _explain(
    plan: Plan,
    out: Path,
    data: Data,
    step: Step,
    request: Request,
    made_from: dict[str, Any],
    progress: Report,
) -> None:
    folder = out / FOLDER / step.name
    if _is_known(folder, made_from):
        return
    remove(folder)
    classifier = Classifier.load(out / "steps" / step.name)
    explain_classifier(
        data,
        classifier.to(device_of(plan.settings.run)),
        folder,
        request,
        made_from=made_from,
        progress=progress,
    )


def _is_known(folder: Path, made_from: dict[str, Any]) -> bool:
    """Tell whether a folder holds the explanations of this classifier and these slices, whole."""
    try:
        known = read_json(folder / EXPLANATIONS, "explanations")
    except BrainsslError:
        return False
    return known.get("made_from") == made_from and damage(folder) is None


def _made_from(step: Path, data: Data, cases: Cases) -> dict[str, Any]:
    slices = hashlib.sha256("\n".join(cases.image_ids).encode())
    for lesion in cases.lesions:
        slices.update(b"-" if lesion is None else np.packbits(lesion).tobytes())
    return {
        "version": VERSION,
        "step": digest_of_folder(step),
        "store": data.store.checksum,
        "split": data.split.digest,
        "slices": slices.hexdigest(),
    }
