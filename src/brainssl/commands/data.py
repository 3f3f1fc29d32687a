"""Commands that make and judge data: phantom, scan, audit, prepare."""

from pathlib import Path
from typing import Annotated

import typer

from brainssl import api
from brainssl.commands.shared import (
    AsJson,
    Bits,
    ClassesAt,
    Columns,
    ExtraFolders,
    FamiliesTable,
    FieldOfView,
    Key,
    KnownKey,
    LabelBy,
    Labels,
    LesionSlices,
    NoSeed,
    Out,
    PlaneOption,
    Seed,
    Slices,
    teaching,
    tell,
)


@teaching
def phantom(
    out: Out,
    patients: Annotated[int, typer.Option(min=1, help="Simulated patients.")] = 130,
    size: Annotated[int, typer.Option(min=64, max=1024, help="Side in pixels.")] = 224,
    format: Annotated[  # noqa: A002 - the option's name
        str, typer.Option(help="png for images; dicom, bids or brats for archives of series.")
    ] = "png",
    slices: Annotated[
        int | None, typer.Option(min=8, max=512, help="Of a series in an archive; 24 by default.")
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Simulate brain MRI of patients with and without tumours, with masks of the lesions.

    Example: brainssl phantom data/phantom --patients 40 --size 96
    """
    answer = api.phantom(out, patients=patients, size=size, format=format, slices=slices, seed=seed)
    tell(answer, as_json)


@teaching
def scan(
    source: Annotated[Path, typer.Argument(help="Folder of images, or archive of volumes.")],
    labels: Labels = None,
    classes_at: ClassesAt = None,
    slices: Slices = None,
    label_by: LabelBy = None,
    key: KnownKey = None,
    locate: Annotated[
        str | None,
        typer.Option(help="Find a file-NUMBER; or with --key a pseudonym, or an identifier."),
    ] = None,
    seed: NoSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Say what a source holds by names and headers, before any pixel is read.

    Example: brainssl scan data/hospital --labels diagnoses.csv
    """
    answer = api.scan(
        source,
        labels=labels,
        classes_at=classes_at,
        slices=slices,
        label_by=label_by,
        key=key,
        locate=locate,
        seed=seed,
    )
    tell(answer, as_json)


@teaching
def audit(
    source: Annotated[Path, typer.Argument(help="Folder of images, or archive of volumes.")],
    labels: Labels = None,
    classes_at: ClassesAt = None,
    families: FamiliesTable = None,
    slices: Slices = None,
    plane: PlaneOption = "native",
    label_by: LabelBy = None,
    lesion_slices: LesionSlices = False,
    key: Key = None,
    out: Annotated[Path, typer.Option(help="Folder of audit.json and audit.html.")] = Path("audit"),
    seed: NoSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Say what is in a collection, what is wrong with it, and what a random split would leak.

    Example: brainssl audit data/mri --labels labels.csv --out audit
    """
    answer = api.audit(
        source,
        labels=labels,
        classes_at=classes_at,
        families=families,
        slices=slices,
        plane=plane,
        label_by=label_by,
        lesion_slices=lesion_slices,
        key=key,
        out=out,
        seed=seed,
    )
    tell(answer, as_json)


@teaching
def prepare(
    source: Annotated[Path, typer.Argument(help="Folder of images, or archive of volumes.")],
    store: Out,
    labels: Labels = None,
    classes_at: ClassesAt = None,
    families: FamiliesTable = None,
    columns: Columns = None,
    unlabelled: ExtraFolders = None,
    slices: Slices = None,
    plane: PlaneOption = "native",
    label_by: LabelBy = None,
    lesion_slices: LesionSlices = False,
    key: Key = None,
    field_of_view: FieldOfView = None,
    size: Annotated[int, typer.Option(min=16, max=1024, help="Side in pixels.")] = 224,
    bits: Bits = 8,
    reader: Annotated[
        int, typer.Option(min=1, max=3, help="Version of the reader; less for earlier models.")
    ] = 3,
    seed: NoSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Decode every image once into a store that all other commands read.

    Example: brainssl prepare data/mri stores/mri --size 96
    """
    answer = api.prepare(
        source,
        store,
        labels=labels,
        classes_at=classes_at,
        families=families,
        columns=columns,
        unlabelled=unlabelled,
        slices=slices,
        plane=plane,
        label_by=label_by,
        lesion_slices=lesion_slices,
        key=key,
        field_of_view=field_of_view,
        size=size,
        bits=bits,
        reader=reader,
        seed=seed,
    )
    tell(answer, as_json)
