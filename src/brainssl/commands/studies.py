"""Commands of a whole study."""

from pathlib import Path
from typing import Annotated

import typer

from brainssl import api
from brainssl.api import Answer
from brainssl.commands.shared import (
    AsJson,
    Bits,
    ClassesAt,
    Columns,
    ExtraFolders,
    FamiliesTable,
    FieldOfView,
    Key,
    LabelBy,
    Labels,
    Lesions,
    LesionSlices,
    LoggerNames,
    NoSeed,
    PlaneOption,
    Preset,
    Seed,
    Set,
    Slices,
    Source,
    teaching,
    tell,
)


@teaching
def study(
    source: Source,
    out: Annotated[Path, typer.Argument(help="Folder of the study; an unfinished one goes on.")],
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
    bits: Bits = 8,
    preset: Preset = "quick",
    methods: Annotated[
        str,
        typer.Option(
            help="Comma-separated, fixmatch (semi-supervised) too; the supervised baseline is "
            "always there."
        ),
    ] = "simclr,byol,dino,mocov3",
    starts: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated weights to begin with: random, imagenet, hub:OWNER/NAME, a path. "
            "By default encoder.weights."
        ),
    ] = None,
    protocols: Annotated[
        str, typer.Option(help="Comma-separated: grouped, image, paper.")
    ] = "grouped",
    folds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=50,
            help="So many splits, whose test sets are all images; 1: one split. By default 5, or "
            "what fits the budget; a study that has begun goes on as it was divided.",
        ),
    ] = None,
    leave_out: Annotated[
        str | None,
        typer.Option(help="Column of a table, e.g. site: each of its values is tested in turn."),
    ] = None,
    label_fractions: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated shares of the labels, or 8-shot: of each class; 0.1,1.0 without "
            "a budget."
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many trainings of everything, in each fold; by default 1, or 2 on one split.",
        ),
    ] = None,
    seed: Seed = 0,
    overrides: Set = None,
    budget: Annotated[
        str | None,
        typer.Option(help="A time, e.g. 10m or 2h: chooses what fits into it and is not given."),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="How many processes share the steps and the processor.")
    ] = 1,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Let a Ray cluster do the steps: auto, HOST:PORT or ray://HOST:PORT; its machines "
            "share the folder of the study, or a --storage."
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="URL of a folder, e.g. s3://BUCKET/FOLDER, by which machines of the cluster get "
            "and give what they do not share."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and how long it may take.")
    ] = False,
    explained: Annotated[
        int | None,
        typer.Option(
            "--explain",
            min=0,
            help="Test slices that show where each classifier looks, 0: none; 40 without a budget.",
        ),
    ] = None,
    lesions: Lesions = None,
    logger: LoggerNames = None,
    classical: Annotated[
        bool,
        typer.Option(
            "--classical/--no-classical",
            help="Decision tree, LDA, SVM and nearest neighbours on hand-made features, too.",
        ),
    ] = True,
    tune: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=10,
            help="Settings that each method and the baseline try, of which validation chooses.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare methods with supervised training on your data, and write the report.

    Example: brainssl study data/mri runs/study --labels labels.csv --label-fractions 0.1,1.0
    With weights that can be had for nothing beside it: --starts random,imagenet
    """
    answer = api.study(
        source,
        out,
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
        bits=bits,
        preset=preset,
        methods=methods,
        starts=starts,
        protocols=protocols,
        folds=folds,
        leave_out=leave_out,
        label_fractions=label_fractions,
        seeds=seeds,
        seed=seed,
        overrides=overrides,
        budget=budget,
        jobs=jobs,
        cluster=cluster,
        storage=storage,
        dry_run=dry_run,
        explained=explained,
        lesions=lesions,
        logger=logger,
        classical=classical,
        tune=tune,
    )
    tell(answer if dry_run else _files(answer), as_json)
    if answer.get("failed"):
        raise typer.Exit(1)


@teaching
def report(
    out: Annotated[Path, typer.Argument(help="Folder of a finished study.")],
    files: Annotated[
        bool, typer.Option("--files", help="Tables as CSV and LaTeX, figures as SVG and PNG too.")
    ] = False,
    seed: NoSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Analyse a finished study again and rebuild its report; nothing is trained.

    Example: brainssl report runs/study --files
    """
    tell(_files(api.report(out, files=files, seed=seed)), as_json)


@teaching
def compare(
    studies: Annotated[list[Path], typer.Argument(help="Folders of finished studies.")],
    out: Annotated[
        Path | None, typer.Option(help="Page to write as well, such as comparison.html.")
    ] = None,
    seed: NoSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Set the models of several studies side by side; the others are compared with the first.

    Example: brainssl compare runs/resnet18 runs/resnet50 --out comparison.html
    """
    tell(api.compare(studies, out=out, seed=seed), as_json)


def _files(answer: Answer) -> Answer:
    """Leave out what is in results.json."""
    names = ("report", "results", "failed")
    return Answer({name: answer[name] for name in names if name in answer}, answer.text)
