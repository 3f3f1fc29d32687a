"""The command line: one thin function a command.

Imports of heavy libraries stay inside the commands, so that `--help` answers at once.
"""

import json
import shlex
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brainssl import __version__
from brainssl.errors import BadUseError, BrainsslError
from brainssl.progress import Terminal

if TYPE_CHECKING:
    from brainssl.data.dataset import Data
    from brainssl.encoders import Encoder
    from brainssl.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Self-supervised learning for brain MRI classification, with results that can be "
    "believed.",
)

Source = Annotated[Path, typer.Argument(help="Folder of images, or a prepared store.")]
Store = Annotated[Path, typer.Argument(help="Store made by `brainssl prepare`.")]
Out = Annotated[Path, typer.Argument(help="Folder to make; must not exist.")]
Model = Annotated[Path, typer.Argument(help="Encoder or classifier, or the folder that holds it.")]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels", help="CSV `folder,label` or `path,label[,patient]`; empty: unlabelled."
    ),
]
Preset = Annotated[
    str, typer.Option("--preset", help="quick, paper, reference, or the path of a TOML file.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a setting, e.g. pretrain.epochs=10; repeats."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of everything random in this command.")]
NoSeed = Annotated[
    int,
    typer.Option("--seed", min=0, help="Accepted everywhere; the draws of this command are fixed."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Fraction = Annotated[
    float, typer.Option("--label-fraction", help="Share of the training labels to use.")
]
ProtocolOption = Annotated[
    str,
    typer.Option(
        "--protocol", help="grouped or image; an encoder brings the split of its pretraining."
    ),
]
LoggerNames = Annotated[
    str | None,
    typer.Option(
        "--logger", help="Comma-separated: tensorboard, mlflow, wandb; beside history.csv."
    ),
]
OtherData = Annotated[
    bool,
    typer.Option("--other-data", help="The encoder was pretrained on other patients: I vouch."),
]


def _teaching(command: Callable[..., None]) -> Callable[..., None]:
    """Turn BrainsslError into one line and exit 1; a traceback is for our faults alone."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except BrainsslError as error:
            typer.echo(f"brainssl: {error}", err=True)
            raise typer.Exit(2 if isinstance(error, BadUseError) else 1) from None
        except OSError as error:
            typer.echo(
                f"brainssl: {error.filename or 'input or output'}: {error.strerror}", err=True
            )
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("brainssl: interrupted; finished steps are kept", err=True)
            raise typer.Exit(130) from None

    return run


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"brainssl {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print and exit.")
    ] = False,
) -> None:
    pass


@app.command()
@_teaching
def phantom(
    out: Out,
    patients: Annotated[int, typer.Option(min=1, help="Simulated patients.")] = 130,
    size: Annotated[int, typer.Option(min=64, max=1024, help="Side in pixels.")] = 224,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Simulate brain MRI of patients with and without tumours, with masks of the lesions.

    Example: brainssl phantom data/phantom --patients 40 --size 96
    """
    from brainssl.phantom import simulate

    terminal = Terminal()
    with terminal.task("phantom") as progress:
        try:
            simulate(out, patients=patients, size=size, seed=seed, progress=progress)
        except ValueError as error:
            raise BrainsslError(str(error)) from None
    _answer({"phantom": str(out)}, f"Simulated patients are in {out}", as_json)


@app.command()
@_teaching
def audit(
    source: Annotated[Path, typer.Argument(help="Folder of images.")],
    labels: Labels = None,
    out: Annotated[Path, typer.Option(help="Folder of audit.json and audit.html.")] = Path("audit"),
    seed: NoSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Say what is in a collection, what is wrong with it, and what a random split would leak.

    Example: brainssl audit data/mri --labels labels.csv --out audit
    """
    from brainssl.data.audit import audit as run

    _refuse_store(source)
    with Terminal().task("audit") as progress:
        result = run(source, labels=labels, out=out, progress=progress)
    lines = [
        *(f"- {finding['text']}" for finding in result["findings"]),
        f"See {out / 'audit.html'}",
    ]
    _answer(result, "\n".join(lines), as_json)


@app.command()
@_teaching
def prepare(
    source: Annotated[Path, typer.Argument(help="Folder of images.")],
    store: Out,
    labels: Labels = None,
    size: Annotated[int, typer.Option(min=16, max=1024, help="Side in pixels.")] = 224,
    seed: NoSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Decode every image once into a store that all other commands read.

    Example: brainssl prepare data/mri stores/mri --size 96
    """
    from brainssl.data.scan import scan
    from brainssl.data.store import prepare as run
    from brainssl.storage import refuse_existing

    _refuse_store(source)
    refuse_existing(store)
    terminal = Terminal()
    with terminal.task("scan") as progress:
        found = scan(source, labels=labels, progress=progress)
    for path, reason in found.unreadable:
        terminal.say(f"left out {path}: {reason}")
    with terminal.task("prepare") as progress:
        made = run(found, store, size=size, progress=progress)
    facts = {
        "store": str(store),
        "images": len(made.images),
        "classes": len(made.classes),
        "groups": int(made.manifest["group"].nunique()),
        "unreadable": len(found.unreadable),
        "checksum": made.checksum,
    }
    said = "{images} images, {classes} classes, {groups} groups in {store}".format(**facts)
    _answer(facts, said, as_json)


@app.command()
@_teaching
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
        bool, typer.Option("--resume", help="Go on from the last epoch of a killed run, exactly.")
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
    _known("--method", [method], _methods())
    loggers = _loggers(logger)
    data, settings = _open(store, preset, overrides, protocol=protocol, seed=seed)
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
    _answer({"encoder": str(file), **encoder.facts}, f"The encoder is {file}", as_json)


@app.command()
@_teaching
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
    data, settings = _open(
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
            label_fraction=_fraction(label_fraction),
            seed=seed,
            progress=progress,
        )
    _answer(rows, _table(rows, out), as_json)


@app.command()
@_teaching
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
    loggers = _loggers(logger)
    loaded = load_encoder(encoder) if encoder else None
    data, settings = _open(
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
            label_fraction=_fraction(label_fraction),
            seed=seed,
            progress=progress,
            loggers=loggers,
        )
    _answer(rows, _table(rows, out), as_json)


@app.command()
@_teaching
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
    settings, _ = _settings(preset, overrides, store)
    data = Data(opened, Split.load(_beside(classifier)))
    with Terminal().task("evaluate"):
        rows = evaluate_stage(data, loaded, out, settings=settings)
    _answer(rows, _table(rows, out), as_json)


@app.command()
@_teaching
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

    settings, reasons = _settings(preset, overrides, source)
    plan = Plan(
        source=source,
        labels=labels,
        methods=_known("--methods", methods.split(","), _methods()),
        protocols=_known("--protocols", protocols.split(","), PROTOCOLS),  # type: ignore[arg-type]
        label_fractions=_fractions(label_fractions),
        seeds=seeds,
        seed=seed,
        preset=preset,
        settings=settings,
        reasons=reasons,
        command=shlex.join(["brainssl", *sys.argv[1:]]),
        loggers=_loggers(logger),
    )
    if dry_run:
        foreseen = estimate(plan, out, jobs=jobs)
        _answer(foreseen.facts(), foreseen.text(), as_json)
        return
    made = Study(plan, out, Terminal())
    report = made.run(workers(plan, out, jobs) if jobs > 1 else None)
    said = [f"{len(made.failed)} steps failed; see the report."] if made.failed else []
    said += [f"Results: {out / 'results.json'}", f"Report:  {report}"]
    answer = {"report": str(report), "results": str(out / "results.json"), "failed": made.failed}
    _answer(answer, "\n".join(said), as_json)
    if made.failed:
        raise typer.Exit(1)


@app.command()
@_teaching
def predict(
    classifier: Annotated[Path, typer.Argument(help="Classifier, or the folder that holds it.")],
    files: Annotated[list[Path], typer.Argument(help="Images.")],
    out: Annotated[Path | None, typer.Option(help="JSON file to write; default: print.")] = None,
    seed: NoSeed = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the JSON, with --out as well.")
    ] = False,
) -> None:
    """Classify images. A file that cannot be read is listed with its reason; exit is then 1.

    Example: brainssl predict runs/tuned slice.png other.jpg --out predictions.json
    """
    from brainssl.prediction import predict_files
    from brainssl.storage import write_json

    answer = predict_files(classifier, files)
    if out:
        write_json(out, answer)
    if as_json or not out:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    if any("error" in row for row in answer["predictions"]):
        raise typer.Exit(1)


@app.command()
@_teaching
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
    from brainssl.classifier import device_of, load_model
    from brainssl.data.store import ImageStore
    from brainssl.embedding import embed as run
    from brainssl.settings import Settings
    from brainssl.storage import refuse_existing

    refuse_existing(out)
    model = load_model(encoder).to(device_of(Settings().run))
    with Terminal().task("embed") as progress:
        facts = run(ImageStore.open(store), model, out, progress=progress)
    said = "{images} images, {dim} features each, in {file}".format(**facts, file=out)
    _answer({"features": str(out), **facts}, said, as_json)


@app.command()
@_teaching
def export(
    model: Model,
    out: Annotated[Path, typer.Argument(help="ONNX file to make; must not exist.")],
    seed: NoSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Write an encoder or a classifier as ONNX, checked against PyTorch; needs brainssl[onnx].

    Example: brainssl export runs/tuned classifier.onnx
    """
    from brainssl.classifier import load_model
    from brainssl.export import export_onnx
    from brainssl.storage import refuse_existing

    refuse_existing(out)
    with Terminal().task("export"):
        facts = export_onnx(load_model(model), out)
    said = "{kind} {name} in {file}; largest difference from PyTorch {difference:.1g}".format(
        **facts, file=out
    )
    _answer({"onnx": str(out), **facts}, said, as_json)


def _refuse_store(source: Path) -> None:
    from brainssl.data.store import is_store

    if is_store(source):
        raise BrainsslError(f"{source} is a prepared store: give the folder of images behind it")


def _answer(result: Any, said: str, as_json: bool) -> None:
    text = json.dumps(result, indent=2, ensure_ascii=False) if as_json else said
    typer.echo(text)


def _table(rows: list[dict[str, Any]], out: Path) -> str:
    lines = [f"{'split':6} {'n':>6}  accuracy  [95 % interval]   macro F1"]
    for row in rows:
        low, high = row["intervals"]["accuracy"] or (float("nan"),) * 2
        lines.append(
            f"{row['split']:6} {row['n']:>6}  {row['metrics']['accuracy']:8.3f}  "
            f"[{low:.3f}, {high:.3f}]  {row['metrics']['f1_macro']:8.3f}"
        )
    return "\n".join([*lines, f"Classifier, predictions and history are in {out}"])


def _methods() -> tuple[str, ...]:
    from brainssl.methods import METHODS

    return tuple(METHODS)


def _known(option: str, asked: list[str], known: tuple[str, ...]) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(name.strip() for name in asked))
    for name in wanted:
        if name not in known:
            raise BadUseError(f"{option}: {name!r} is none of {', '.join(known)}")
    return wanted


def _loggers(text: str | None) -> tuple[str, ...]:
    """Check names of loggers, and that their packages are there, before any work begins."""
    if not text:
        return ()
    from brainssl.extras import require
    from brainssl.training.loggers import LOGGERS

    names = _known("--logger", text.split(","), LOGGERS)
    for name in names:
        require(name)
    return names


def _fractions(text: str) -> tuple[float, ...]:
    try:
        fractions = sorted({_fraction(float(part)) for part in text.split(",")})
    except ValueError:
        raise BadUseError(f"--label-fractions: {text!r} are no shares such as 0.1,1.0") from None
    return tuple(fractions)


def _fraction(value: float) -> float:
    """Check a label fraction; four digits are enough, and name the folders of steps."""
    if not 0.0001 <= value <= 1:
        raise BadUseError(f"a label fraction is from 0.0001 to 1, not {value:g}")
    return round(value, 4)


def _settings(
    preset: str, overrides: list[str] | None, source: Path
) -> "tuple[Settings, dict[str, str]]":
    """Load settings; a prepared store decides the image size unless it is set by hand."""
    from brainssl.data.store import is_store
    from brainssl.settings import load_settings
    from brainssl.storage import read_json

    settings, reasons = load_settings(preset, overrides)
    if is_store(source) and reasons["encoder.image_size"] != "set by hand":
        size = read_json(source / "store.json", "the facts of an ImageStore")["size"]
        settings = settings.with_image_size(size)
        reasons["encoder.image_size"] = f"{source} holds images of {size} px"
    return settings, reasons


def _open(
    path: Path,
    preset: str,
    overrides: list[str] | None,
    *,
    protocol: str,
    seed: int,
    encoder: "Encoder | None" = None,
    at: Path | None = None,
    other_data: bool = False,
) -> "tuple[Data, Settings]":
    """Open a store with its split: the one that lies beside the encoder at `at`, else a new one."""
    from brainssl.data.dataset import Data
    from brainssl.data.split import Split, make_split
    from brainssl.data.store import ImageStore

    # `paper` balances the store before it splits, which only a study does.
    _known("--protocol", [protocol], ("grouped", "image"))
    store = ImageStore.open(path)
    settings, reasons = _settings(preset, overrides, path)
    Terminal().say(f"images of {store.size} px: {reasons['encoder.image_size']}")
    if encoder:
        settings = settings.with_encoder(encoder.name, encoder.image_size)
    store.require_size(settings.encoder.image_size)
    beside = _beside(at) if at and not other_data else None
    if beside and beside.is_file():
        split = Split.load(beside)
    else:
        chosen = settings.split.model_dump()
        split = make_split(store.manifest, protocol=protocol, seed=seed, **chosen)  # type: ignore[arg-type]
    data = Data(store, split)
    if encoder and not other_data:
        data.refuse_seen(encoder.facts)
    return data, settings


def _beside(model: Path) -> Path:
    """Return where the split of a model lies."""
    return (model if model.is_dir() else model.parent) / "split.json"
