"""How a study that has begun divides its images: it goes on so unless it is told otherwise."""

import re
from dataclasses import dataclass
from pathlib import Path

from brainssl.data.folds import Fold
from brainssl.data.split import PROTOCOLS
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.foundation.plain_names import read_frame
from brainssl.foundation.storage import read_json
from brainssl.studies.identity import finished_steps

_FILE = re.compile(rf"(?:{'|'.join(PROTOCOLS)})(?:-(k|.+-)\d+of(\d+))?")


@dataclass(frozen=True)
class Division:
    """One split, folds, or folds that leave out a column's values in turn.

    Attributes:
        folds: how many; None: one split.
        leave_out: the column; None where there is none.
    """

    folds: int | None = None
    leave_out: str | None = None

    def __str__(self) -> str:
        """Say it in words."""
        if self.folds is None:
            return "one split"
        return f"{self.folds} folds" + (f" of {self.leave_out}" if self.leave_out else "")


def begun_division(out: Path) -> Division | None:
    """Return how the finished steps of a study divide the images; None if no step is finished.

    Args:
        out: folder of the study. Its splits tell; where it was divided in several ways, those of
            its last results.

    Raises:
        BadUseError: it was divided in several ways, and has no results that tell the last.
    """
    if not finished_steps(out):
        return None
    names = [_FILE.fullmatch(file.stem) for file in (out / "splits").glob("[!.]*.json")]
    found = {(name[1], int(name[2]) if name[2] else None) for name in names if name}
    divisions = {Division(folds, _column(out, kind)) for kind, folds in found}
    if len(divisions) < 2:
        return next(iter(divisions), None)
    last = _reported(out)
    if last not in divisions:
        told = ", ".join(sorted(map(str, divisions)))
        raise BadUseError(
            f"{out} was divided in several ways ({told}): say with --folds or --leave-out how it "
            "is to go on"
        )
    return last


def _column(out: Path, kind: str | None) -> str | None:
    """Return the column that names of files stand for: they hold no more than plain letters."""
    if kind in (None, "k"):
        return None
    try:
        columns = [str(name) for name in read_frame(out / "store" / "manifest.parquet")]
    except (OSError, ValueError):
        columns = []
    own = [name for name in columns if Fold(1, 2, name).name == f"{kind}1of2"]
    if len(own) != 1:
        raise BadUseError(f"{out} was begun with --leave-out: give it again")
    return own[0]


def _reported(out: Path) -> Division | None:
    try:
        told = read_json(out / "results.json", "the results of a study")["study"].get("folds")
        return Division(told["number"], told["column"]) if told else Division()
    except (BrainsslError, KeyError, TypeError, AttributeError):
        return None
