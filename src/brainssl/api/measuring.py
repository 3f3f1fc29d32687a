"""Functions that measure a trained model: external, explain."""

from pathlib import Path

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
from brainssl.foundation.progress import Terminal


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
