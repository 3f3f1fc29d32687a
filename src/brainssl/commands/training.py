"""Commands that train one model and measure it: pretrain, probe, finetune, evaluate."""

from pathlib import Path
from typing import Annotated

import typer

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
    fraction,
    known,
    logger_names,
    method_names,
    open_data,
    settings_of,
    split_beside,
    table,
    teaching,
    tell,
)
from brainssl.progress import Terminal


@teaching
def pretrain(
    store: Store,
    out: Out,
    method: Annotated[
        str,
        typer.Option(help="simclr, byol, dino, mocov3, barlowtwins or nnclr."),
    ] = "simclr",
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
    """Pretrain an encoder without labels, on the training part of a split.

    Example: brainssl pretrain stores/mri runs/simclr --method simclr --set pretrain.epochs=100
    """
    from brainssl.storage import refuse_existing
    from brainssl.training.pretrain import pretrain as run

    refuse_existing(out)
    known("--method", [method], method_names())
    loggers = logger_names(logger)
    data, settings = open_data(store, preset, overrides, protocol=protocol, seed=seed)
    terminal = Terminal()
    with terminal.task(f"pretrain {method}") as progress:
        encoder = run(
            data.store,
            data.split,
            out,
            method=method,
            settings=settings,
            seed=seed,
            resume=resume,
            stop_on_collapse=stop_on_collapse,
            loggers=loggers,
            progress=progress,
            say=terminal.say,
        )
    file = out / "encoder.safetensors"
    tell({"encoder": str(file), **encoder.facts}, f"The encoder is {file}", as_json)


@teaching
def probe(
    store: Store,
    encoder: Annotated[Path, typer.Argument(help="Encoder, or the folder of a pretraining.")],
    out: Out,
    label_fraction: Fraction = 1.0,
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
    from brainssl.classifier import device_of
    from brainssl.encoders import load_encoder
    from brainssl.stages import Features, probe_stage
    from brainssl.storage import refuse_existing

    refuse_existing(out)
    loaded = load_encoder(encoder)
    data, settings = open_data(
        store,
        preset,
        overrides,
        protocol=protocol,
        seed=seed,
        encoder=loaded,
        at=encoder,
        other_data=other_data,
    )
    with Terminal().task("linear probe") as progress:
        rows = probe_stage(
            data,
            Features(lambda: loaded, data.store, device_of(settings.run)),
            out,
            facts={"method": loaded.facts.get("method", "unknown")},
            settings=settings.of(loaded.facts.get("method", "")),
            label_fraction=fraction(label_fraction),
            seed=seed,
            progress=progress,
        )
    tell(rows, table(rows, out), as_json)


@teaching
def finetune(
    store: Store,
    out: Out,
    encoder: Annotated[
        Path | None,
        typer.Option(help="Encoder, or the folder of a pretraining; without it: supervised."),
    ] = None,
    label_fraction: Fraction = 1.0,
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
    from brainssl.encoders import build_encoder, load_encoder
    from brainssl.stages import finetune_stage
    from brainssl.storage import refuse_existing

    refuse_existing(out)
    loggers = logger_names(logger)
    loaded = load_encoder(encoder) if encoder else None
    data, settings = open_data(
        store,
        preset,
        overrides,
        protocol=protocol,
        seed=seed,
        encoder=loaded,
        at=encoder,
        other_data=other_data,
    )
    start = loaded or build_encoder(**settings.encoder.model_dump(), seed=seed)
    method = loaded.facts.get("method", "unknown") if loaded else "supervised"
    with Terminal().task("fine-tuning" if loaded else "supervised training") as progress:
        rows = finetune_stage(
            data,
            start,
            out,
            facts={"method": method, "stage": "finetune" if loaded else "supervised"},
            settings=settings.of(method),
            label_fraction=fraction(label_fraction),
            seed=seed,
            progress=progress,
            loggers=loggers,
        )
    tell(rows, table(rows, out), as_json)


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
    from brainssl.classifier import Classifier
    from brainssl.data.dataset import Data
    from brainssl.data.split import Split
    from brainssl.data.store import ImageStore
    from brainssl.stages import evaluate_stage

    loaded = Classifier.load(classifier)
    opened = ImageStore.open(store)
    opened.require_size(loaded.image_size)
    settings, _ = settings_of(preset, overrides, store)
    data = Data(opened, Split.load(split_beside(classifier)))
    with Terminal().task("evaluate"):
        rows = evaluate_stage(data, loaded, out, settings=settings)
    tell(rows, table(rows, out), as_json)
