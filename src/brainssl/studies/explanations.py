"""Where a study's classifiers look: each is explained on the same test slices, into a folder."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from brainssl.data.dataset import Data
from brainssl.data.listing import masks_beside
from brainssl.data.store import is_store
from brainssl.explanation.folder import Request, choose_slices, explain_classifier
from brainssl.explanation.measure import BRIEF, Cases
from brainssl.explanation.side_by_side import EXPLANATIONS, FOLDER, INDEX
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.locks import locked
from brainssl.foundation.progress import Report
from brainssl.foundation.storage import damage, digest_of_folder, read_json, remove, write_json
from brainssl.hardware.device import device_of
from brainssl.models.classifier import Classifier
from brainssl.studies.grid import SUPERVISED, Step, final, stages_of, start_of
from brainssl.studies.plan import Plan

VERSION = 2
MOST_ALIKE = 500
"""Training slices among which a study looks for similar ones: all of them cost as much as all
measures of the maps."""

_LOCK = ".explanations.lock"


def request_of(plan: Plan, data: Data, say: Callable[[str], object]) -> Request | None:
    """Return what a study explains: so many slices, with the lesions that are known.

    Lesions are read here, before hours of training, lest a slip in them be told after. None if no
    slice is to be explained.

    Args:
        plan: of the study.
        data: of the protocol to show.
        say: told why masks that lie beside the images, and were not asked for, are not used.

    Raises:
        BrainsslError: lesions that were asked for cannot be read, or name none of the slices.
    """
    if not plan.explained:
        return None
    request = Request(
        images=plan.explained,
        lesions=plan.lesions,
        how=BRIEF,
        among=MOST_ALIKE,
        draws=plan.settings.evaluation.draws,
        seed=plan.seed,
    )
    if plan.lesions:
        choose_slices(data, request)
        return request
    beside = None if is_store(plan.source) else masks_beside(plan.source)
    found = replace(request, lesions=beside)
    try:
        choose_slices(data, found)
    except BrainsslError as error:
        say(f"warning: the masks beside the images are not used: {error}")
        return request
    return found


def explain_models(
    plan: Plan,
    out: Path,
    data: Data,
    request: Request,
    *,
    waiting: Callable[[], object] = lambda: None,
    progress: Report | None = None,
) -> dict[str, Any]:
    """Explain the classifiers of a study's first seed that were trained on the most labels.

    Those are the linear probe and the fine-tuned model of each method, the only one of
    semi-supervised methods, and the supervised baseline, of each start; of folds, of the first.
    Each has a folder of its step's name in `out/explanations`, see
    `brainssl.explanation.folder.explain_classifier`; one that is there is made again only when its
    classifier, the slices or the lesions changed. `index.json` says what is there. One that cannot
    be explained costs the others nothing.

    Args:
        plan: of the study.
        out: its folder; steps that are not there are left out.
        data: of the protocol to show.
        request: see `request_of`.
        waiting: called if another process is at it, before waiting for that.
        progress: called with (slices done, slices of all models).

    Returns:
        What is in the index: `protocol`, `label_fraction`, `seed`, `slices` (a digest), and `steps`
        that were explained, and `left_out`: of each its `step`, `method`, `stage` and,
        where there are several, `start`, and of the latter the `reason`.
    """
    _, cases = choose_slices(data, request)
    slices = _digest_of(cases)
    steps = [step for step in _steps(plan, data) if (out / "steps" / step.name).is_dir()]
    explained, left_out = [], []
    with locked(out / _LOCK, waiting=waiting):
        for place, step in enumerate(steps):
            made_from = {
                "version": VERSION,
                "step": digest_of_folder(out / "steps" / step.name),
                "store": data.store.checksum,
                "split": data.split.digest,
                "slices": slices,
            }

            def told(done: int, of: int, before: int = place) -> None:
                if progress:
                    progress(before * of + done, len(steps) * of)

            named = {"step": step.name, "method": step.method, "stage": step.stage}
            if plan.tells_starts:
                named["start"] = str(start_of(plan, step))
            try:
                _explain(plan, out, data, step, request, made_from, told)
                explained.append(named)
            except Exception as error:  # noqa: BLE001 - the results must not be lost for a picture
                known = isinstance(error, BrainsslError)
                reason = str(error) if known else f"{type(error).__name__}: {error}"
                left_out.append(named | {"reason": reason.splitlines()[0]})
            told(len(cases), len(cases))
        index = {
            "protocol": data.split.protocol,
            "label_fraction": max(plan.label_fractions),
            "seed": plan.seed,
            "slices": slices,
            "steps": explained,
            "left_out": left_out,
        }
        write_json(out / FOLDER / INDEX, index)
    return index


def _steps(plan: Plan, data: Data) -> Iterator[Step]:
    where = data.split.protocol, plan.seed, max(plan.label_fractions), plan.divisions[0]
    for start in plan.beginnings:
        for method in (*plan.methods, SUPERVISED):
            for stage in stages_of(method):
                yield final(plan, Step(stage, method, *where, start=start))


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
    from brainssl.reporting.documents.gallery import render_gallery

    remove(folder)
    classifier = Classifier.load(out / "steps" / step.name)
    explain_classifier(
        data,
        classifier.to(device_of(plan.settings.run)),
        folder,
        request,
        page=render_gallery,
        made_from=made_from,
        progress=progress,
    )


def _is_known(folder: Path, made_from: dict[str, Any]) -> bool:
    """Tell whether a folder holds the explanations of this classifier and these slices, whole."""
    try:
        known = read_json(folder / EXPLANATIONS, "explanations")
    except BrainsslError:
        return False
    whole = damage(folder) is None and (folder / "overlays").is_dir()
    return whole and known.get("made_from") == made_from


def _digest_of(cases: Cases) -> str:
    """Digest which slices there are, and where their lesions."""
    digest = hashlib.sha256("\n".join(cases.image_ids).encode())
    for lesion in cases.lesions:
        digest.update(b"-" if lesion is None else np.packbits(lesion).tobytes())
    return digest.hexdigest()
