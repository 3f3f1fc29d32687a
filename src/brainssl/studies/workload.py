"""How much a study has to do: the images of a source, and what each step makes of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from brainssl.data.archives.reading import Reading
from brainssl.data.archives.scan_archive import planned_labels, series_to_read, slices_of
from brainssl.data.extra import read_extra
from brainssl.data.layout import Layout
from brainssl.data.shots import LabelFraction, Shots
from brainssl.data.sources import open_source
from brainssl.data.split import Protocol
from brainssl.data.store import is_store
from brainssl.data.volumes.slices import Plane
from brainssl.data.volumes.volume import VolumeRef
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import read_frame
from brainssl.hardware.speed import Speed
from brainssl.methods import METHODS
from brainssl.settings import SEMI_SUPERVISED, Settings
from brainssl.settings.sections import SplitSettings
from brainssl.studies.grid import CLASSICAL, SUPERVISED, Step
from brainssl.studies.plan import Plan
from brainssl.training.classical.stage import MOST_IMAGES
from brainssl.training.finetune import passes, supervised_epochs

_CLASSICAL = 0.003  # seconds in which a classical baseline is fitted, for a training image


@dataclass(frozen=True)
class Source:
    """What is known of a source before it is read.

    Attributes:
        labels: of each image.
        files: that are to be read; none of a store.
        volumes: that are to be read; of all their slices that may be taken there is a label.
        plane: in which slices of volumes are taken.
    """

    labels: tuple[str | None, ...]
    files: tuple[Path, ...]
    volumes: tuple[VolumeRef, ...] = ()
    plane: Plane = "native"

    @property
    def counted(self) -> bool:
        """Whether the images are in files that nobody has read yet."""
        return bool(self.files or self.volumes)


@dataclass(frozen=True)
class Images:
    """How many images the sets of a split have, about."""

    train: float
    val: float
    test: float
    unlabelled: float
    classes: int = 1

    @classmethod
    def of(
        cls,
        labels: Iterable[str | None],
        protocol: Protocol,
        shares: SplitSettings,
        folds: int | None = None,
    ) -> "Images":
        """Divide labels as the shares say; `paper` brings every class to the largest before.

        Of folds each tests its share.
        """
        counts = Counter(labels)
        unlabelled = counts.pop(None, 0)
        labelled = counts.total()
        if protocol == "paper":
            labelled = len(counts) * max(counts.values(), default=0)
        val = labelled * shares.val_fraction
        test = labelled * (1 / folds if folds else shares.test_fraction)
        return cls(labelled - val - test, val, test, unlabelled, len(counts))


@dataclass(frozen=True)
class Work:
    """How many images go through the network, at most.

    Attributes:
        pretraining: forward and backward, in batches of pretraining.
        finetuning: forward and backward, in batches of fine-tuning.
        forward: once, without gradients.
        other: seconds of what no network does, on an ordinary core.
    """

    pretraining: float
    finetuning: float
    forward: float
    other: float = 0.0

    def seconds(self, speed: Speed) -> float:
        """Return how long that takes."""
        return (
            self.pretraining * speed.pretraining
            + self.finetuning * speed.finetuning
            + self.forward * speed.forward
            + self.other
        )

    @property
    def amount(self) -> float:
        """One number to compare the work of two steps by: a forward pass is about a third."""
        return self.pretraining + self.finetuning + self.forward / 3


def work(step: Step, images: Images, settings: Settings) -> Work:
    """Return how many images go through the network in a step, at most.

    Of a trial that is as many as with the settings as they are: none may have more epochs.
    """
    own = settings.of(step.method)
    if step.stage == "pretrain":
        cost: float = METHODS[step.method].cost(settings.section(step.method))
        seen = images.train + images.unlabelled
        watched = 3 * min(own.pretrain.watch_images, seen) + min(
            own.pretrain.watch_images, images.val
        )
        epochs = own.pretrain.epochs
        return Work(seen * epochs * cost, 0.0, watched * (epochs + 1))
    labelled = _labelled(step.label_fraction, images)
    if step.stage == CLASSICAL:
        return Work(0.0, 0.0, 0.0, _CLASSICAL * min(labelled, MOST_IMAGES))
    views = 1 if step.stage == "linear" else own.finetune.test_views
    measuring = views * (labelled + images.val + images.test)
    if step.tuned:
        return Work(0.0, 0.0, measuring)
    if step.stage == "linear":
        every = images.train + images.val + images.test + images.unlabelled
        return Work(0.0, 0.0, measuring + every)
    trained = passes(own.finetune, int(labelled)) * labelled
    epochs, beside = own.finetune.epochs, 0.0
    if step.stage == SUPERVISED:
        seen = images.train + images.unlabelled
        epochs = supervised_epochs(own, int(labelled), int(seen))
        if step.method in SEMI_SUPERVISED:
            batch = max(1.0, min(own.finetune.batch_size, labelled))
            beside = min(own.fixmatch.ratio, seen / batch) * trained
    # Of images beside the labelled ones, strong views are learnt and weak ones are only looked at.
    return Work(0.0, epochs * (trained + beside), measuring + epochs * (images.val + beside))


def _labelled(fraction: LabelFraction | None, images: Images) -> float:
    if isinstance(fraction, Shots):
        return min(images.train, float(fraction.each * images.classes))
    return (1.0 if fraction is None else fraction) * images.train


def look_at(plan: Plan, begun: Path | None = None) -> Source:
    """Return the label of each image of a source, by a look at its names or its manifest."""
    path = plan.source
    stores = [path] if begun is None else [path, begun / "store"]
    for store in filter(is_store, stores):
        column = read_frame(store / "manifest.parquet", columns=["label"])["label"]
        return Source(tuple(label if isinstance(label, str) else None for label in column), ())
    reading, labels = plan.reading, list[str | None]()
    own = open_source(
        path, labels=plan.labels, classes_at=plan.classes_at, reading=reading, keep=False
    )
    if isinstance(own, Layout) and own.questions:
        raise BrainsslError(f"{path}: {own.questions[0]}")
    extra = [
        open_source(folder.path, reading=Reading(key=reading.key), keep=False)
        for folder in read_extra(plan.unlabelled, path)
    ]
    files, volumes = list[Path](), list[VolumeRef]()
    for found in (own, *extra):
        if isinstance(found, Layout):
            files += [found.root / name for name in found.paths]
            labels += found.labels.values() if found is own else [None] * len(found.paths)
            continue
        told = planned_labels(found, plan.labels, reading) if found is own else {}
        for series in series_to_read(found):
            volumes.append(series.volume)
            # Who can say what stands in a volume before it is read? At most all slices show brain.
            labels += [told.get(series.name)] * reading.slices.most(slices_of(series, reading))
    return Source(tuple(labels), tuple(files), tuple(volumes), reading.plane)
