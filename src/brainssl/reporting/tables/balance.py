"""How many images each class has on disk, and how many once augmented copies have balanced it."""

from brainssl.data.balance import COPY
from brainssl.foundation.plain_names import read_frame
from brainssl.reporting.study import Study
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.wording import count


def balance_table(study: Study) -> Table | None:
    """Return each class's images before and after balancing; None where nothing was balanced."""
    try:
        manifest = read_frame(
            study.folder / "store-paper" / "manifest.parquet", columns=["label", "flags", "given"]
        )
    except (OSError, ValueError):
        return None
    manifest = manifest[manifest["given"].fillna("train") == "train"]
    copies = manifest["flags"].str.split(";").map(lambda flags: COPY in flags)
    before, after = (
        frame["label"].value_counts() for frame in (manifest[~copies], manifest[["label"]])
    )
    classes = [name for name in study.classes if name in after.index]
    classes += sorted(set(after.index) - set(classes))
    largest = after.max()
    lines = [_line(name, int(before.get(name, 0)), int(after[name]), largest) for name in classes]
    total = tuple(Cell(count(int(counts.sum()))) for counts in (before, after))
    return Table(
        name="balance",
        caption=(
            "Labelled images of each class before and after the study’s balancing: augmented "
            "copies bring every class to the size of the largest, before anything is split. "
            "Images of a test or validation set that the source gives are not among them."
        ),
        stub=("Class",),
        columns=("On disk", "After balancing"),
        lines=(*lines, Line(("All classes",), total, start=True)),
        layout="bars",
    )


def _line(name: str, before: int, after: int, largest: int) -> Line:
    cells = (Cell(count(n), shade=n / largest) for n in (before, after))
    return Line((name,), tuple(cells))
