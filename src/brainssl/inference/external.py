"""A classifier on another collection: how much of its score it keeps."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brainssl.data.archives.reading import BY_DEFAULT, Reading
from brainssl.data.families import Families, factors
from brainssl.data.indices import Indices
from brainssl.data.marks import known
from brainssl.data.prepare import prepare
from brainssl.data.scan import scan
from brainssl.data.store import ImageStore, is_store
from brainssl.evaluation.factors import by_factor
from brainssl.evaluation.optimism import optimism
from brainssl.evaluation.patients import fuse
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.rows import for_json, result_rows
from brainssl.evaluation.subgroups import by_subgroup
from brainssl.evaluation.units import KINDS, asked_of, known_units, rule_of
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import whole_folder, write_json, write_text
from brainssl.hardware.device import device_of
from brainssl.inference.volumes import plane_notes
from brainssl.models.classifier import Classifier
from brainssl.settings.sections import EvaluationSettings, RunSettings

Progress = Callable[[int, int], None]

PROTOCOL = "external"
PAGE = "external.html"

_OWN = 0.5  # share of images known from the training above which a collection is no other


@dataclass(frozen=True)
class Target:
    """What another collection's labels are about.

    Attributes:
        name: `class`, or a factor of the classes such as `family`.
        values: of the classifier's classes, in their order.
    """

    name: str
    values: tuple[str, ...]


def evaluate_external(
    path: Path,
    source: Path,
    out: Path,
    *,
    labels: Path | None = None,
    classes_at: int | None = None,
    reading: Reading = BY_DEFAULT,
    as_learnt: bool = False,
    settings: EvaluationSettings | None = None,
    page: Callable[[dict[str, Any]], str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure a classifier on another collection, and set it against its own test set.

    The labels there are the classifier's classes, or families (or sequences) of them; then the
    probabilities of all classes of a family are summed. The drop is the accuracy on the
    classifier's own test images of the same classes or families, minus the accuracy here, with the
    interval of two independent samples of groups. Images without label are left out, and so are
    images that shaped the classifier, with their groups.

    Args:
        path: of the classifier, or the folder that holds it with its `predictions.parquet`.
        source: folder of images, archive of volumes, or a store of the classifier's image size.
        out: folder to make: `predictions.parquet`, `external.json`, and for images their `store/`.
        labels: CSV `folder,label` or `path,label[,patient]`, of an archive `patient,label`,
            `study,label` or `series,label`, that names classes or families.
        classes_at: level of the classes among the folders, from 1; by default it is found.
        reading: how the volumes of an archive are read and labelled.
        as_learnt: whether volumes are cut in the plane of the classifier's training, whatever
            `reading` says.
        settings: of the bootstrap.
        page: makes the text of `external.html` of what is returned; without it there is none.
        progress: called with (images prepared, images in all).

    Returns:
        What `external.json` holds: `classifier` (facts of its training), `source`, `labels` (what
        they are about), `images`, `groups`, `unlabelled`, `left_out` and `notes` (sentences),
        `learnt` (`images` that shaped the classifier, and how many were `left_out` with their
        groups; None where the classifier has no marks of its training images), `row` (as in
        results.json),
        `units` (the same for patients and series that are known there, by the classifier's rules,
        each with its `rule`, whether it was `chosen` on validation, what is `asked`, how many units
        are `conflicting` and images of `unknown` patients), `subgroups` (see
        `brainssl.evaluation.subgroups.by_subgroup`; numbers are cut where the classifier's training
        images were, or not at all), and `drop`: `own`, `here`,
        `difference`, `interval`, `images` and `row` (as in results.json) of the own test set, or
        None where the classifier's predictions do not lie beside it.

    Raises:
        BrainsslError: labels that are neither classes nor families, no labelled image, images that
            are mostly those of the training, images of another size or read by another version,
            or `out` exists.
    """
    classifier = Classifier.load(path).to(device_of(RunSettings()))
    chosen = settings or EvaluationSettings()
    with whole_folder(out) as folder:
        store, losses = _open(
            source, labels, classes_at, reading, as_learnt, folder, classifier, progress
        )
        manifest = store.manifest
        of_volumes = "series" in manifest and manifest["series"].notna().any()
        notes = plane_notes(store.plane, classifier.plane) if of_volumes else []
        rows = np.flatnonzero(manifest["label"].notna()).astype(np.int64)
        if len(rows) == 0:
            raise BrainsslError(f"{source} has no labelled image: give --labels")
        rows, learnt = _others(store, rows, classifier, source)
        own = manifest.iloc[rows]
        families = classifier.facts.get("families")
        target = _target(sorted(own["label"].unique()), classifier.classes, families, source)
        said = Predictions.build(
            own["image_id"].tolist(),
            own["group"].to_numpy(np.int64),
            ["test"] * len(rows),
            np.zeros(len(rows), np.int64),
            classifier.logits(store.images, rows),
            classifier.classes,
        )
        here = _relabelled(said, target, own["label"].tolist())
        here.save(folder / "predictions.parquet")
        facts = {name: classifier.facts.get(name) for name in ("method", "stage", "seed")}
        facts["protocol"] = PROTOCOL
        (row,) = result_rows(here, facts, chosen)
        told = {
            "classifier": classifier.facts,
            "source": source.name,
            "labels": target.name,
            "images": len(rows),
            "groups": int(own["group"].nunique()),
            "unlabelled": int(manifest["label"].isna().sum()),
            "left_out": losses,
            "notes": notes,
            "learnt": learnt,
            "row": row,
            "units": _unit_rows(here, own, target, classifier, facts, chosen),
            "subgroups": by_subgroup(
                here, own, classifier.facts.get("cuts") or {}, draws=chosen.draws
            ),
            "drop": _drop(path, here, target, chosen),
        }
        write_json(folder / "external.json", told)
        if page:
            write_text(folder / PAGE, page(told))
    return told


def _open(
    source: Path,
    labels: Path | None,
    classes_at: int | None,
    reading: Reading,
    as_learnt: bool,
    folder: Path,
    classifier: Classifier,
    progress: Progress | None,
) -> tuple[ImageStore, list[str]]:
    """Return a store, and what was left out of it."""
    if is_store(source):
        given = {"labels": labels, "classes-at": classes_at} | reading.written()
        if option := next((f"--{name}" for name, value in given.items() if value), None):
            raise BrainsslError(f"{source} is a prepared store and has its labels: omit {option}")
        store = ImageStore.open(source)
        store.require_size(classifier.image_size)
        store.require_reader(classifier.reader)
        store.require_bits(classifier.bits)
        store.require_field_of_view(classifier.field_of_view)
        return store, []
    if as_learnt:
        reading = replace(reading, plane=classifier.plane)
    reading = replace(reading, field_of_view=classifier.field_of_view)
    found = scan(
        source, labels=labels, classes_at=classes_at, reader=classifier.reader, reading=reading
    )
    found.refuse_questions()
    size, bits = classifier.image_size, classifier.bits
    store = prepare(found, folder / "store", size=size, bits=bits, progress=progress)
    return store, found.losses


def _others(
    store: ImageStore, rows: Indices, classifier: Classifier, source: Path
) -> tuple[Indices, dict[str, int] | None]:
    """Leave out the images that shaped the classifier, with their groups, and count them."""
    if classifier.learnt is None:
        return rows, None
    seen = known(store.marks[rows], classifier.learnt)
    if seen.mean() > _OWN:
        raise BrainsslError(
            f"{source}: {seen.sum():,} of {len(rows):,} labelled images are among those that the "
            "classifier was trained on, so it is no other collection: give one from elsewhere, or "
            "measure the classifier on its own test set with brainssl evaluate"
        )
    groups = store.manifest["group"].to_numpy()[rows]
    out = np.isin(groups, groups[seen])
    if out.all():
        raise BrainsslError(
            f"{source}: every group of images holds some that the classifier was trained on: give "
            "a collection of other patients"
        )
    return rows[~out], {"images": int(seen.sum()), "left_out": int(out.sum())}


def _target(
    names: Sequence[str], classes: tuple[str, ...], families: Families | None, source: Path
) -> Target:
    """Find what the labels name: all of them classes, or all of them values of one factor."""
    targets = [Target("class", classes)]
    found = factors(classes, families)
    targets += [Target(name, tuple(values)) for name, values in found.items()]
    for target in targets:
        if set(names) <= set(target.values):
            return target
    known = sorted({value for target in targets for value in target.values})  # noqa: PD011 - a Target
    strange = next(name for name in names if name not in classes)
    near = difflib.get_close_matches(strange, known, n=1, cutoff=0.4)
    hint = f" (nearest: {near[0]!r})" if near else ""
    raise BrainsslError(
        f"{source}: label {strange!r} is not among the classifier's classes, and the labels are "
        f"not all of its families or sequences{hint}: map each folder with --labels MAP.csv, and "
        "leave the label of others empty"
    )


def _relabelled(said: Predictions, target: Target, labels: Sequence[str]) -> Predictions:
    """Give predictions their true labels, merged to what these are about."""
    merged = said if target.name == "class" else by_factor(said, target.values)
    frame = merged.frame.assign(label=np.asarray(labels, dtype=object))
    return Predictions(frame.astype({"label": "str"}), merged.classes)


def _unit_rows(
    here: Predictions,
    images: pd.DataFrame,
    target: Target,
    classifier: Classifier,
    facts: dict[str, Any],
    settings: EvaluationSettings,
) -> list[dict[str, Any]]:
    """Measure patients and series, where they are known, by the classifier's rules."""
    kinds: Sequence[str] = KINDS
    families: Families | None = classifier.facts.get("families")
    if target.name == "family":
        # Each label is a family, whatever its name ends in; a series is asked of its class.
        kinds, families = ("patient",), {name: (name, "") for name in here.classes}
    elif target.name != "class":
        return []  # the sequence is asked of slices alone
    units = known_units(images, here.classes, families)
    rows = []
    for kind in kinds:
        asked = asked_of(here, kind, families)
        if not units[kind].of or asked is None:
            continue
        rule, chosen = rule_of(classifier.facts, kind)
        told = {
            "unit": kind,
            "asked": "class" if asked is here and target.name == "class" else "family",
            "rule": rule.name,
            "chosen": chosen,
            "conflicting": len(units[kind].conflicting),
            "unknown": units[kind].unknown,
        }
        rows += result_rows(fuse(asked, units[kind].of, rule), facts | told, settings)
    return rows


def _drop(
    path: Path, here: Predictions, target: Target, settings: EvaluationSettings
) -> dict[str, Any] | None:
    """Compare with the classifier's own test images of the classes that occur here."""
    file = (path if path.is_dir() else path.parent) / "predictions.parquet"
    if not file.is_file():
        return None
    own = Predictions.load(file).of("test")
    if target.name != "class":
        own = by_factor(own, target.values)
    rows = own.frame["label"].isin(set(here.frame["label"]))
    if not rows.any():
        return None
    alike = Predictions(own.frame[rows].reset_index(drop=True), own.classes)
    (row,) = result_rows(alike, {"protocol": PROTOCOL}, settings)
    gap = for_json(asdict(optimism([alike], [here], draws=settings.draws)))
    return {
        "own": gap["accuracy"],
        "here": gap["honest"],
        "difference": gap["difference"],
        "interval": gap["interval"],
        "images": len(alike),
        "row": row,
    }
