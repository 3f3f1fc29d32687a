"""What the commands share: their options, and how they open data, answer and fail.

Imports of heavy libraries stay inside the functions, so that `--help` answers at once.
"""

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brainssl.errors import BadUseError, BrainsslError
from brainssl.progress import Terminal

if TYPE_CHECKING:
    from brainssl.data.dataset import Data
    from brainssl.encoders import Encoder
    from brainssl.settings import Settings

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
Lesions = Annotated[
    Path | None,
    typer.Option(
        "--lesions", help="Where lesions are: folder of masks, COCO JSON, or folder of YOLO text."
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


def teaching(command: Callable[..., None]) -> Callable[..., None]:
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


def refuse_store(source: Path) -> None:
    """Refuse a prepared store where only a folder of images will do."""
    from brainssl.data.store import is_store

    if is_store(source):
        raise BrainsslError(f"{source} is a prepared store: give the folder of images behind it")


def tell(result: Any, said: str, as_json: bool) -> None:
    """Print the answer, in words or as JSON."""
    text = json.dumps(result, indent=2, ensure_ascii=False) if as_json else said
    typer.echo(text)


def table(rows: list[dict[str, Any]], out: Path) -> str:
    """Return rows of results as a few lines of text."""
    lines = [f"{'split':6} {'n':>6}  accuracy  [95 % interval]   macro F1"]
    for row in rows:
        low, high = row["intervals"]["accuracy"] or (float("nan"),) * 2
        lines.append(
            f"{row['split']:6} {row['n']:>6}  {row['metrics']['accuracy']:8.3f}  "
            f"[{low:.3f}, {high:.3f}]  {row['metrics']['f1_macro']:8.3f}"
        )
    return "\n".join([*lines, f"Classifier, predictions and history are in {out}"])


def method_names() -> tuple[str, ...]:
    """Return the names of the self-supervised methods."""
    from brainssl.methods import METHODS

    return tuple(METHODS)


def known(option: str, asked: list[str], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that were asked for, once each; refuse one that is not known."""
    wanted = tuple(dict.fromkeys(name.strip() for name in asked))
    for name in wanted:
        if name not in names:
            raise BadUseError(f"{option}: {name!r} is none of {', '.join(names)}")
    return wanted


def logger_names(text: str | None) -> tuple[str, ...]:
    """Check names of loggers, and that their packages are there, before any work begins."""
    if not text:
        return ()
    from brainssl.extras import require
    from brainssl.training.loggers import LOGGERS

    names = known("--logger", text.split(","), LOGGERS)
    for name in names:
        require(name)
    return names


def fractions(text: str) -> tuple[float, ...]:
    """Read label fractions, comma-separated."""
    try:
        fractions = sorted({fraction(float(part)) for part in text.split(",")})
    except ValueError:
        raise BadUseError(f"--label-fractions: {text!r} are no shares such as 0.1,1.0") from None
    return tuple(fractions)


def fraction(value: float) -> float:
    """Check a label fraction; four digits are enough, and name the folders of steps."""
    if not 0.0001 <= value <= 1:
        raise BadUseError(f"a label fraction is from 0.0001 to 1, not {value:g}")
    return round(value, 4)


def settings_of(
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


def open_data(
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
    known("--protocol", [protocol], ("grouped", "image"))
    store = ImageStore.open(path)
    settings, reasons = settings_of(preset, overrides, path)
    Terminal().say(f"images of {store.size} px: {reasons['encoder.image_size']}")
    if encoder:
        settings = settings.with_encoder(encoder.name, encoder.image_size)
    store.require_size(settings.encoder.image_size)
    file = split_beside(at) if at and not other_data else None
    if file and file.is_file():
        split = Split.load(file)
    else:
        chosen = settings.split.model_dump()
        split = make_split(store.manifest, protocol=protocol, seed=seed, **chosen)  # type: ignore[arg-type]
    data = Data(store, split)
    if encoder and not other_data:
        data.refuse_seen(encoder.facts)
    return data, settings


def split_beside(model: Path) -> Path:
    """Return where the split of a model lies."""
    return (model if model.is_dir() else model.parent) / "split.json"
