"""Commands that use a trained model: predict, embed, export."""

import json
from pathlib import Path
from typing import Annotated

import typer

from brainssl.commands.shared import (
    AsJson,
    Model,
    NoSeed,
    Store,
    teaching,
    tell,
)
from brainssl.progress import Terminal


@teaching
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
    tell({"features": str(out), **facts}, said, as_json)


@teaching
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
    tell({"onnx": str(out), **facts}, said, as_json)
