"""Where a study's encoders put its test images: before training, after each stage of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32

from brainssl.data.dataset import Data
from brainssl.data.indices import Indices
from brainssl.data.split import Protocol
from brainssl.evaluation.projection import PROJECTIONS, Projections, project, trust
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.progress import Report
from brainssl.foundation.storage import digest_of_folder
from brainssl.hardware.device import device_of
from brainssl.models.classifier import Classifier, run_in_batches
from brainssl.models.encoder import Encoder, load_encoder
from brainssl.settings.starts import NamedStart
from brainssl.studies.grid import SUPERVISED, UNTRAINED, Step, final, stages_of
from brainssl.studies.plan import Plan
from brainssl.studies.tuning import chosen_pretraining
from brainssl.training.untrained import untrained_encoder

VERSION = 3
_MOMENTS = {"finetune": "finetuned", "supervised": "supervised"}
MOST_IMAGES = 1000  # more points hide each other, and cost the page as much again


@dataclass(frozen=True)
class _View:
    """An encoder at a moment; `step` is the folder that holds it, None for one before training."""

    method: str
    moment: str
    start: NamedStart | None
    step: Path | None = None


def make_projections(
    plan: Plan, out: Path, data: Data, *, progress: Report | None = None
) -> pd.DataFrame | None:
    """Map the features of test images by t-SNE for each encoder of a study's first seed and fold.

    That is of each start the encoder as it is (`moment` is `before`), and of each method the
    pretrained one and the one that was fine-tuned on the most labels (`pretrained`, `finetuned`),
    and semi-supervised methods and the supervised baseline (`supervised`). At most 1,000 images,
    from all groups in turn. The maps are kept in `out/projections.parquet` and made again only when
    a step of theirs changed.

    Args:
        plan: of the study.
        out: its folder; steps that are not there are left out.
        data: of the protocol to show.
        progress: called with (maps made, maps in all).

    Returns:
        The frame of `brainssl.evaluation.projection.Projections`; None if no map could be made,
        and then there is no file.
    """
    views = _views(plan, out, data.split.protocol)
    made_from = {
        "version": VERSION,
        "store": data.store.checksum,
        "split": data.split.digest,
        "encoder": plan.settings.encoder.model_dump(mode="json"),
        "steps": {view.step.name: digest_of_folder(view.step) for view in views if view.step},
        "protocol": data.split.protocol,
        "seed": plan.seed,
        "label_fraction": max(plan.label_fractions),
    }
    if plan.beginnings != (None,):
        made_from["starts"] = list(plan.starts)
    path = out / PROJECTIONS
    if (known := _known(path, made_from)) is not None:
        return known
    rows = data.sample("test", MOST_IMAGES, plan.seed)
    frames, left_out = [], []
    for done, view in enumerate(views, start=1):
        try:
            frames.append(_mapped(plan, data, rows, view))
        except BrainsslError as error:
            named = {"method": view.method, "moment": view.moment, "start": _start(plan, view)}
            left_out.append(named | {"reason": str(error)})
        if progress:
            progress(done, len(views))
    if not frames:
        path.unlink(missing_ok=True)
        return None
    frame = pd.concat(frames, ignore_index=True)
    facts = {"made_from": made_from, "left_out": left_out, "images": len(data.split.test)}
    Projections(frame, facts).save(path)
    return frame


def _views(plan: Plan, out: Path, protocol: Protocol) -> list[_View]:
    """Return the encoders that there are; a pretrained one is that which was then fine-tuned."""
    seed, fraction, fold = plan.seed, max(plan.label_fractions), plan.divisions[0]
    found = []
    for start in plan.beginnings:
        steps = []
        for method in (SUPERVISED, *plan.methods):
            *_, last = stages_of(method)
            trained = Step(last, method, protocol, seed, fraction, fold, start=start)
            if trained.pretraining:
                steps.append(("pretrained", chosen_pretraining(plan, trained, out / "steps")))
            steps.append((_MOMENTS[last], final(plan, trained)))
        views = [_View(step.method, m, start, out / "steps" / step.name) for m, step in steps]
        found.append(_View(UNTRAINED, "before", start))
        found += [view for view in views if view.step and view.step.is_dir()]
    return found


def _start(plan: Plan, view: _View) -> str:
    """Return the short name of an encoder's start where models are named with it."""
    return (view.start or plan.own_start).name if plan.tells_starts else ""


def _known(path: Path, made_from: dict[str, Any]) -> pd.DataFrame | None:
    """Return the maps that are there already if they are of the same steps and images."""
    try:
        known = Projections.load(path)
    except BrainsslError:
        return None
    return known.frame if known.facts.get("made_from") == made_from else None


def _mapped(plan: Plan, data: Data, rows: Indices, view: _View) -> pd.DataFrame:
    features = _features(plan, data, rows, view)
    points = project(features, plan.seed)
    own = data.store.manifest.iloc[rows]
    return pd.DataFrame(
        {
            "image_id": own["image_id"].astype("str").to_numpy(),
            "row": rows,
            "label": own["label"].astype("str").to_numpy(),
            "method": view.method,
            "moment": view.moment,
            "start": _start(plan, view),
            "x": points[:, 0],
            "y": points[:, 1],
            "trust": trust(features, points),
        }
    )


def _features(plan: Plan, data: Data, rows: Indices, view: _View) -> Float32[np.ndarray, "n dim"]:
    """Run one encoder, which is let go of before the next is loaded."""
    encoder = _encoder(plan, data, view).eval().to(device_of(plan.settings.run))
    return run_in_batches(encoder, data.store.images, rows)


def _encoder(plan: Plan, data: Data, view: _View) -> Encoder:
    if view.step is None:
        own = (view.start or plan.own_start).weights
        return untrained_encoder(data, plan.settings.with_weights(own), plan.seed)
    if view.moment == "pretrained":
        return load_encoder(view.step)
    return Classifier.load(view.step).encoder
