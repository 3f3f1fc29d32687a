"""Functions that use a trained model on images: predict, embed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from brainssl.api.answers import Answer
from brainssl.api.options import Where, known, path_or_none, seed_of, within
from brainssl.foundation.errors import BadUseError
from brainssl.foundation.nouns import counted
from brainssl.foundation.progress import Terminal

if TYPE_CHECKING:
    from brainssl.data.store import ImageStore
    from brainssl.models.classifier import Classifier
    from brainssl.models.encoder import Encoder


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
            makes it; made where it is missing; by default one that is forgotten.
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
    from brainssl.api.predictions_text import predictions_text
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
    images = counted(facts["images"], "image")
    said = f"{images}, {counted(facts['dim'], 'feature')} each, in {out}"
    return Answer({"features": str(out), **facts}, said)
