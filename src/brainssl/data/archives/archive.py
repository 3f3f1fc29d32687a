"""What a source of volumes holds, before any pixel is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from brainssl.data.volumes.volume import VolumeRef

Kind = Literal["dicom", "bids", "nnunet", "brats", "nifti", "figshare"]
Unit = Literal["patient", "study", "series"]

UNKNOWN = "unknown"

BURNED_IN = "burned-in text"
"""Flag of a series, and of its images, whose header says that there is text in the pixels."""


@dataclass(frozen=True)
class Told:
    """What headers and names say of one thing.

    Attributes:
        value: such as `T1C+` or `axial`; `UNKNOWN` where nothing says it.
        confidence: 0 to 1.
        evidence: what says so, in words that quote nothing of a header but numbers and the keyword
            that was recognised.
        against: what says otherwise, likewise.
    """

    value: str = UNKNOWN
    confidence: float = 0.0
    evidence: tuple[str, ...] = ()
    against: tuple[str, ...] = ()


@dataclass(frozen=True)
class Series:
    """One volume of a source, and what is known of it without its pixels.

    Attributes:
        name: how its slices' paths in the manifest begin: POSIX, unique in the source, and free of
            names of people. A slice is called `<name>/<number from 1, four digits>`.
        volume: where it lies.
        patient: pseudonym, or the source's own where that is one (BIDS); None where unknown.
        study: likewise.
        series: likewise.
        shape: slices, rows and columns.
        pixel: mm between rows and columns; None where unknown.
        sequence: T1, T1C+, T2, FLAIR, PD, DWI, SWI or unknown.
        plane: axial, coronal, sagittal or unknown.
        columns: further facts that a list allows, such as scanner, field strength, age.
        label: class that the source itself gives.
        mask: where the lesion is, on the same grid.
        exclusion: why it is no series of slices to learn from ("localiser", "derived"); None if
            it is one.
        flags: what a reader of the data should know.
        placed: whether headers say where its slices lie.
    """

    name: str
    volume: VolumeRef
    patient: str | None
    study: str | None
    series: str | None
    shape: tuple[int, int, int]
    pixel: tuple[float, float] | None
    sequence: Told = Told()
    plane: Told = Told()
    columns: Mapping[str, str] = field(default_factory=dict)
    label: str | None = None
    mask: VolumeRef | None = None
    exclusion: str | None = None
    flags: tuple[str, ...] = ()
    placed: bool = False


@dataclass
class Archive:
    """What a source holds.

    Attributes:
        kind: how it is laid out.
        root: the source.
        series: all of them, those with an `exclusion` too, by name.
        unreadable: file and reason of each that could not be read. Of a DICOM archive the file is
            told by `file-<number>`-like names alone where folders may be names of people.
        notes: decisions that a reader of the data should know, one sentence each.
        originals: for (unit, identifier as hospital tables have it), the pseudonyms that it may
            mean: by this, tables of labels are joined. It is never written.
    """

    kind: Kind
    root: Path
    series: list[Series]
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    originals: Mapping[tuple[Unit, str], frozenset[str]] = field(default_factory=dict, repr=False)
