"""The best of several trainings of one model with other settings, chosen on validation."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainssl.data.dataset import Data
from brainssl.evaluation.calibration import best_nll
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import read_json, whole_folder, write_json
from brainssl.hardware.device import device_of
from brainssl.models.classifier import Classifier
from brainssl.settings import Settings
from brainssl.training.stages import measure, predict_parts

TUNING = "tuning.json"
CHOSEN_BY = "validation NLL at its best temperature"


@dataclass(frozen=True)
class Tried:
    """One trial.

    Attributes:
        trial: its number, from 1.
        folder: of the probe or fine-tuning; whatever it holds of one that failed is of no use.
        changed: settings that were not as they are, by key.
        error: why it failed; None if it did not.
    """

    trial: int
    folder: Path
    changed: dict[str, Any]
    error: str | None = None

    def facts(self) -> dict[str, Any]:
        """Say for JSON what was tried, and how it did on validation: `val_nll`, `temperature`.

        Raises:
            BrainsslError: its predictions cannot be read, or hold none of validation.
        """
        told = {"trial": self.trial, "changed": self.changed}
        if self.error is not None:
            return told | {"val_nll": None, "error": self.error}
        nll, temperature = best_nll(Predictions.load(self.folder / "predictions.parquet").of("val"))
        return told | {"val_nll": nll, "temperature": temperature}


def chosen(tried: Sequence[dict[str, Any]]) -> int | None:
    """Return the number of the trial with the least validation NLL, the earliest of equals.

    A proper score, and at its best temperature: a model that is only too sure is not punished for
    what a temperature mends. None if all failed.
    """
    scores = [(one["val_nll"], one["trial"]) for one in tried if one["val_nll"] is not None]
    return min(scores)[1] if scores else None


def tuned_stage(
    data: Data, tried: Sequence[Tried], out: Path, *, settings: Settings
) -> list[dict[str, Any]]:
    """Choose among trials on validation and measure what was chosen, on the test set, too.

    Of the settings that were changed only those chosen are measured on it; the first trial, the
    settings as given, was before.

    The folder holds what that of a probe or a fine-tuning does, with `trial` and `trials` in the
    facts and rows, and `tuning.json`: what was tried, how it did and what was chosen.

    Args:
        data: store and split of all trials.
        tried: the trials, in their order.
        out: folder to make.
        settings: of the evaluation and the machine.

    Raises:
        BrainsslError: all of them failed, or one cannot be read.
    """
    started = time.perf_counter()
    facts = [one.facts() for one in tried]
    best = chosen(facts)
    if best is None:
        raise BrainsslError(f"all {len(tried)} trials failed; the first: {tried[0].error}")
    source = next(one.folder for one in tried if one.trial == best)
    spent = [_seconds(one.folder) for one in tried if one.error is None]
    with whole_folder(out) as folder:
        classifier = Classifier.load(source)
        data.refuse_seen(classifier.facts)
        classifier.facts |= {"trial": best, "trials": len(tried)}
        classifier.save(folder / "classifier.safetensors")
        data.split.save(folder / "split.json")
        for name in ("settings.json", "history.csv"):
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / name)
        images = len(data.split.val)
        record = {"trials": len(tried), "chosen": best, "chosen_by": CHOSEN_BY}
        write_json(folder / TUNING, record | {"val_images": images, "tried": facts})
        rows = data.rows(classifier.facts["label_fraction"], classifier.facts["seed"])
        predictions = predict_parts(classifier.to(device_of(settings.run)), data, rows)
        # A search takes as long as all that it tried.
        return measure(classifier, predictions, data, folder, settings, started - sum(spent))


def _seconds(folder: Path) -> float:
    rows = read_json(folder / "rows.json", "the results of a step")
    return float(rows[0]["seconds"]) if rows else 0.0
