"""Series and patients as units: people decide for them, not for slices."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from brainssl.data.families import Families
from brainssl.evaluation.patients import Units, fuse_folds, in_words
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.rows import result_rows
from brainssl.evaluation.units import asked_of, families_asked, known_units
from brainssl.foundation.plain_names import read_frame
from brainssl.settings.sections import EvaluationSettings
from brainssl.studies.arms import HONEST, Arm
from brainssl.studies.pooling import POOLED

Parts = Sequence[tuple[Predictions, Predictions]]


def unit_rows(
    folder: Path,
    arms: Sequence[Arm],
    settings: EvaluationSettings,
    told: Families | None = None,
) -> list[dict[str, Any]]:
    """Measure models by series, and by patients unless all classes are of one family.

    Args:
        folder: of the study, whose store knows the patients; none known, no rows.
        arms: whose slices are put together. The rule is chosen on validation, in each fold.
        settings: of the bootstrap.
        told: families and sequences, see `brainssl.data.families.pairs_of`.

    Returns:
        Rows of results on test, with `unit` (`series` or `patient`), what is `asked` of it
        (`class`, or of patients the `family` where that is another), `rule`, and what was left out:
        `conflicting` units, units that were `tested_twice` (in two folds), and labelled images of
        `unknown` patients.
    """
    manifest = _labelled(folder)
    if not arms or manifest is None or manifest["patient"].notna().sum() == 0:
        return []
    classes = arms[0].models[0].classes
    units = known_units(manifest, classes, told)
    families = families_asked(classes, told)
    asked = {"series": "class", "patient": "class" if families == list(classes) else "family"}
    rows = []
    for arm in arms:
        if arm.folds and arm.protocol != HONEST:
            continue  # slices of a patient are tested in several folds
        for seed, step in zip(arm.seeds, arm.steps, strict=True):
            facts = arm.facts | {
                "protocol": arm.protocol,
                "label_fraction": arm.label_fraction,
                "seed": seed,
                "fold": POOLED if arm.folds else None,
                "step": step,
            }
            for kind in ("series", "patient"):
                parts = [
                    (asked_of(val, kind, told), asked_of(test, kind, told))
                    for val, test in arm.parts(seed)
                ]
                own = [(val, test) for val, test in parts if val is not None and test is not None]
                if own:
                    more = facts | {"unit": kind, "asked": asked[kind]}
                    rows += _measured(own, units[kind], more, settings)
    return rows


def _labelled(folder: Path) -> pd.DataFrame | None:
    """Return label and patient of each labelled image of the study's store."""
    try:
        manifest = read_frame(folder / "store" / "manifest.parquet")
        own = manifest.dropna(subset="label")[["image_id", "label", "patient"]]
    except (OSError, ValueError, KeyError):  # predictions alone are enough for everything else
        return None
    return own


def _measured(
    parts: Parts, units: Units, facts: dict[str, Any], settings: EvaluationSettings
) -> list[dict[str, Any]]:
    # A patient of two sites is tested twice where sites are left out in turn.
    tested = Counter(
        unit
        for _, test in parts
        for unit in {units.of[image] for image in test.frame["image_id"] if image in units.of}
    )
    twice = {unit for unit, times in tested.items() if times > 1}
    kept = {image: unit for image, unit in units.of.items() if unit not in twice}
    if not all(set(val.frame["image_id"]) & kept.keys() for val, _ in parts):
        return []
    fused, rules = fuse_folds(parts, kept)
    test = fused.of("test")
    if not len(test):
        return []
    told: dict[str, Any] = {"rule": in_words(rules)}
    told |= {"conflicting": len(units.conflicting), "unknown": units.unknown}
    told["tested_twice"] = len(twice)
    return result_rows(test, facts | told, settings)
