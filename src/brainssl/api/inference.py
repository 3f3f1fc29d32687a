"""Functions that use a trained model: external, explain, predict, embed, export."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainssl.api.answers import Answer
from brainssl.api.options import (
    Names,
    Where,
    known,
    level_of,
    listed,
    outside,
    path_or_none,
    reading_of,
    seed_of,
    split_beside,
    within,
)
from brainssl.foundation.errors import BadUseError
from brainssl.foundation.progress import Terminal

if TYPE_CHECKING:
    from brainssl.data.store import ImageStore
    from brainssl.models.classifier import Classifier
    from brainssl.models.encoder import Encoder


def external(
    classifier: Where,
    source: Where,
    out: Where,
    *,
    labels: Where | None = None,
    classes_at: int | None = None,
    slices: str | int | None = None,
    plane: str | None = None,
    label_by: str | None = None,
    lesion_slices: bool = False,
    key: Where | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Answer:
    """Measure a classifier on another collection, and say how much of its score it keeps.

    Args:
        classifier: folder of a probe or a fine-tuning.
        source: folder of images, archive of volumes, or a prepared store.
        out: folder to make; must not exist.
        labels: CSV `folder,label` or `path,label[,patient]`, of an archive `patient,label`,
            `study,label` or `series,label`, that names classes or families.
        classes_at: level of the classes among the folders, from 1; by default it is found.
        slices: of a volume so many at most, or `every:N`; by default all with brain.
        plane: of volumes: `native`, or resampled to `axial`, `coronal` or `sagittal`; by default
            that of the classifier's training.
        label_by: of volumes: `sequence` or `plane` is the label.
        lesion_slices: whether slices that a mask shows without lesion lose their label.
        key: file by which patients of a DICOM archive get their pseudonyms; by default `OUT.key`.
        seed: accepted everywhere; the draws of the intervals are fixed.
        quiet: show no progress.

    Returns:
        What `brainssl.inference.external.evaluate_external` describes: `row` of results, and
        `drop` from the classifier's own test set. A notebook shows `external.html`.

    Raises:
        BrainsslError: labels that are not the classifier's, no labelled image, images of another
            size, or `out` exists.
    """
    from brainssl.api.summaries import external_text
    from brainssl.data.archives.opening import telling_of_key
    from brainssl.inference.external import PAGE, evaluate_external
    from brainssl.reporting.documents.external_page import render_external

    classifier, source, out = Path(classifier), Path(source), Path(out)
    outside(out, source)
    seed_of(seed)
    reading = reading_of(
        source,
        out,
        slices=slices,
        plane=plane,
        label_by=label_by,
        lesion_slices=lesion_slices,
        key=key,
    )
    terminal = Terminal(quiet=quiet)
    with telling_of_key(reading.key, terminal.say), terminal.task("external") as progress:
        told = evaluate_external(
            classifier,
            source,
            out,
            labels=path_or_none(labels),
            classes_at=level_of(classes_at),
            reading=reading,
            as_learnt=plane is None,
            page=render_external,
            progress=progress,
        )
    return Answer(told, external_text(told, out), out / PAGE)


def explain(
    store: Where,
    classifier: Where,
    out: Where,
    *,
    lesions: Where | None = None,
    maps: Names | None = None,
    images: int = 100,
    layer: str | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Answer:
    """Show where a classifier looks on test slices, and measure how far that can be trusted.

    Args:
        store: made by `prepare`.
        classifier: folder of a probe or a fine-tuning.
        out: folder to make; must not exist.
        lesions: folder of masks, COCO JSON, or folder of YOLO text.
        maps: names of `brainssl.explanation.cam.MAPS`; by default `gradcam,gradcampp,eigencam`, and
            of a transformer `gradcam,eigencam,rollout`.
        images: test slices at most.
        layer: dotted name of a module of the encoder; by default its last feature map, and of a
            transformer the patch tokens before its last attention.
        seed: of the choice of slices.
        quiet: show no progress.

    Returns:
        What `brainssl.explanation.folder.explain_classifier` describes. A notebook shows the
        gallery.

    Raises:
        BadUseError: a map that there is not, or a number out of its range.
        BrainsslError: the classifier was trained on another store or split, the encoder has no
            feature map, the lesions cannot be read, or `out` exists.
    """
    from brainssl.data.dataset import Data
    from brainssl.data.split import Split
    from brainssl.data.store import ImageStore
    from brainssl.explanation.cam import MAPS
    from brainssl.explanation.folder import Request, explain_classifier
    from brainssl.explanation.measure import How
    from brainssl.hardware.device import device_of
    from brainssl.models.classifier import Classifier
    from brainssl.reporting.documents.gallery import render_gallery
    from brainssl.reporting.tables.scorecards import verdict
    from brainssl.settings import Settings

    classifier, out = Path(classifier), Path(out)
    within("--images", images, 1)
    seed_of(seed)
    kinds = () if maps is None else tuple(known("--maps", listed(maps), tuple(MAPS)))
    how = How(kinds=kinds, layer=layer)
    loaded = Classifier.load(classifier).to(device_of(Settings().run))
    opened = ImageStore.open(Path(store))
    opened.require_size(loaded.image_size)
    data = Data(opened, Split.load(split_beside(classifier)))
    request = Request(images=images, lesions=path_or_none(lesions), how=how, seed=seed)
    with Terminal(quiet=quiet).task("explain") as progress:
        told = explain_classifier(
            data, loaded, out, request, page=render_gallery, progress=progress
        )
    page = out / "explanations.html"
    return Answer(told, "\n".join([*verdict(told["scores"]), f"Gallery: {page}"]), page)


def predict(
    classifier: Where,
    files: Where | Sequence[Where],
    *,
    patients: Where | None = None,
    level: float = 0.9,
    neighbours: int = 3,
    maps: bool = False,
    maps_as: str = "png",
    slices: str | int | None = None,
    plane: str | None = None,
    key: Where | None = None,
    out: Where | None = None,
    seed: int = 0,
) -> Answer:
    """Classify images, series and patients.

    It says how sure that is and whether they are familiar. A file that cannot be read is listed
    with its reason. `brainssl.saliency_map` shows where the classifier looks.

    Args:
        classifier: its file, or the folder that holds it.
        files: pictures, volumes (DICOM, NIfTI, figshare's MATLAB), folders and archives of either,
            and patterns such as `scans/*.png`; or one.
        patients: CSV `path,patient[,sequence]`; or `folders`: the first folder below each one that
            is given is a patient; by default `patients.csv` in the folders, or folders that are
            named as patients are.
        level: how often a set of classes is to hold the true one: 0.8, 0.9 or 0.95.
        neighbours: how many of the nearest known cases are told.
        maps: draw saliency maps, into a folder beside `out` whose name ends in `-maps`.
        maps_as: `png`, or `dicom`, for a hospital's viewer: of DICOM series alone, with the names
            of their patients; see `brainssl.inference.dicom_series`.
        slices: of a volume so many at most, evenly over those with brain, or `every:N`; by default
            all.
        plane: of volumes: `native`, or resampled to `axial`, `coronal` or `sagittal`; by default
            that of the classifier's training.
        key: file of the key by which patients of DICOM files get their pseudonyms, as `prepare`
            made it; by default one that is forgotten.
        out: file to write: what is returned as JSON; where its name ends in `.jsonl` one line a
            file; or in `.csv` a table, with `-patients` and `-series` in the names of two more
            where patients are known; where they are not, those of an earlier answer are removed.
        seed: accepted everywhere; nothing is drawn here.

    Returns:
        `classifier` (facts of its training), `classes`, `limits`, `lacks`, `patients_from`,
        `rules`, `patients` and `series`, `excluded`, `predictions`: per file, in order, `file`,
        then `label`, `probability`, `probabilities` by class, `set`, `familiar`, `neighbours` and
        others, or `error`; and `notes`; see `brainssl.inference.predict.predict_files`.

    Raises:
        BadUseError: with `folders`, two folders of one name; `out` would write over `patients`;
            a level that there is not; maps without `out`; maps as DICOM of files of another kind,
            or without `maps`; or a pattern that nothing matches.
        BrainsslError: there is no such classifier, no image in a folder, or a table that does not
            fit.
    """
    from brainssl.api.summaries import predictions_text
    from brainssl.data.volumes.choice import read_choice
    from brainssl.data.volumes.slices import PLANES
    from brainssl.inference.maps import MAPS_AS
    from brainssl.inference.names import expanded
    from brainssl.inference.predict import Asked, predict_files
    from brainssl.inference.tables import FORMS, maps_beside, refuse_overwriting, write_answer
    from brainssl.inference.volumes import Cutting

    seed_of(seed)
    within("--neighbours", neighbours, 0)
    table, file = path_or_none(patients), path_or_none(out)
    if maps and file is None:
        raise BadUseError("--maps needs --out FILE: maps are drawn into a folder beside that file")
    drawn_as = known("--maps-as", [maps_as], MAPS_AS)[0]
    if not maps and drawn_as != "png":
        raise BadUseError(f"--maps-as {drawn_as} says how maps are written: give --maps, too")
    if file and file.suffix.lower() not in FORMS:
        raise BadUseError(f"--out {file}: end its name in {', '.join(FORMS)}")
    if file and table:
        refuse_overwriting(file, table)
    own_plane = None if plane is None else known("--plane", [plane], PLANES)[0]
    cutting = Cutting(read_choice(slices), own_plane, path_or_none(key))  # type: ignore[arg-type]
    answer = predict_files(
        Path(classifier),
        expanded([files] if isinstance(files, str | Path) else files),
        patients=table,
        asked=Asked(
            level,
            neighbours,
            maps_beside(file) if maps and file else None,
            drawn_as,  # type: ignore[arg-type]
            cutting,
        ),
    )
    if file:
        write_answer(answer, file)
    return Answer(answer, predictions_text(answer))


def embed(
    store: "Where | ImageStore",
    encoder: "Where | Encoder | Classifier",
    out: Where,
    *,
    seed: int = 0,
    quiet: bool = False,
) -> Answer:
    """Write the features of every image of a store, with its id, as a Parquet file.

    Args:
        store: made by `prepare`; its folder, or opened.
        encoder: an encoder, or a classifier, whose encoder is meant; where it is, or loaded.
        out: Parquet file to make; must not exist. `brainssl.inference.embed.embed` tells its
            columns.
        seed: accepted everywhere; nothing is drawn here.
        quiet: show no progress.

    Returns:
        `features`, the file, and what its metadata say, such as `images` and `dim`.

    Raises:
        BrainsslError: `out` exists, the images have another size, or a feature is not finite.
    """
    from brainssl.data.store import ImageStore
    from brainssl.foundation.storage import refuse_existing
    from brainssl.hardware.device import device_of
    from brainssl.inference.embed import embed as run
    from brainssl.models.classifier import load_model
    from brainssl.settings import Settings

    out = Path(out)
    seed_of(seed)
    refuse_existing(out)
    model = load_model(Path(encoder)) if isinstance(encoder, str | Path) else encoder
    model = model.to(device_of(Settings().run))
    opened = store if isinstance(store, ImageStore) else ImageStore.open(Path(store))
    with Terminal(quiet=quiet).task("embed") as progress:
        facts = run(opened, model, out, progress=progress)
    said = "{images} images, {dim} features each, in {file}".format(**facts, file=out)
    return Answer({"features": str(out), **facts}, said)


def export(
    model: "Where | Encoder | Classifier",
    out: Where | None = None,
    *,
    hub: Where | None = None,
    monai: Where | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Answer:
    """Write a model as ONNX, as a folder in the layout of timm's hub, or as a MONAI bundle.

    Nothing is uploaded. Of a study's recommended classifier the folders hold its model card, and
    what `study.toml` says; of other models what their files say.

    Args:
        model: an encoder or a classifier; where it is, or loaded.
        out: ONNX file to make, checked against PyTorch; needs brainssl[onnx]; must not exist.
        hub: folder to make that `timm.create_model("local-dir:FOLDER")` opens; must not exist.
        monai: folder to make, a MONAI bundle of a classifier; must not exist.
        seed: accepted everywhere; the draws of the check are fixed.
        quiet: show no progress.

    Returns:
        `onnx`, the file, and what `brainssl.export_onnx` returns; `hub` and `monai`, the folders.

    Raises:
        BadUseError: nothing to make was named.
        BrainsslError: what is to be made exists; of `out` as `brainssl.export_onnx` says, of the
            folders as `brainssl.inference.hub` and `brainssl.inference.monai_bundle` say.
    """
    from brainssl.foundation.storage import refuse_existing
    from brainssl.models.classifier import load_model
    from brainssl.reporting.documents.card_of_model import about_of, card_of

    seed_of(seed)
    files = {name: path_or_none(given) for name, given in (("onnx", out), ("hub", hub))}
    files["monai"] = path_or_none(monai)
    made = {name: path for name, path in files.items() if path is not None}
    if not made:
        raise BadUseError("export: name what to make: a file for ONNX, --hub or --monai a folder")
    for path in made.values():
        refuse_existing(path)
    where = Path(model) if isinstance(model, str | Path) else None
    facts: dict[str, Any] = {name: str(path) for name, path in made.items()}
    said = []
    with Terminal(quiet=quiet).task("export"):
        loaded = load_model(where) if where else model
        assert not isinstance(loaded, str | Path)
        if "onnx" in made:
            from brainssl.inference.export import export_onnx

            facts |= export_onnx(loaded, made["onnx"])
            said.append(
                "{kind} {name} in {onnx}; largest difference from PyTorch {difference:.1g}".format(
                    **facts
                )
            )
        if "hub" in made:
            from brainssl.inference.hub import export_hub

            config = export_hub(loaded, made["hub"], card=card_of(loaded, where))
            said.append(f"timm's {config['architecture']} in {made['hub']}")
        if "monai" in made:
            from brainssl.inference.monai_bundle import export_monai

            told = about_of(where).model_dump()
            export_monai(loaded, made["monai"], card=card_of(loaded, where), about=told)
            said.append(f"MONAI bundle in {made['monai']}")
    return Answer(facts, "\n".join(said))
