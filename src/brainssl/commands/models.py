"""Commands that use a trained model: external, explain, predict, embed, export."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from brainssl.commands.shared import (
    AsJson,
    Labels,
    Lesions,
    Model,
    NoSeed,
    Out,
    Seed,
    Source,
    Store,
    known,
    split_beside,
    teaching,
    tell,
)
from brainssl.progress import Terminal


@teaching
def external(
    classifier: Annotated[Path, typer.Argument(help="Folder of a probe or a fine-tuning.")],
    source: Source,
    out: Out,
    labels: Labels = None,
    seed: NoSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure a classifier on another collection, and say how much of its score it keeps.

    Example: brainssl external runs/tuned data/other runs/other --labels other.csv
    """
    from brainssl.external import evaluate_external

    with Terminal().task("external") as progress:
        told = evaluate_external(classifier, source, out, labels=labels, progress=progress)
    tell(told, _external_text(told, out), as_json)


@teaching
def explain(
    store: Store,
    classifier: Annotated[Path, typer.Argument(help="Folder of a probe or a fine-tuning.")],
    out: Out,
    lesions: Lesions = None,
    maps: Annotated[
        str, typer.Option(help="Comma-separated: gradcam, gradcampp, eigencam, layercam.")
    ] = "gradcam,gradcampp,eigencam",
    images: Annotated[int, typer.Option(min=1, help="Test slices at most.")] = 100,
    layer: Annotated[
        str | None, typer.Option(help="Module of the encoder; default: the last feature map.")
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Show where a classifier looks on test slices, and measure how far that can be trusted.

    Example: brainssl explain stores/mri runs/tuned runs/explained --lesions data/mri/masks
    """
    from brainssl.classifier import Classifier, device_of
    from brainssl.data.dataset import Data
    from brainssl.data.split import Split
    from brainssl.data.store import ImageStore
    from brainssl.explaining import Request, explain_classifier
    from brainssl.explanation.cam import MAPS
    from brainssl.explanation.measure import How
    from brainssl.reporting.scorecards import verdict
    from brainssl.settings import Settings

    how = How(kinds=known("--maps", maps.split(","), tuple(MAPS)), layer=layer)
    loaded = Classifier.load(classifier).to(device_of(Settings().run))
    opened = ImageStore.open(store)
    opened.require_size(loaded.image_size)
    data = Data(opened, Split.load(split_beside(classifier)))
    request = Request(images=images, lesions=lesions, how=how, seed=seed)
    with Terminal().task("explain") as progress:
        told = explain_classifier(data, loaded, out, request, progress=progress)
    page = out / "explanations.html"
    tell(told, "\n".join([*verdict(told["scores"]), f"Gallery: {page}"]), as_json)


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


def _external_text(told: dict[str, Any], out: Path) -> str:
    metrics, drop = told["row"]["metrics"], told["drop"]
    what = {"class": "classes", "family": "families", "sequence": "sequences"}[told["labels"]]
    lines = [
        f"{told['images']} images of {told['groups']} groups, {what}: accuracy "
        f"{metrics['accuracy']:.3f}, balanced {metrics['balanced_accuracy']:.3f}"
    ]
    if drop and drop["interval"]:
        low, high = drop["interval"]
        lines.append(
            f"On its own test images of the same {what} it has {drop['own']:.3f}: a drop of "
            f"{drop['difference']:.3f} [{low:.3f}, {high:.3f}]"
        )
    return "\n".join([*lines, f"Predictions and figures are in {out}"])
