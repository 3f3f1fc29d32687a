"""What an archive says of its patients reaches the subgroups of a study's test images."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from oracles.heads import bids
from oracles.small_plan import small_plan

from brainssl.data.archives.reading import Reading
from brainssl.data.scan import scan
from brainssl.data.store import ImageStore
from brainssl.data.volumes.choice import Choice
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.subgroups import by_subgroup
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.progress import Terminal
from brainssl.studies.arms import Arm
from brainssl.studies.identity import identity
from brainssl.studies.plan import Plan
from brainssl.studies.preparation import prepared
from brainssl.studies.subgroups import cuts_by_protocol, known_images


def test_columns_of_an_archive_make_subgroups(tmp_path: Path) -> None:
    source = bids(tmp_path / "bids", 12, ("T1w",))
    table = (tmp_path / "bids" / "participants.tsv").read_text("utf-8").splitlines()
    lines = [
        f"{line}\t{'label' if at == 0 else 'ab'[at // 2 % 2]}" for at, line in enumerate(table)
    ]
    (tmp_path / "bids" / "participants.tsv").write_text("\n".join(lines), "utf-8")
    images = scan(source, reading=Reading(Choice(1))).manifest
    (tmp_path / "store").mkdir()
    images.to_parquet(tmp_path / "store" / "manifest.parquet")
    known = known_images(tmp_path)
    parts = ["train", "train", "test"] * 4
    labels = (images["label"] == "b").to_numpy(np.int64)
    model = Predictions.build(
        images["image_id"].tolist(),
        np.arange(12),
        parts,
        labels,
        np.eye(2)[labels],
        ("a", "b"),
    )
    arm = Arm("simclr", "linear", "grouped", 1.0, (0,), ("steps/x",), (model,), (0.5,))
    cuts = cuts_by_protocol([arm], known)["grouped"]
    trained = [int(age) for age, part in zip(images["age"], parts, strict=True) if part == "train"]
    assert cuts == {"age": [float(np.ceil(np.quantile(trained, q))) for q in (1 / 3, 2 / 3)]}
    found = by_subgroup(model.of("test"), known, cuts, draws=50)
    told = {column["column"]: column for column in found["columns"]}
    assert set(told) == {"age", "sex"}
    assert {value["value"] for value in told["sex"]["values"]} == {"F", "M"}
    assert sum(value["n"] for value in told["age"]["values"]) == 4
    assert told["age"]["cuts"] == cuts["age"]
    assert {"column": "plane", "why": "axial everywhere"} in found["left_out"]


def test_without_a_store_nothing_is_known(tmp_path: Path) -> None:
    assert len(known_images(tmp_path)) == 0


def test_columns_of_a_table_are_kept_if_they_are_asked_for(
    image_folder: Path, tmp_path: Path
) -> None:
    """Each beside the one that is left out; a study that was begun without one does not get it."""
    files = sorted(image_folder.rglob("*.png"))
    names = [file.relative_to(image_folder).as_posix() for file in files]
    table = pd.DataFrame({"path": names, "patient": [f"p{n // 2}" for n in range(len(names))]})
    sites = {"site": ["one", "two"], "scanner": ["old", "new"], "ward": ["a", "b"]}
    for column, values in sites.items():
        table[column] = [values[n // 2 % 2] for n in range(len(names))]
    table.to_csv(image_folder / "patients.csv", index=False)

    def columns(out: str, **asked: object) -> set[str]:
        plan = small_plan(image_folder, ["encoder.image_size=32"], **asked)
        with prepared(plan, tmp_path / out, Terminal(quiet=True)):
            return set(known_images(tmp_path / out)) & {*sites}

    assert columns("none") == set()
    assert columns("some", columns=("scanner", "ward")) == {"scanner", "ward"}
    both: dict[str, object] = {"leave_out": "site", "folds": 2}
    assert columns("left out", **both, columns=("scanner", "site")) == {"scanner", "site"}
    with pytest.raises(BrainsslError, match="was begun without the column site"):
        columns("some", columns=("site",))


def test_a_store_has_its_columns(store: ImageStore) -> None:
    plan: Plan = small_plan(store.path, columns=("site",))
    with pytest.raises(BrainsslError, match="has its columns: leave out --columns"):
        identity(plan)
