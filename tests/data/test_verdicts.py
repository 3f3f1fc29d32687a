"""Verdicts survive a kill, and the table of labels is what they say."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from brainssl.data.csv_tables import Table
from brainssl.data.store import ImageStore
from brainssl.data.verdicts import (
    Verdict,
    append_verdict,
    corrected,
    last_of,
    read_verdicts,
    write_labels,
)
from brainssl.foundation.errors import BrainsslError


def verdict(store: ImageStore, row: int, kind: str, label: str = "") -> Verdict:
    own = store.manifest.iloc[row]
    return Verdict(own["image_id"], own["label"], kind, label, "Ann Ö", "2026-01-01T00:00:00Z")


def test_what_is_appended_is_read(tmp_path: Path, shared_store: ImageStore) -> None:
    log = tmp_path / "verdicts.jsonl"
    assert read_verdicts(log) == []
    some = [verdict(shared_store, 1, "keep"), verdict(shared_store, 2, "relabel", "Normal T1")]
    for one in some:
        append_verdict(log, one)
    assert read_verdicts(log) == some


def test_a_torn_line_is_left_out_and_written_over(tmp_path: Path, shared_store: ImageStore) -> None:
    log = tmp_path / "verdicts.jsonl"
    first, second = verdict(shared_store, 1, "keep"), verdict(shared_store, 2, "unsure")
    append_verdict(log, first)
    with log.open("ab") as stream:
        stream.write('{"image_id": "0000Ö'.encode()[:-1])
    assert read_verdicts(log) == [first]
    append_verdict(log, second)
    assert read_verdicts(log) == [first, second]


WRITER = """
import sys
from pathlib import Path
from brainssl.data.verdicts import Verdict, append_verdict
for number in range(10**6):
    append_verdict(Path(sys.argv[1]), Verdict(str(number), "a", "keep", "", "r" * 500, ""))
    print(number, flush=True)
"""


def test_verdicts_that_were_told_survive_a_kill(tmp_path: Path) -> None:
    log = tmp_path / "verdicts.jsonl"
    source = str(Path(__file__).parents[2] / "src")
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(log)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": source},
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "0\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        told = [0, *map(int, process.stdout.read().split())]
    found = [int(one.image_id) for one in read_verdicts(log)]
    assert found[: len(told)] == told
    append_verdict(log, Verdict("next", "a", "keep", "", "", ""))
    assert [one.image_id for one in read_verdicts(log)][-1] == "next"


def test_the_last_verdict_counts(shared_store: ImageStore) -> None:
    early = verdict(shared_store, 1, "exclude")
    late = verdict(shared_store, 1, "keep")
    assert last_of([early, late]) == {early.image_id: late}
    assert corrected(shared_store.manifest, [early, late])[1].empty


def test_the_table_is_that_of_the_verdicts(tmp_path: Path, shared_store: ImageStore) -> None:
    verdicts = [
        verdict(shared_store, 1, "relabel", "Normal, odd"),
        verdict(shared_store, 2, "exclude"),
        verdict(shared_store, 3, "unsure"),
        verdict(shared_store, 4, "keep"),
    ]
    file = tmp_path / "labels.csv"
    assert write_labels(file, shared_store.manifest, verdicts) == 2
    before = shared_store.manifest
    expected = dict(zip(before["path"], before["label"].fillna(""), strict=True))
    expected |= {"slice 1.png": "Normal, odd", "slice 2.png": ""}
    assert Table.read(file).column("path", "label") == expected
    changes = pd.read_csv(tmp_path / "labels.changes.csv", keep_default_na=False)
    assert changes[["path", "after", "verdict", "reviewer"]].to_numpy().tolist() == [
        ["slice 1.png", "Normal, odd", "relabel", "Ann Ö"],
        ["slice 2.png", "", "exclude", "Ann Ö"],
    ]


def test_patients_stay_known(tmp_path: Path, shared_store: ImageStore) -> None:
    """They may stand in the table that this one replaces, and nowhere else."""
    manifest = shared_store.manifest.assign(patient=None)
    write_labels(tmp_path / "unknown.csv", manifest, [])
    assert Table.read(tmp_path / "unknown.csv").columns == ("path", "label")
    manifest["patient"] = [f"p{row // 3}" if row else None for row in range(len(manifest))]
    write_labels(tmp_path / "labels.csv", manifest, [])
    told = Table.read(tmp_path / "labels.csv").column("path", "patient")
    assert told == dict(zip(manifest["path"], manifest["patient"].fillna(""), strict=True))


def test_nothing_is_overwritten(tmp_path: Path, shared_store: ImageStore) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("mine", "utf-8")
    with pytest.raises(BrainsslError, match="exists already"):
        write_labels(file, shared_store.manifest, [])
    assert file.read_text("utf-8") == "mine"
    (tmp_path / "new.changes.csv").write_text("mine", "utf-8")
    with pytest.raises(BrainsslError, match=r"changes\.csv exists already"):
        write_labels(tmp_path / "new.csv", shared_store.manifest, [])


def test_verdicts_of_another_study_are_refused(shared_store: ImageStore) -> None:
    other = replace(verdict(shared_store, 1, "keep"), given="Meningioma")
    with pytest.raises(BrainsslError, match="another study"):
        corrected(shared_store.manifest, [other])
    strange = replace(other, image_id="f" * 16)
    with pytest.raises(BrainsslError, match="another study"):
        corrected(shared_store.manifest, [strange])


def test_slices_of_volumes_have_no_table(shared_store: ImageStore) -> None:
    for volumes in ({"path": "volume.nii.gz"}, {"series": "T1"}):
        with pytest.raises(BrainsslError, match="by hand"):
            corrected(shared_store.manifest.assign(**volumes), [])


@pytest.mark.parametrize("line", ["{}", "[]", "none", '{"image_id": 1}'])
def test_a_line_that_is_no_verdict_is_named(tmp_path: Path, line: str) -> None:
    log = tmp_path / "verdicts.jsonl"
    log.write_text(f"{line}\n", "utf-8")
    with pytest.raises(BrainsslError, match="line 1 is no verdict"):
        read_verdicts(log)
