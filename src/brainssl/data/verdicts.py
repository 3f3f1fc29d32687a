"""What people decided about labels: a log that only grows, and the table of labels that follows."""

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from brainssl.data.extra import is_extra
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import write_text

KINDS = ("keep", "relabel", "exclude", "unsure")
LOG = "verdicts.jsonl"


@dataclass(frozen=True)
class Verdict:
    """What somebody decided about the label of an image.

    Attributes:
        image_id: of the image.
        given: its label when that was decided.
        verdict: one of `KINDS`.
        label: the new one of `relabel`; else "".
        reviewer: who, in words of their own; may be "".
        time: UTC, as ISO 8601.
    """

    image_id: str
    given: str
    verdict: str
    label: str
    reviewer: str
    time: str


def read_verdicts(log: Path) -> list[Verdict]:
    """Return the verdicts of a log in their order; none where there is no log.

    A last line without its end was being written when the process was killed. Nobody was told that
    it was kept, and it is left out.

    Raises:
        BrainsslError: the log cannot be read, or a line is no verdict.
    """
    try:
        text = log.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BrainsslError(f"{log}: cannot be read ({error.strerror})") from None
    found = []
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            one = Verdict(**json.loads(line))
        except (ValueError, TypeError):
            raise BrainsslError(f"{log}: line {number} is no verdict; delete that line") from None
        if one.verdict not in KINDS or not all(isinstance(v, str) for v in asdict(one).values()):
            raise BrainsslError(f"{log}: line {number} is no verdict; delete that line")
        found.append(one)
    return found


def append_verdict(log: Path, verdict: Verdict) -> None:
    """Write a verdict behind the others; it is on the disk when this returns.

    Raises:
        OSError: it could not be written.
    """
    line = json.dumps(asdict(verdict), ensure_ascii=False) + "\n"
    new = not log.exists()
    handle = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.ftruncate(handle, _whole(handle))  # what a kill left of a line
        data = line.encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    if new:
        _keep_name(log.parent)


def last_of(verdicts: Sequence[Verdict]) -> dict[str, Verdict]:
    """Return the verdict that counts for each image: the last."""
    return {one.image_id: one for one in verdicts}


def corrected(
    manifest: pd.DataFrame, verdicts: Sequence[Verdict]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table of labels after the verdicts, and what changed.

    Args:
        manifest: of all images; those that came by `--unlabelled` are left out, as they are not of
            the source.
        verdicts: in their order.

    Returns:
        `path,label` of every image, "" where there is no label or the image is excluded, with
        `patient` where any is known; and of each changed image `image_id, path, before, after,
        verdict, reviewer, time`.

    Raises:
        BrainsslError: a verdict is of another image or label than the manifest's, or the images
            are slices of volumes.
    """
    own = manifest[~is_extra(manifest)]
    if own["path"].duplicated().any() or ("series" in own and own["series"].notna().any()):
        raise BrainsslError(
            "the images are slices of volumes, which a table of paths does not name: correct the "
            "labels of patients, studies or series by hand, from review.csv"
        )
    labels = dict(zip(own["image_id"], own["label"].fillna("").astype(str), strict=True))
    paths = dict(zip(own["image_id"], own["path"], strict=True))
    changes: list[dict[str, Any]] = []
    before = dict(labels)
    for one in last_of(verdicts).values():
        if before.get(one.image_id) != one.given:
            raise BrainsslError(
                f"the verdict about image {one.image_id} is of another label than the store's: "
                "these verdicts are of another study; name another --out"
            )
        after = {"relabel": one.label, "exclude": ""}.get(one.verdict, one.given)
        if after != one.given:
            labels[one.image_id] = after
            told = {"image_id": one.image_id, "path": paths[one.image_id], "before": one.given}
            told |= {"after": after, "verdict": one.verdict}
            changes.append(told | {"reviewer": one.reviewer, "time": one.time})
    columns = ["image_id", "path", "before", "after", "verdict", "reviewer", "time"]
    table = pd.DataFrame({"path": own["path"].tolist(), "label": list(labels.values())})
    if own["patient"].notna().any():  # they may be known from the table that this one replaces
        table["patient"] = own["patient"].fillna("").tolist()
    return table, pd.DataFrame(changes, columns=columns)


def write_labels(file: Path, manifest: pd.DataFrame, verdicts: Sequence[Verdict]) -> int:
    """Write the corrected table, and beside it `<name>.changes.csv`; return how many changed.

    The table is for `--labels`: names stand in it as they are.

    Raises:
        BrainsslError: one of the two files exists, or what `corrected` refuses.
    """
    log = file.with_name(f"{file.stem}.changes.csv")
    for one in (file, log):
        if one.exists() or one.is_symlink():
            raise BrainsslError(f"{one} exists already: choose another name or delete it first")
    table, changes = corrected(manifest, verdicts)
    write_text(log, _csv(changes))
    write_text(file, _csv(table))
    return len(changes)


def _csv(frame: pd.DataFrame) -> str:
    held = io.StringIO(newline="")
    lines = csv.writer(held, lineterminator="\n")
    lines.writerow(list(frame.columns))
    lines.writerows(frame.itertuples(index=False))
    return held.getvalue()


def _whole(handle: int) -> int:
    """Return how many bytes of an open log end with a line."""
    size = os.fstat(handle).st_size
    held = os.pread(handle, size, 0)
    return held.rfind(b"\n") + 1


def _keep_name(folder: Path) -> None:
    """Flush a folder, so that a new file in it is found after the power has failed."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
