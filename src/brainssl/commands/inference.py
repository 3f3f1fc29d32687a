"""Commands that use a trained model: external, explain, predict, embed, export."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from brainssl import api
from brainssl.api.options import known
from brainssl.commands.shared import (
    AsJson,
    ClassesAt,
    Key,
    LabelBy,
    Labels,
    LearntPlane,
    Lesions,
    LesionSlices,
    Model,
    NoSeed,
    Out,
    Seed,
    Slices,
    Source,
    Store,
    teaching,
    tell,
)
from brainssl.foundation.errors import BadUseError

FORMS = ("json", "jsonl", "csv", "table")
"""How predictions may be printed."""


@teaching
def external(
    classifier: Annotated[Path, typer.Argument(help="Folder of a probe or a fine-tuning.")],
    source: Source,
    out: Out,
    labels: Labels = None,
    classes_at: ClassesAt = None,
    slices: Slices = None,
    plane: LearntPlane = None,
    label_by: LabelBy = None,
    lesion_slices: LesionSlices = False,
    key: Key = None,
    seed: NoSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure a classifier on another collection, and say how much of its score it keeps.

    Example: brainssl external runs/tuned data/other runs/other --labels other.csv
    """
    answer = api.external(
        classifier,
        source,
        out,
        labels=labels,
        classes_at=classes_at,
        slices=slices,
        plane=plane,
        label_by=label_by,
        lesion_slices=lesion_slices,
        key=key,
        seed=seed,
    )
    tell(answer, as_json)


@teaching
def explain(
    store: Store,
    classifier: Annotated[Path, typer.Argument(help="Folder of a probe or a fine-tuning.")],
    out: Out,
    lesions: Lesions = None,
    maps: Annotated[
        str | None,
        typer.Option(help="Comma-separated: gradcam, gradcampp, eigencam, layercam, rollout."),
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Test slices at most.")] = 100,
    layer: Annotated[
        str | None, typer.Option(help="Module of the encoder; default: the last map.")
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Show where a classifier looks on test slices, and measure how far that can be trusted.

    Example: brainssl explain stores/mri runs/tuned runs/explained --lesions data/mri/masks
    """
    answer = api.explain(
        store,
        classifier,
        out,
        lesions=lesions,
        maps=maps,
        images=images,
        layer=layer,
        seed=seed,
    )
    tell(answer, as_json)


@teaching
def predict(
    classifier: Annotated[Path, typer.Argument(help="Classifier, or the folder that holds it.")],
    files: Annotated[
        list[Path],
        typer.Argument(help="Pictures, volumes, folders, patterns; -: names from standard input."),
    ],
    patients: Annotated[
        Path | None,
        typer.Option(
            help="CSV `path,patient[,sequence]`; or folders: each folder below those given is one."
        ),
    ] = None,
    level: Annotated[
        float, typer.Option(help="How often a set holds the true class: 0.8, 0.9 or 0.95.")
    ] = 0.9,
    neighbours: Annotated[
        int, typer.Option(min=0, help="How many of the nearest known cases are told.")
    ] = 3,
    maps: Annotated[
        bool, typer.Option("--maps", help="Draw saliency maps, into a folder beside --out.")
    ] = False,
    maps_as: Annotated[
        str,
        typer.Option(help="png, or of DICOM series dicom: they bear the names of their patients."),
    ] = "png",
    slices: Slices = None,
    plane: LearntPlane = None,
    key: Annotated[
        Path | None,
        typer.Option(help="Of pseudonyms of DICOM files; made if missing; default: a passing one."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write: JSON, .jsonl or .csv; default: print.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Print json, jsonl, csv or table; default: table in a terminal, else json.",
        ),
    ] = None,
    seed: NoSeed = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the JSON, with --out as well.")
    ] = False,
) -> None:
    """Classify images, series and patients. A file that cannot be read is listed; exit is then 1.

    Example: brainssl predict runs/tuned data/new --patients patients.csv --out predictions.json
    """
    printed = _printed(form, as_json, silent=out is not None)
    from brainssl.inference.names import STDIN, expanded
    from brainssl.inference.quick_start import import_networks

    import_networks(classifier)
    names = expanded(files, sys.stdin if Path(STDIN) in files else None)
    answer = api.predict(
        classifier,
        names,
        patients=patients,
        level=level,
        neighbours=neighbours,
        maps=maps,
        maps_as=maps_as,
        slices=slices,
        plane=plane,
        key=key,
        out=out,
        seed=seed,
    )
    _print(answer, printed)
    if any("error" in row for row in answer["predictions"]):
        raise typer.Exit(1)


def _print(answer: api.Answer, form: str | None) -> None:
    """Print an answer; beside a table, whose words hold them, notes and errors as well."""
    from brainssl.api.predictions_text import error_text, predictions_text
    from brainssl.inference.tables import said_of_form, written_as

    if form == "table":
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        typer.echo(predictions_text(answer, width))
        return
    if form:
        typer.echo(written_as(answer, form).rstrip("\n"))
    told = [answer["patients_from"], *answer["notes"], *answer["lacks"], said_of_form(answer, form)]
    told += [error_text(row) for row in answer["predictions"] if "error" in row]
    for line in filter(None, told):
        typer.echo(f"brainssl: {line}", err=True)


def _printed(form: str | None, as_json: bool, *, silent: bool) -> str | None:
    """Return in which form the answer is printed; None: it is not."""
    if form is not None:
        known("--format", [form], FORMS)
        if as_json and form != "json":
            raise BadUseError(f"--json and --format {form} are two forms: give one")
        return form
    if as_json:
        return "json"
    if silent:
        return None
    return "table" if sys.stdout.isatty() else "json"


@teaching
def embed(
    store: Store,
    encoder: Model,
    out: Annotated[Path, typer.Argument(help="Parquet file to make; must not exist.")],
    seed: NoSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Write the features of every image of a store, with its id, as a Parquet file.

    Example: brainssl embed stores/mri runs/simclr features.parquet
    """
    tell(api.embed(store, encoder, out, seed=seed), as_json)


@teaching
def export(
    model: Model,
    out: Annotated[
        Path | None, typer.Argument(help="ONNX file to make; needs brainssl[onnx].")
    ] = None,
    hub: Annotated[
        Path | None, typer.Option("--hub", help="Folder to make, in the layout of timm's hub.")
    ] = None,
    monai: Annotated[
        Path | None, typer.Option("--monai", help="Folder to make: a MONAI bundle of a classifier.")
    ] = None,
    seed: NoSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Write a model as ONNX, as a folder in the layout of timm's hub, or as a MONAI bundle.

    Example: brainssl export runs/tuned classifier.onnx --hub runs/for-timm
    """
    tell(api.export(model, out, hub=hub, monai=monai, seed=seed), as_json)
