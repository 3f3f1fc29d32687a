"""Plan: what a study compares."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainssl.data.archives.reading import BY_DEFAULT, Reading
from brainssl.data.archives.scan_archive import values_of_series
from brainssl.data.folds import Fold, values_of
from brainssl.data.layout import Layout
from brainssl.data.manifest import MANIFEST_COLUMNS
from brainssl.data.shots import LabelFraction
from brainssl.data.sources import open_source
from brainssl.data.split import Protocol
from brainssl.data.store import is_store
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import read_frame
from brainssl.settings import Settings
from brainssl.settings.starts import NamedStart, are_told

_OWN = frozenset(MANIFEST_COLUMNS) - {"patient", "plane", "sequence"}
_TESTED = ("val", "test")


@dataclass(frozen=True)
class Plan:
    """What to compare.

    Attributes:
        source: folder of images, or a prepared store.
        labels: CSV that maps folders or files to labels.
        methods: of self-supervision, and semi-supervised ones; the supervised baseline is always
            there.
        protocols: how the data are split; the first is the one that the report leads with.
        label_fractions: shares of the training labels, or shots.
        seeds: how many trainings of everything.
        seed: of the split; trainings have the seeds seed, seed + 1, ...
        preset: name, for the record.
        settings: resolved.
        reasons: why each setting is what it is.
        command: as typed, for the record.
        loggers: of each training, beside history.csv.
        explained: how many test slices at most show where each classifier looks; 0: none.
        lesions: where they are; `masks/` beside `images/` where that is a source's layout.
        budget: what a budget of time chose, see `brainssl.studies.budget.Choice`.
        classes_at: level of the classes among the folders, from 1; None: it is found.
        folds: how many splits there are, whose test sets are pooled; None: one split.
        leave_out: column each of whose values is tested in turn, in so many folds as it has values.
        classical: whether there are classical baselines beside the networks.
        families: CSV of tumour family and sequence of each class; `families.csv` in the source.
        trials: settings that each method and the supervised baseline try; 1: those given alone.
        starts: weights that encoders begin with, as `encoder.weights` takes them; by default those
            of the settings.
        chosen_on: split on which a preset was chosen, see `brainssl.settings.loading.chosen_on`.
        unlabelled: extra folders of images for pretraining alone.
        reading: how volumes of an archive are read and labelled.
        bits: of a stored pixel.
        columns: of the tables, kept beside those that are always read, for subgroups.
    """

    source: Path
    labels: Path | None
    methods: tuple[str, ...]
    protocols: tuple[Protocol, ...]
    label_fractions: tuple[LabelFraction, ...]
    seeds: int
    seed: int
    preset: str
    settings: Settings
    reasons: dict[str, str]
    command: str
    loggers: tuple[str, ...] = ()
    explained: int = 0
    lesions: Path | None = None
    budget: dict[str, Any] | None = None
    classes_at: int | None = None
    folds: int | None = None
    leave_out: str | None = None
    classical: bool = True
    families: Path | None = None
    trials: int = 1
    chosen_on: dict[str, Any] | None = None
    unlabelled: tuple[Path, ...] = ()
    starts: tuple[str, ...] = ()
    reading: Reading = BY_DEFAULT
    bits: int = 8
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Begin with the weights of the settings unless told otherwise."""
        object.__setattr__(self, "starts", self.starts or (self.settings.encoder.weights,))

    @property
    def divisions(self) -> tuple[Fold | None, ...]:
        """The folds; None alone where there is one split."""
        if self.folds is None:
            return (None,)
        return tuple(Fold(n, self.folds, self.leave_out) for n in range(1, self.folds + 1))

    @property
    def own_start(self) -> NamedStart:
        """The start of the settings, which adds nothing to the names of steps."""
        return NamedStart(self.settings.encoder.weights)

    @property
    def tells_starts(self) -> bool:
        """Whether models are named with their start."""
        return are_told(NamedStart(one).name for one in self.starts)

    @property
    def beginnings(self) -> tuple[NamedStart | None, ...]:
        """The starts as steps have them: None for that of the settings."""
        return tuple(
            None if NamedStart(one) == self.own_start else NamedStart(one) for one in self.starts
        )

    @property
    def columns_needed(self) -> tuple[str, ...]:
        """Columns of the tables that a study needs beside those that it always reads."""
        named = () if self.leave_out is None else (self.leave_out,)
        return tuple(dict.fromkeys((*named, *self.columns)))


def count_values(
    source: Path,
    column: str,
    *,
    labels: Path | None = None,
    classes_at: int | None = None,
    reading: Reading = BY_DEFAULT,
) -> int:
    """Return how many values a column has among labelled images: so many folds leave one out.

    Raises:
        BrainsslError: the source is of no use, or has no such column, or only one value in it.
    """
    if column in _OWN:
        raise BrainsslError(f"the column {column} is one of ours: name one such as site or scanner")
    if is_store(source):
        values = values_of(read_frame(source / "manifest.parquet"), column)
    else:
        found = open_source(
            source,
            labels=labels,
            classes_at=classes_at,
            columns=[column],
            reading=reading,
            keep=False,
        )
        if isinstance(found, Layout):
            own = {"patient": found.patients, "plane": found.planes}
            known = own.get(column, found.further[column])
            values = sorted({v for path, v in known.items() if v and found.labels[path]})
        else:
            values = values_of_series(found, column, labels=labels, reading=reading)
    if len(values) < 2:
        raise BrainsslError(
            f"{source}: the column {column} has {len(values)} values: patients.csv or the label "
            "table must have it, with two or more"
        )
    return len(values)


def gives_test_set(
    source: Path,
    *,
    labels: Path | None = None,
    classes_at: int | None = None,
    reading: Reading = BY_DEFAULT,
) -> bool:
    """Tell whether a source brings a test set of labelled images, which stays one.

    No archive does.

    Raises:
        BrainsslError: the source is of no use.
    """
    if is_store(source):
        manifest = read_frame(source / "manifest.parquet", columns=["label", "given"])
        given = manifest["given"][manifest["label"].notna()]
        return bool(given.isin(_TESTED).any())
    layout = open_source(source, labels=labels, classes_at=classes_at, reading=reading, keep=False)
    if not isinstance(layout, Layout):
        return False
    return any(part in _TESTED and layout.labels[path] for path, part in layout.given.items())
