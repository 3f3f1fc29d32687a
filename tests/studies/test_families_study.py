"""A study whose families and sequences only a table knows, and its classifier on new patients."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from oracles.small_plan import FAST, small_plan
from PIL import Image

import brainssl
from brainssl.data.store import ImageStore
from brainssl.evaluation.patients import choose_rule, patient_units
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.progress import Terminal
from brainssl.models.classifier import Classifier
from brainssl.studies.identity import identity
from brainssl.studies.run import Study

TABLE = "label,family,sequence\na,Glioma,flair\nb,Glioma,DWI\nc,Healthy,\n"
FAMILIES = {"a": ["Glioma", "FLAIR"], "b": ["Glioma", "DWI"], "c": ["Healthy", ""]}


def write(root: Path, seed: int) -> Path:
    """Ten patients with two slices of a and of b, ten with two of c, and one of both families."""
    generator = np.random.default_rng(seed)
    rows = [f"{kind}/p{n:02}-{i},p{n:02}" for n in range(10) for kind in "ab" for i in (0, 1)]
    rows += [f"c/p{n:02}-{i},p{n:02}" for n in range(10, 20) for i in (0, 1)]
    rows += ["a/both,both", "c/both,both"]
    for row in rows:
        file = root / "images" / f"{row.split(',')[0]}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 120, (32, 32), dtype=np.uint8)
        pixels[4:12, 4 + 8 * "abc".index(row[0]) :][:, :8] += 100
        Image.fromarray(pixels).save(file)
    (root / "patients.csv").write_text(
        "path,patient\n" + "\n".join(row.replace(",", ".png,") for row in rows)
    )
    (root / "families.csv").write_text(TABLE)
    return root


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("source"), 0)


@pytest.fixture(scope="module")
def out(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "out"
    settings = [*FAST, "split.val_fraction=0.3", "split.test_fraction=0.3"]
    Study(small_plan(source, settings, methods=()), out, Terminal(quiet=True)).run()
    return out


@pytest.fixture(scope="module")
def results(out: Path) -> dict[str, Any]:
    return json.loads((out / "results.json").read_text("utf-8"))


def test_what_the_table_says_is_measured(results: dict[str, Any], out: Path) -> None:
    assert ImageStore.open(out / "store").families == results["study"]["families"] == FAMILIES
    for row in results["analysis"]["models"].values():
        assert set(row["factors"]["family"]["per_class"]) == {"Glioma", "Healthy"}
        assert "sequence" not in row["factors"], "a class has none"
    people = [row for row in results["analysis"]["units"] if row["unit"] == "patient"]
    assert people
    for row in people:
        assert set(row["per_class"]) == {"Glioma", "Healthy"}
        assert (row["asked"], row["conflicting"], row["unknown"]) == ("family", 1, 0)
    page = (out / "report.html").read_text("utf-8")
    assert "Tumour family of each patient" in page
    assert "Test images by tumour family" in page


def test_images_have_the_sequence_of_the_table(out: Path) -> None:
    manifest = ImageStore.open(out / "store").manifest
    told = manifest.groupby("label")["sequence"].agg(lambda own: set(own.dropna()))
    assert told.to_dict() == {"a": {"FLAIR"}, "b": {"DWI"}, "c": set()}


def test_the_classifier_carries_families_and_the_rule_of_validation(
    results: dict[str, Any], out: Path
) -> None:
    folder = out / Path(results["study"]["best"]["classifier"]).parent
    facts = Classifier.load(folder).facts
    assert facts["families"] == FAMILIES
    said = Predictions.load(folder / "predictions.parquet").of("val")
    p = said.probabilities()
    names = said.frame["image_id"]
    manifest = pd.read_parquet(out / "store" / "manifest.parquet").set_index("image_id").loc[names]
    families = manifest["label"].map(lambda name: FAMILIES[name][0])
    asked = Predictions.build(
        names.tolist(),
        said.groups,
        ["val"] * len(said),
        (families == "Healthy").to_numpy(np.int64),
        np.log(np.stack([p[:, 0] + p[:, 1], p[:, 2]], axis=1)),
        ("Glioma", "Healthy"),
    )
    units = patient_units(families.to_dict(), manifest["patient"].to_dict())
    rule = choose_rule(asked, units.of)
    assert facts["rules"]["patient"] == {"scores": rule.scores, "surest": rule.surest}
    assert "series" in facts["rules"]
    assert not {"families", "rules"} & results["rows"][0].keys()


def test_new_patients_are_answered(results: dict[str, Any], out: Path, tmp_path: Path) -> None:
    new = write(tmp_path / "new", 1)
    answer = brainssl.predict(out / results["study"]["best"]["classifier"], new)
    assert len(answer["patients"]) == 21
    assert str(new / "patients.csv") in answer["patients_from"]
    assert all(set(one["probabilities"]) == {"Glioma", "Healthy"} for one in answer["patients"])
    assert answer["rules"]["patient"]["chosen"]
    assert answer["series"] == [], "no name of a file or folder ends in a sequence"
    told = brainssl.external(out / results["study"]["best"]["classifier"], new, tmp_path / "other")
    people, series = told["units"]
    assert (people["n"], people["conflicting"], series["unit"]) == (20, 1, "series")


def test_a_changed_table_is_another_study(source: Path, out: Path, tmp_path: Path) -> None:
    settings = [*FAST, "split.val_fraction=0.3", "split.test_fraction=0.3"]
    table = tmp_path / "other.csv"
    table.write_text(TABLE.replace("Healthy", "Normal"))
    plan = small_plan(source, settings, methods=(), families=table)
    with pytest.raises(BrainsslError, match="another families"):
        Study(plan, out, Terminal(quiet=True)).run()
    before = (source / "families.csv").read_bytes()
    try:
        (source / "families.csv").write_text(TABLE.replace("DWI", "ADC"))
        with pytest.raises(BrainsslError, match="another tables"):
            Study(small_plan(source, settings, methods=()), out, Terminal(quiet=True)).run()
    finally:
        (source / "families.csv").write_bytes(before)


def test_stores_of_the_same_images_and_other_families_are_other_sources(
    source: Path, tmp_path: Path
) -> None:
    for name, own in (("one", TABLE), ("other", TABLE.replace("flair", "SWI"))):
        (tmp_path / f"{name}.csv").write_text(own)
        brainssl.prepare(
            source, tmp_path / name, size=32, families=tmp_path / f"{name}.csv", quiet=True
        )
    stores = [ImageStore.open(tmp_path / name) for name in ("one", "other")]
    identities = [identity(small_plan(store.path, FAST)) for store in stores]
    assert identities[0]["families"] != identities[1]["families"]
    assert stores[1].families == FAMILIES | {"a": ["Glioma", "SWI"]}
    with pytest.raises(BrainsslError, match="has its families: leave out --families"):
        identity(small_plan(tmp_path / "one", FAST, families=tmp_path / "one.csv"))
