"""What the commands share: their options, and how they answer and fail."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from brainssl.api import Answer, Rows
from brainssl.foundation.errors import BadUseError, BrainsslError, line_of

Source = Annotated[
    Path, typer.Argument(help="Folder of images, archive of volumes, or a prepared store.")
]
Store = Annotated[Path, typer.Argument(help="Store made by `brainssl prepare`.")]
Out = Annotated[Path, typer.Argument(help="Folder to make; must not exist.")]
Model = Annotated[Path, typer.Argument(help="Encoder or classifier, or the folder that holds it.")]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        help="CSV `folder,label` or `path,label[,patient]`, of volumes `patient,label`, "
        "`study,label` or `series,label`; empty: unlabelled.",
    ),
]
ClassesAt = Annotated[
    int | None,
    typer.Option(
        "--classes-at", min=1, help="Level of the classes among the folders; by default found."
    ),
]
FamiliesTable = Annotated[
    Path | None,
    typer.Option(
        "--families", help="CSV `label,family,sequence`: what each class is; default: by its name."
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns", help="Comma-separated: further columns of the tables to keep, e.g. site."
    ),
]
ExtraFolders = Annotated[
    list[Path] | None,
    typer.Option(
        "--unlabelled",
        help="Folder of more images, for pretraining alone; repeats. Labels in it are not used.",
    ),
]
Slices = Annotated[
    str | None,
    typer.Option(
        "--slices",
        help="Of a volume: so many, evenly over those with brain, or every:N; by default all.",
    ),
]
PlaneOption = Annotated[
    str,
    typer.Option("--plane", help="Of volumes: native, or resampled to axial, coronal, sagittal."),
]
LearntPlane = Annotated[
    str | None,
    typer.Option(
        "--plane",
        help="Of volumes: native, axial, coronal, sagittal; by default what the classifier learnt.",
    ),
]
LabelBy = Annotated[
    str | None,
    typer.Option("--label-by", help="Of volumes: sequence or plane is the label."),
]
LesionSlices = Annotated[
    bool,
    typer.Option(
        "--lesion-slices", help="Slices that a mask shows without lesion lose their label."
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(
        "--key", help="Of the pseudonyms of a DICOM archive; made once; by default OUT.key."
    ),
]
FieldOfView = Annotated[
    float | None,
    typer.Option(
        "--field-of-view",
        metavar="MM",
        help="Of volumes: square about the head that is seen of each slice; by default all of it.",
    ),
]
Bits = Annotated[
    int, typer.Option("--bits", help="Of a stored pixel: 8, or 16 at twice the disk and memory.")
]
KnownKey = Annotated[
    Path | None,
    typer.Option(
        "--key", help="Of the pseudonyms of a DICOM archive, as prepare or predict made it."
    ),
]
Lesions = Annotated[
    Path | None,
    typer.Option(
        "--lesions", help="Where lesions are: folder of masks, COCO JSON, or folder of YOLO text."
    ),
]
Preset = Annotated[
    str,
    typer.Option("--preset", help="quick, strong, paper, reference, or the path of a TOML file."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a setting, e.g. pretrain.epochs=10; repeats."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of everything random in this command.")]
Host = Annotated[
    str,
    typer.Option("--host", help="Name or address to bind; one that others see needs a token."),
]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")]
Token = Annotated[
    str | None,
    typer.Option(
        "--token", help="That every request must carry; better in the variable BRAINSSL_TOKEN."
    ),
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host", help="Further name that it is asked by, such as a proxy's; repeats."
    ),
]
NoSeed = Annotated[
    int,
    typer.Option("--seed", min=0, help="Accepted everywhere; the draws of this command are fixed."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Fraction = Annotated[
    str,
    typer.Option(
        "--label-fraction", help="Share of the training labels to use, or 8-shot: of each class."
    ),
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


class EndedError(KeyboardInterrupt):
    """SIGTERM came: all ends as it does by Ctrl-C."""


def teaching(command: Callable[..., None]) -> Callable[..., None]:
    """Turn BrainsslError into one line and exit 1; a traceback is for our faults alone."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            with _ended_by_sigterm():
                command(*args, **kwargs)
        except BrainsslError as error:
            typer.echo(f"brainssl: {error}", err=True)
            raise typer.Exit(2 if isinstance(error, BadUseError) else 1) from None
        except OSError as error:
            typer.echo(f"brainssl: {line_of(error)}", err=True)
            raise typer.Exit(1) from None
        except UnicodeEncodeError as error:
            near = str(error.object)[max(0, error.start - 80) : error.end + 40]
            name = near.encode("utf-8", "backslashreplace").decode()
            typer.echo(f"brainssl: {name}: a name in it is not valid UTF-8; rename it", err=True)
            raise typer.Exit(1) from None
        except EndedError:
            typer.echo("brainssl: ended by SIGTERM; finished steps are kept", err=True)
            raise typer.Exit(128 + signal.SIGTERM) from None
        except KeyboardInterrupt:
            typer.echo("brainssl: interrupted; finished steps are kept", err=True)
            raise typer.Exit(130) from None

    return run


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM, by which batch systems end what took too long, raise an error in the block."""

    def end(*_: object) -> None:
        raise EndedError

    alone = threading.current_thread() is threading.main_thread()
    if not alone or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def tell(answer: Answer | Rows, as_json: bool) -> None:
    """Print the answer, in words or as JSON."""
    typer.echo(written(answer) if as_json else answer.text)


def written(facts: Any) -> str:
    """Return facts as JSON."""
    return json.dumps(facts, indent=2, ensure_ascii=False)
