"""Functions that train one model and measure it: pretrain, probe, finetune, evaluate."""

from pathlib import Path

from brainssl.api.answers import Answer, Rows
from brainssl.api.options import (
    Names,
    Where,
    fraction,
    known,
    logger_names,
    method_names,
    open_data,
    path_or_none,
    seed_of,
    semi_supervised_names,
    settings_of,
    split_beside,
)
from brainssl.foundation.errors import BadUseError
from brainssl.foundation.progress import Terminal


def pretrain(
    store: Where,
    out: Where,
    *,
    method: str = "simclr",
    label_fraction: float | str | None = None,
    preset: Where = "quick",
    overrides: Names | None = None,
    protocol: str = "grouped",
    seed: int = 0,
    resume: bool = False,
    stop_on_collapse: bool = False,
    logger: Names | None = None,
    quiet: bool = False,
) -> Answer:
    """Pretrain an encoder on the training part of a split: without labels, but for supcon.

    `brainssl.training.pretrain.pretrain` does the same with a split of your own.

    Args:
        store: made by `prepare`.
        out: folder to make; must not exist.
        method: a name of `brainssl.methods.METHODS`.
        label_fraction: of methods that learn from labels: share of the training labels to use, or
            8-shot; all by default.
        preset: quick, strong, paper, reference, or the path of a TOML file.
        overrides: `section.key=value` of settings, such as `["pretrain.epochs=10"]`.
        protocol: of the split, grouped or image.
        seed: of everything random here.
        resume: go on from the last checkpoint of a killed run, exactly.
        stop_on_collapse: fail as soon as the method has collapsed.
        logger: tensorboard, mlflow, wandb, beside `history.csv`.
        quiet: show no progress.

    Returns:
        `encoder`, its file, and its facts: `method`, `seed`, `protocol`, `split_digest`, `store`.
        `brainssl.load_encoder` reads it.

    Raises:
        BadUseError: a name or a setting that there is not.
        BrainsslError: as `brainssl.training.pretrain.pretrain` says.
    """
    from brainssl.foundation.storage import refuse_existing
    from brainssl.hardware.device import announce
    from brainssl.models.architectures import laid_out
    from brainssl.training.pretrain import pretrain as run

    out, terminal = Path(out), Terminal(quiet=quiet)
    seed_of(seed)
    refuse_existing(out)
    known("--method", [method], method_names())
    loggers = logger_names(logger)
    data, settings, _ = open_data(
        Path(store), preset, overrides, terminal, protocol=protocol, seed=seed
    )
    announce(settings.run, terminal.say, laid_out(settings.encoder.name))
    with terminal.task(f"pretrain {method}") as progress:
        encoder = run(
            data.store,
            data.split,
            out,
            method=method,
            settings=settings,
            label_fraction=None if label_fraction is None else fraction(label_fraction),
            seed=seed,
            resume=resume,
            stop_on_collapse=stop_on_collapse,
            loggers=loggers,
            progress=progress,
            say=terminal.say,
        )
    file = out / "encoder.safetensors"
    return Answer({"encoder": str(file), **encoder.facts}, f"The encoder is {file}")


def probe(
    store: Where,
    encoder: Where,
    out: Where,
    *,
    label_fraction: float | str = 1.0,
    preset: Where = "quick",
    overrides: Names | None = None,
    protocol: str = "grouped",
    other_data: bool = False,
    seed: int = 0,
    quiet: bool = False,
) -> Rows:
    """Fit a linear classifier on an encoder that stays as it is, and measure it.

    Args:
        store: made by `prepare`.
        encoder: its file, or the folder of a pretraining.
        out: folder to make; must not exist.
        label_fraction: share of the training labels to use, 0.0001 to 1, or so many images of
            each class: 8-shot.
        preset: as for `pretrain`.
        overrides: as for `pretrain`.
        protocol: grouped or image; an encoder brings the split of its pretraining.
        other_data: the encoder was pretrained on other patients: you vouch.
        seed: of everything random here.
        quiet: show no progress.

    Returns:
        The rows of results of the training, validation and test set, as in `results.json`.

    Raises:
        BadUseError: a name, a setting or a share that cannot be.
        BrainsslError: `out` exists, store or encoder cannot be read, or they do not fit.
    """
    from brainssl.foundation.storage import refuse_existing
    from brainssl.hardware.device import device_of
    from brainssl.models.encoder import load_encoder
    from brainssl.training.stages import Features, probe_stage

    encoder, out, terminal = Path(encoder), Path(out), Terminal(quiet=quiet)
    seed_of(seed)
    refuse_existing(out)
    loaded = load_encoder(encoder)
    data, settings, _ = open_data(
        Path(store),
        preset,
        overrides,
        terminal,
        protocol=protocol,
        seed=seed,
        encoder=loaded,
        at=encoder,
        other_data=other_data,
    )
    with terminal.task("linear probe") as progress:
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
    return Rows(rows, out)


def finetune(
    store: Where,
    out: Where,
    *,
    encoder: Where | None = None,
    semi_supervised: str | None = None,
    label_fraction: float | str = 1.0,
    preset: Where = "quick",
    overrides: Names | None = None,
    protocol: str = "grouped",
    other_data: bool = False,
    logger: Names | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Rows:
    """Fine-tune a pretrained encoder, or train one from scratch, and measure it.

    Args:
        store: made by `prepare`.
        out: folder to make; a killed training goes on from its last checkpoint.
        encoder: its file, or the folder of a pretraining; without it: supervised.
        semi_supervised: `fixmatch`: without an encoder, learn from images without their labels too.
        label_fraction: as for `probe`.
        preset: as for `pretrain`.
        overrides: as for `pretrain`.
        protocol: as for `probe`.
        other_data: as for `probe`.
        logger: as for `pretrain`.
        seed: of everything random here.
        quiet: show no progress.

    Returns:
        As `probe` does.

    Raises:
        BadUseError: as `probe` does.
        BrainsslError: as `probe` does.
    """
    from brainssl.foundation.storage import refuse_existing
    from brainssl.hardware.device import announce
    from brainssl.models.encoder import build_encoder, load_encoder
    from brainssl.training.stages import finetune_stage

    encoder, out, terminal = path_or_none(encoder), Path(out), Terminal(quiet=quiet)
    seed_of(seed)
    refuse_existing(out)
    loggers, alone = logger_names(logger), "supervised"
    if semi_supervised is not None:
        (alone,) = known("--semi-supervised", [semi_supervised], semi_supervised_names())
        if encoder:
            raise BadUseError(
                f"--semi-supervised {alone}: it has no pretraining; leave out --encoder, or begin "
                "with --set encoder.weights=PATH"
            )
    loaded = load_encoder(encoder) if encoder else None
    data, settings, _ = open_data(
        Path(store),
        preset,
        overrides,
        terminal,
        protocol=protocol,
        seed=seed,
        encoder=loaded,
        at=encoder,
        other_data=other_data,
    )
    start = loaded or build_encoder(**settings.encoder.model_dump(), seed=seed)
    announce(settings.run, terminal.say, start)
    if start.start:
        terminal.say(str(start.start))
    method = loaded.facts.get("method", "unknown") if loaded else alone
    with terminal.task("fine-tuning" if loaded else f"{alone} training") as progress:
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
    return Rows(rows, out)


def evaluate(
    store: Where,
    classifier: Where,
    out: Where,
    *,
    preset: Where = "quick",
    overrides: Names | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Rows:
    """Measure a classifier again on the split that it was trained on.

    Args:
        store: made by `prepare`.
        classifier: folder of a probe or a fine-tuning.
        out: folder to make; must not exist.
        preset: as for `pretrain`.
        overrides: as for `pretrain`.
        seed: accepted everywhere; the draws of the intervals are fixed.
        quiet: show no progress.

    Returns:
        As `probe` does; `text` also says which subgroups of the test images are told apart, where
        the store has columns that make some (`subgroups.json` in `out`).

    Raises:
        BadUseError: a setting that there is not.
        BrainsslError: `out` exists, or the classifier was trained on another store or split.
    """
    from brainssl.data.dataset import Data
    from brainssl.data.split import Split
    from brainssl.data.store import ImageStore
    from brainssl.evaluation.subgroups import SUBGROUPS
    from brainssl.foundation.storage import read_json
    from brainssl.models.classifier import Classifier
    from brainssl.reporting.findings.subgroups import sentences
    from brainssl.training.stages import evaluate_stage

    store, classifier, out = Path(store), Path(classifier), Path(out)
    seed_of(seed)
    loaded = Classifier.load(classifier)
    opened = ImageStore.open(store)
    opened.require_size(loaded.image_size)
    settings, _ = settings_of(preset, overrides, store)
    data = Data(opened, Split.load(split_beside(classifier)))
    with Terminal(quiet=quiet).task("evaluate"):
        rows = evaluate_stage(data, loaded, out, settings=settings)
    file = out / SUBGROUPS
    told = read_json(file, "what evaluate measured") if file.is_file() else {}
    return Rows(rows, out, sentences(told))
