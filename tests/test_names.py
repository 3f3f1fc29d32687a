"""Nothing that names a patient leaves a DICOM archive: every byte of every file is looked at."""

import base64
import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pydicom
import pytest
from typer.testing import CliRunner

import brainssl
from brainssl.cli import app
from brainssl.data.archives.pseudonyms import Pseudonyms, read_key
from brainssl.data.folds import make_folds
from brainssl.data.split import Split
from brainssl.data.store import ImageStore

NAMES = ("Quillfeather", "Zebediah", "Featherstonehaugh", "Zuleika", "Wolstenholme")
PLANTED = {
    "PatientName": "Quillfeather^Zebediah",
    "OtherPatientIDs": "QX-88417",
    "PatientBirthDate": "19310407",
    "InstitutionName": "Saint-Elsewhere",
    "InstitutionAddress": "Mulberry Lane 77",
    "ReferringPhysicianName": "Wolstenholme^Ida",
    "OperatorsName": "Featherstonehaugh",
    "StationName": "ZULEIKA-MR",
    "AccessionNumber": "ACC-55190",
    "StudyDate": "20190823",
    "SeriesDate": "20190823",
    "AcquisitionDate": "20190823",
    "ContentDate": "20190823",
    "AcquisitionTime": "112233.445566",
    "StudyTime": "112201",
    "StudyDescription": "head of Quillfeather",
    "ImageComments": "secretlytold by Zuleika",
    "PatientComments": "secretlytold",
    "ProtocolName": "brain Quillfeather",
    "PatientAddress": "Mulberry Lane 77",
    "DeviceSerialNumber": "SN-66021",
}
WORDS = (
    *(name.casefold() for name in NAMES),
    *("saint-elsewhere", "mulberry", "qx-88417", "acc-55190", "sn-66021", "secretlytold"),
    *("19310407", "20190823", "2019-08-23", "1931-04-07", "112233", "phantom-"),
)
SETTINGS = [
    "encoder.name=test_resnet",
    "encoder.image_size=32",
    "pretrain.epochs=1",
    "pretrain.batch_size=16",
    "probe.epochs=2",
    "finetune.epochs=1",
    "finetune.batch_size=16",
    "evaluation.draws=20",
    "run.accelerator=cpu",
]


@pytest.fixture(scope="module")
def archive(archives: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom with names wherever a header, a folder and a file can hold them."""
    folder = tmp_path_factory.mktemp("source") / "archive"
    for number, file in enumerate(sorted((archives["dicom"] / "dicom").rglob("IM*"))):
        data = pydicom.dcmread(file)
        words = data.SeriesDescription
        for keyword, value in PLANTED.items():
            setattr(data, keyword, value)
        data.SeriesDescription = f"{words} Quillfeather"
        block = data.private_block(0x0029, "SECRETLYTOLD", create=True)
        block.add_new(0x10, "LO", "Zebediah in private")
        patient, study, series = file.relative_to(archives["dicom"] / "dicom").parts[:3]
        place = folder / f"Quillfeather^Zebediah {patient}" / f"20190823 {study}" / series
        place.mkdir(parents=True, exist_ok=True)
        data.save_as(place / f"Zuleika {number}.dcm", enforce_file_format=True)
    hurt = sorted(folder.rglob("*.dcm"))[-1]
    hurt.write_bytes(hurt.read_bytes()[:-100])
    (folder / "Wolstenholme.dcm").write_text("Quillfeather is no image")
    return folder


@pytest.fixture(scope="module")
def labels(archives: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels by the hospital's own identifiers, with a column that names people."""
    rows = pd.read_csv(archives["dicom"] / "labels.csv")[["patient"]]
    rows["label"] = [("sick", "well")[at % 2] for at in range(len(rows))]
    rows["name"] = NAMES[0]
    file = tmp_path_factory.mktemp("labels") / "labels.csv"
    rows.to_csv(file, index=False)
    return file


def uids(archive: Path) -> set[str]:
    """Return what identifies studies, series and images of the archive."""
    found = set()
    for file in archive.rglob("*.dcm"):
        data = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        for word in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            found.add(str(data.get(word, "")))
    return found - {""}


def decoded(file: Path) -> Iterator[bytes]:
    """Yield what a file holds: its name, its bytes, and what is packed within them."""
    data = file.read_bytes()
    yield str(file.name).encode()
    yield data
    if file.suffix == ".parquet":
        table = pq.read_table(file)
        yield table.to_pandas().to_csv().encode()
        yield repr(table.schema.metadata).encode()
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            yield from (packed.read(name) for name in packed.namelist())
    for text in re.findall(rb"base64,([A-Za-z0-9+/=]{24,})", data):
        yield base64.b64decode(text)


def leaks(texts: Iterator[bytes], words: tuple[str, ...]) -> set[str]:
    """Return which of the words stand in any of the texts, in 8, 16 or 32 bits a letter."""
    codes = ("utf-8", "utf-16-le", "utf-32-le")
    needles = {word: tuple(word.encode(code) for code in codes) for word in words}
    found = set()
    for text in texts:
        small = text.lower()
        found |= {word for word, forms in needles.items() if any(form in small for form in forms)}
    return found


def test_the_search_finds_what_is_planted(archive: Path, tmp_path: Path) -> None:
    words = leaks((part for f in archive.rglob("*.dcm") for part in decoded(f)), WORDS)
    assert words >= set(WORDS) - {"2019-08-23", "1931-04-07"}
    pd.DataFrame({"a": ["Quillfeather"] * 5}).to_parquet(tmp_path / "a.parquet")
    np.savez_compressed(tmp_path / "b.npz", a=np.array(["Zuleika"]))
    code = base64.b64encode(b"by Wolstenholme, of course").decode()
    (tmp_path / "c.html").write_text(f'<img src="data:x;base64,{code}">')
    for name, word in (
        ("a.parquet", "quillfeather"),
        ("b.npz", "zuleika"),
        ("c.html", "wolstenholme"),
    ):
        assert leaks(decoded(tmp_path / name), WORDS) == {word}


@pytest.fixture(scope="module")
def made(archive: Path, labels: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """All that is written and said of the archive; the key lies in a folder of its own."""
    out, key = tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("safe") / "key"
    said = []
    for more in ([], ["--json"]):
        result = CliRunner().invoke(app, ["scan", str(archive), "--labels", str(labels), *more])
        assert result.exit_code == 0, result.output
        said.append(result.output)
    asked = {"labels": labels, "slices": 4, "key": key}
    answers = [
        brainssl.audit(archive, out=out / "audit", **asked),
        brainssl.prepare(archive, out / "store", size=32, **asked),
        brainssl.study(
            archive,
            out / "study",
            methods="simclr",
            folds=2,
            label_fractions=[1],
            explained=2,
            classical=False,
            overrides=SETTINGS,
            **asked,
        ),
    ]
    assert not answers[-1]["failed"]
    said += [json.dumps(answer) + answer.text for answer in answers]
    shutil.copy(key, out.parent / f"{out.name}.key")
    return out, "\n".join(said)


def test_nothing_that_names_a_patient_is_written_or_said(
    made: tuple[Path, str], archive: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, said = made
    words = (*WORDS, *uids(archive))
    files = [file for file in out.rglob("*") if file.is_file()]
    assert len(files) > 40
    assert {file.suffix for file in files} >= {".html", ".json", ".parquet", ".npy", ".safetensors"}
    captured = capfd.readouterr()
    heard = (part.encode() for part in (said, captured.out, captured.err))
    assert leaks(heard, words) == set()
    found = {str(file.relative_to(out)): leaks(decoded(file), words) for file in files}
    assert {name: leaked for name, leaked in found.items() if leaked} == {}


def test_what_could_not_be_read_is_told_by_number_and_found(
    made: tuple[Path, str], archive: Path
) -> None:
    out, _ = made
    left_out = json.loads((out / "audit" / "audit.json").read_text())["unreadable"]
    assert len(left_out) == 2
    assert all(re.fullmatch(r"file-\d+\.dcm", one["path"]) for one in left_out)
    found = [brainssl.scan(archive, locate=one["path"])["file"] for one in left_out]
    assert str(archive / "Wolstenholme.dcm") in found
    asked = ["scan", str(archive), "--locate", left_out[0]["path"]]
    assert CliRunner().invoke(app, asked).output.strip() == found[0]
    with pytest.raises(brainssl.BrainsslError, match="name one as file-<number>"):
        brainssl.scan(archive, locate="file-0")


def test_the_same_patients_as_bids_are_held_together(
    made: tuple[Path, str], archives: dict[str, Path], labels: Path, tmp_path: Path
) -> None:
    out, _ = made
    key = read_key(out.parent / f"{out.name}.key")
    of = Pseudonyms(key).of
    dicom = ImageStore.open(out / "study" / "store").manifest
    table = pd.read_csv(labels)
    table["patient"] = table["patient"].str.replace("PHANTOM-", "sub-p", regex=False)
    told = set(pd.read_csv(archives["bids"] / "participants.tsv", sep="\t")["participant_id"])
    assert set(table["patient"]) == told
    table.to_csv(tmp_path / "labels.csv", index=False)
    brainssl.prepare(
        archives["bids"], tmp_path / "store", labels=tmp_path / "labels.csv", slices=4, size=32
    )
    bids = ImageStore.open(tmp_path / "store").manifest
    numbers = {
        f"sub-p{number:03}": of("patient", "", f"PHANTOM-{number:03}") for number in range(1, 7)
    }
    assert set(bids["patient"].map(numbers)) == set(dicom["patient"])
    assert bids["group"].nunique() == dicom["group"].nunique() == 6
    splits = [
        (dicom, [Split.load(f) for f in sorted((out / "study" / "splits").glob("*.json"))]),
        (bids, list(make_folds(bids, folds=2, seed=0))),
    ]
    for manifest, folds in splits:
        patients = manifest.set_index("image_id")["patient"]
        assert len(folds) == 2
        for split in folds:
            parts = [set(patients[list(part)]) for part in (split.train, split.val, split.test)]
            assert sum(len(part) for part in parts) == len(set.union(*parts)) == 6
        tested = [set(patients[list(split.test)]) for split in folds]
        assert tested[0] | tested[1] == set(patients)
