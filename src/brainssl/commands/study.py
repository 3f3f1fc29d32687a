"""Commands of a whole study."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from brainssl.commands.shared import (
    AsJson,
    Labels,
    Lesions,
    LoggerNames,
    NoSeed,
    Preset,
    Seed,
    Set,
    Source,
    fractions,
    known,
    logger_names,
    method_names,
    settings_of,
    teaching,
    tell,
)
from brainssl.progress import Terminal


@teaching
def study(
    source: Source,
    out: Annotated[Path, typer.Argument(help="Folder of the study; an unfinished one goes on.")],
    labels: Labels = None,
    preset: Preset = "quick",
    methods: Annotated[
        str, typer.Option(help="Comma-separated; the supervised baseline is always there.")
    ] = "simclr,byol,dino,mocov3",
    protocols: Annotated[
        str, typer.Option(help="Comma-separated: grouped, image, paper.")
    ] = "grouped",
    label_fractions: Annotated[
        str, typer.Option(help="Comma-separated shares of the labels.")
    ] = "0.1,1.0",
    seeds: Annotated[int, typer.Option(min=1, help="How many trainings of everything.")] = 2,
    seed: Seed = 0,
    overrides: Set = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="How many processes share the steps and the processor.")
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and how long it may take.")
    ] = False,
    explained: Annotated[
        int,
        typer.Option(
            "--explain", min=0, help="Test slices that show where each classifier looks; 0: none."
        ),
    ] = 40,  # each is nearly 400 runs of the network
    lesions: Lesions = None,
    logger: LoggerNames = None,
    as_json: AsJson = False,
) -> None:
    """Compare methods with supervised training on your data, and write the report.

    Example: brainssl study data/mri runs/study --labels labels.csv --label-fractions 0.1,1.0
    """
    from brainssl.data.split import PROTOCOLS
    from brainssl.estimate import estimate
    from brainssl.plan import Plan
    from brainssl.study import Study
    from brainssl.workers import workers

    settings, reasons = settings_of(preset, overrides, source)
    plan = Plan(
        source=source,
        labels=labels,
        methods=known("--methods", methods.split(","), method_names()),
        protocols=known("--protocols", protocols.split(","), PROTOCOLS),  # type: ignore[arg-type]
        label_fractions=fractions(label_fractions),
        seeds=seeds,
        seed=seed,
        preset=preset,
        settings=settings,
        reasons=reasons,
        command=shlex.join(["brainssl", *sys.argv[1:]]),
        loggers=logger_names(logger),
        explained=explained,
        lesions=lesions,
    )
    if dry_run:
        foreseen = estimate(plan, out, jobs=jobs)
        tell(foreseen.facts(), foreseen.text(), as_json)
        return
    made = Study(plan, out, Terminal())
    report = made.run(workers(plan, out, jobs) if jobs > 1 else None)
    said = [f"{len(made.failed)} steps failed; see the report."] if made.failed else []
    said += [f"Results: {out / 'results.json'}", f"Report:  {report}"]
    answer = {"report": str(report), "results": str(out / "results.json"), "failed": made.failed}
    tell(answer, "\n".join(said), as_json)
    if made.failed:
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
    from brainssl.publication import publish_again

    page = publish_again(out, Terminal(), files=files)
    tell({"report": str(page), "results": str(out / "results.json")}, f"Report: {page}", as_json)


@teaching
def compare(
    studies: Annotated[list[Path], typer.Argument(help="Folders of finished studies.")],
    seed: NoSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Set the models of several studies side by side; the others are compared with the first.

    Example: brainssl compare runs/resnet18 runs/resnet50
    """
    from brainssl.comparing import compare_studies, text_of

    compared = compare_studies(studies)
    tell(compared, text_of(compared), as_json)
