"""Functions that make and judge data: phantom, audit, prepare."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainssl.api.answers import Answer
from brainssl.api.options import (
    Names,
    Where,
    depth_asked,
    known,
    level_of,
    listed,
    outside,
    path_or_none,
    paths_listed,
    reading_of,
    refuse_store,
    seed_of,
    within,
)
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.foundation.extras import require
from brainssl.foundation.nouns import counted
from brainssl.foundation.progress import Terminal

if TYPE_CHECKING:
    from brainssl.data.scan import Scan


def phantom(
    out: Where,
    *,
    patients: int = 130,
    size: int = 224,
    format: str = "png",  # noqa: A002 - as the command calls it
    slices: int | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Answer:
    """Simulate brain MRI of patients with and without tumours, with masks of the lesions.

    Args:
        out: folder to make; may exist if it is empty.
        patients: how many; as images, 130 give about 1,000 slices.
        size: side of a slice in pixels, 64 to 1024.
        format: `png` for images of a few slices, or `dicom`, `bids` or `brats` for archives of
            whole series, which take the optional packages of `brainssl[scans]`.
        slices: of a series in an archive, 8 to 512; None for 24.
        seed: the same seed gives the same bytes.
        quiet: show no progress.

    Returns:
        `phantom`, the folder.

    Raises:
        BadUseError: a number is out of its range, or no such format.
        BrainsslError: `out` exists and is not empty, or packages are missing.
    """
    from brainssl.simulation import FORMATS, SLICES, simulate, simulate_archive

    out = Path(out)
    within("--patients", patients, 1)
    within("--size", size, 64, 1024)
    (form,) = known("--format", [format], ("png", *FORMATS))
    if slices is not None:
        within("--slices", slices, 8, 512)
        if form == "png":
            raise BadUseError("--slices is for archives: give --format dicom, bids or brats too")
    seed_of(seed)
    if form != "png":
        require("scans")
    with Terminal(quiet=quiet).task("phantom") as progress:
        try:
            if form == "png":
                simulate(out, patients=patients, size=size, seed=seed, progress=progress)
            else:
                simulate_archive(
                    out,
                    format=form,
                    patients=patients,
                    size=size,
                    slices=slices or SLICES,
                    seed=seed,
                    progress=progress,
                )
        except ValueError as error:
            raise BrainsslError(str(error)) from None
    return Answer({"phantom": str(out)}, f"Simulated patients are in {out}")


def audit(
    source: Where,
    *,
    labels: Where | None = None,
    classes_at: int | None = None,
    families: Where | None = None,
    slices: str | int | None = None,
    plane: str = "native",
    label_by: str | None = None,
    lesion_slices: bool = False,
    key: Where | None = None,
    out: Where | None = "audit",
    seed: int = 0,
    quiet: bool = False,
) -> Answer:
    """Say what is in a collection, what is wrong with it, and what a random split would leak.

    Args:
        source: folder of images, or archive of volumes.
        labels: CSV `folder,label` or `path,label[,patient]`, of volumes `patient,label`,
            `study,label` or `series,label`; an empty label means unlabelled.
        classes_at: level of the classes among the folders, from 1; by default it is found.
        families: CSV `label,family,sequence` of each class; by default `families.csv` in the
            source, or else what the classes' names end in.
        slices: of a volume so many, evenly over those that show the brain, or `every:N`; by
            default all of these.
        plane: of the slices of volumes: native, or resampled to axial, coronal or sagittal.
        label_by: `sequence` or `plane`, which then is the label of a volume; unknown: unlabelled.
        lesion_slices: whether slices that a mask of the source shows without lesion lose their
            label.
        key: file by which patients of a DICOM archive get their pseudonyms; made where it is
            missing. By default it lies beside `out`, as `audit.key`.
        out: folder of `audit.json` and `audit.html`; with None nothing is written.
        seed: accepted everywhere; the draws of the audit are fixed.
        quiet: show no progress.

    Returns:
        The report that `brainssl.data.audit.audit_scan` describes, with its `findings`. A notebook
        shows its page.

    Raises:
        BrainsslError: no such folder, no readable image in it, or tables that do not fit it.
    """
    from brainssl.data.archives.opening import telling_of_key
    from brainssl.data.audit import audit as run

    source, out = Path(source), path_or_none(out)
    seed_of(seed)
    level_of(classes_at)
    refuse_store(source)
    if out:
        outside(out, source)
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
    with telling_of_key(reading.key, terminal.say), terminal.task("audit") as progress:
        result = run(
            source,
            labels=path_or_none(labels),
            classes_at=classes_at,
            families=path_or_none(families),
            reading=reading,
            out=out,
            progress=progress,
        )
    page = out / "audit.html" if out else None
    lines = [f"- {finding['text']}" for finding in result["findings"]]
    return Answer(result, "\n".join([*lines, f"See {page}"] if page else lines), page)


def prepare(
    source: "Where | Scan",
    store: Where,
    *,
    labels: Where | None = None,
    classes_at: int | None = None,
    families: Where | None = None,
    columns: Names | None = None,
    unlabelled: Where | Sequence[Where] | None = None,
    slices: str | int | None = None,
    plane: str = "native",
    label_by: str | None = None,
    lesion_slices: bool = False,
    key: Where | None = None,
    field_of_view: float | None = None,
    size: int = 224,
    bits: int = 8,
    reader: int = 3,
    seed: int = 0,
    quiet: bool = False,
) -> Answer:
    """Decode every image once into a store that all other functions and commands read.

    Args:
        source: folder of images, archive of volumes, or what `brainssl.data.scan.scan` found there.
        store: folder to make; must not exist.
        labels: as for `audit`; a scan has its own.
        classes_at: as for `audit`; a scan has its own.
        families: as for `audit`; a scan has its own.
        columns: further columns of the tables to keep, such as `site`, by which a study can leave
            out one after the other.
        unlabelled: folders of more images, for pretraining alone; labels in them are not used. None
            is seen where it, or another of its group, resembles images that validate or test.
        slices: as for `audit`; a scan has its own.
        plane: as for `audit`; a scan has its own.
        label_by: as for `audit`; a scan has its own.
        lesion_slices: as for `audit`; a scan has its own.
        key: as for `audit`; by default beside `store`.
        field_of_view: of slices of volumes, the side in mm, 10 to 1000, of the square about the
            head that is seen, cropped or padded with black; so a centimetre is as many pixels in
            all. Volumes whose pixels are of unknown size are left out. By default slices are whole.
        size: side of the square images in pixels, 16 to 1024; slices are letterboxed into it.
        bits: of a pixel, 8 or 16; 16 take twice the disk and memory.
        reader: version of the reader, 1 or 2 for models of an earlier brainssl; a scan has its
            own.
        seed: accepted everywhere; nothing is drawn here.
        quiet: show no progress.

    Returns:
        `store` (its folder), `images`, `classes`, `groups` and `unreadable` (how many), the
        `bits` of a pixel, the `field_of_view` (None: whole slices), the `bytes` of all, and the
        `checksum` of the store. `brainssl.ImageStore.open` opens it.

    Raises:
        BadUseError: `size`, `bits` or `reader` is out of its range, or a scan comes with labels.
        BrainsslError: as for `audit`, or `store` exists.
    """
    from brainssl.data.archives.opening import telling_of_key
    from brainssl.data.normalisation import READER
    from brainssl.data.prepare import prepare as run
    from brainssl.data.scan import Scan, kept_beside, scan
    from brainssl.foundation.storage import refuse_existing

    store, terminal = Path(store), Terminal(quiet=quiet)
    within("--size", size, 16, 1024)
    depth_asked(bits)
    within("--reader", reader, 1, READER)
    seed_of(seed)
    level_of(classes_at)
    if isinstance(source, Answer):
        raise BadUseError(
            "what brainssl.scan says holds no images: give the folder, or what "
            "brainssl.data.scan.scan found in it"
        )
    if isinstance(source, Scan):
        volumes = slices or plane != "native" or label_by or lesion_slices or key
        volumes = volumes or field_of_view is not None
        if labels or classes_at or families or unlabelled or volumes:
            raise BadUseError(
                "a scan has its labels and images: give them to brainssl.data.scan.scan"
            )
        refuse_existing(store)
        found = source
    else:
        source = Path(source)
        refuse_store(source)
        extra = paths_listed(unlabelled)
        for folder in (source, *extra):
            outside(store, folder)
        refuse_existing(store)
        reading = reading_of(
            source,
            store,
            slices=slices,
            plane=plane,
            label_by=label_by,
            lesion_slices=lesion_slices,
            key=key,
            field_of_view=field_of_view,
        )
    with ExitStack() as stack:
        if not isinstance(source, Scan):
            kept = stack.enter_context(kept_beside(store))
            with telling_of_key(reading.key, terminal.say), terminal.task("scan") as progress:
                found = scan(
                    source,
                    labels=path_or_none(labels),
                    classes_at=classes_at,
                    families=path_or_none(families),
                    columns=listed(columns) if columns else (),
                    unlabelled=extra,
                    progress=progress,
                    reader=reader,
                    reading=reading,
                    kept=kept,
                )
            if kept.taken:
                terminal.say(kept.told)
        found.refuse_questions()
        for loss in found.lost_in_words:
            terminal.say(loss)
        for path, reason in found.unreadable:
            terminal.say(f"left out {path}: {reason}")
        with terminal.task("prepare") as progress:
            made = run(found, store, size=size, bits=bits, progress=progress, resume=True)
    facts: dict[str, Any] = {
        "store": str(store),
        "images": len(made.images),
        "classes": len(made.classes),
        "groups": int(made.manifest["group"].nunique()),
        "unreadable": len(found.unreadable),
        "bits": made.bits,
        "field_of_view": made.field_of_view,
        "bytes": made.images.nbytes,
        "checksum": made.checksum,
    }
    said = (
        f"{counted(facts['images'], 'image')}, {counted(facts['classes'], 'class', 'classes')}, "
        f"{counted(facts['groups'], 'group')} in {store}"
    )
    said += f"; of {bits} bits, {made.images.nbytes / 2**20:,.0f} MiB" if bits > 8 else ""
    return Answer(facts, said)
