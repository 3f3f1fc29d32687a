"""Commands that train one model and measure it: pretrain, probe, finetune, tune, evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from brainssl import api
from brainssl.commands.shared import (
    AsJson,
    Fraction,
    LoggerNames,
    NoSeed,
    OtherData,
    Out,
    Preset,
    ProtocolOption,
    Seed,
    Set,
    Store,
    teaching,
    tell,
)


@teaching
def pretrain(
    store: Store,
    out: Out,
    method: Annotated[
        str,
        typer.Option(help="simclr, byol, dino, mocov3, barlowtwins, nnclr, or supcon with labels."),
    ] = "simclr",
    label_fraction: Annotated[
        str | None,
        typer.Option(help="Of supcon: share of the training labels to use, or 8-shot; else all."),
    ] = None,
    preset: Preset = "quick",
    overrides: Set = None,
    protocol: ProtocolOption = "grouped",
    seed: Seed = 0,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on from the last checkpoint of a killed run, exactly."),
    ] = False,
    stop_on_collapse: Annotated[
        bool, typer.Option("--stop-on-collapse", help="Fail as soon as the method has collapsed.")
    ] = False,
    logger: LoggerNames = None,
    as_json: AsJson = False,
) -> None:
    """Pretrain an encoder on the training part of a split: without labels, but for supcon.

    Example: brainssl pretrain stores/mri runs/simclr --method simclr --set pretrain.epochs=100
    """
    answer = api.pretrain(
        store,
        out,
        method=method,
        label_fraction=label_fraction,
        preset=preset,
        overrides=overrides,
        protocol=protocol,
        seed=seed,
        resume=resume,
        stop_on_collapse=stop_on_collapse,
        logger=logger,
    )
    tell(answer, as_json)


@teaching
def probe(
    store: Store,
    encoder: Annotated[Path, typer.Argument(help="Encoder, or the folder of a pretraining.")],
    out: Out,
    label_fraction: Fraction = "1.0",
    preset: Preset = "quick",
    overrides: Set = None,
    protocol: ProtocolOption = "grouped",
    other_data: OtherData = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Fit a linear classifier on an encoder that stays as it is, and measure it.

    Example: brainssl probe stores/mri runs/simclr runs/simclr-linear
    """
    rows = api.probe(
        store,
        encoder,
        out,
        label_fraction=label_fraction,
        preset=preset,
        overrides=overrides,
        protocol=protocol,
        other_data=other_data,
        seed=seed,
    )
    tell(rows, as_json)


@teaching
def finetune(
    store: Store,
    out: Out,
    encoder: Annotated[
        Path | None,
        typer.Option(help="Encoder, or the folder of a pretraining; without it: supervised."),
    ] = None,
    semi_supervised: Annotated[
        str | None,
        typer.Option(help="fixmatch: without an encoder, learn from images without labels too."),
    ] = None,
    label_fraction: Fraction = "1.0",
    preset: Preset = "quick",
    overrides: Set = None,
    protocol: ProtocolOption = "grouped",
    other_data: OtherData = False,
    logger: LoggerNames = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a pretrained encoder, or train one from scratch, and measure it.

    Example: brainssl finetune stores/mri runs/tuned --encoder runs/simclr --label-fraction 0.1
    """
    rows = api.finetune(
        store,
        out,
        encoder=encoder,
        semi_supervised=semi_supervised,
        label_fraction=label_fraction,
        preset=preset,
        overrides=overrides,
        protocol=protocol,
        other_data=other_data,
        logger=logger,
        seed=seed,
    )
    tell(rows, as_json)


@teaching
def tune(
    store: Store,
    out: Annotated[Path, typer.Argument(help="Folder of the search; an unfinished one goes on.")],
    method: Annotated[
        str,
        typer.Option(
            help="simclr, byol, dino, mocov3, barlowtwins, nnclr, supcon, fixmatch or supervised."
        ),
    ] = "simclr",
    trials: Annotated[int, typer.Option(min=1, help="How many settings are tried.")] = 10,
    stage: Annotated[
        str, typer.Option(help="finetune or linear: what is made of each pretraining.")
    ] = "finetune",
    label_fraction: Fraction = "1.0",
    preset: Preset = "quick",
    overrides: Set = None,
    protocol: Annotated[
        str, typer.Option("--protocol", help="grouped or image: how the split is made.")
    ] = "grouped",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Search for the settings of one method on validation, and write them as a preset.

    Example: brainssl tune stores/mri runs/tuned --method byol --trials 20
    """
    answer = api.tune(
        store,
        out,
        method=method,
        trials=trials,
        stage=stage,
        label_fraction=label_fraction,
        preset=preset,
        overrides=overrides,
        protocol=protocol,
        seed=seed,
    )
    tell(answer, as_json)


@teaching
def evaluate(
    store: Store,
    classifier: Annotated[Path, typer.Argument(help="Folder of a probe or a fine-tuning.")],
    out: Out,
    preset: Preset = "quick",
    overrides: Set = None,
    seed: NoSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure a classifier again on the split that it was trained on.

    Example: brainssl evaluate stores/mri runs/tuned runs/tuned-measured
    """
    rows = api.evaluate(store, classifier, out, preset=preset, overrides=overrides, seed=seed)
    tell(rows, as_json)
