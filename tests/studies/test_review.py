"""Labels of a study that are probably wrong: whom it asks, what it lists, what it says."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brainssl.data.duplicates import Pairs
from brainssl.data.prepare import write_store
from brainssl.data.store import ImageStore
from brainssl.evaluation.calibration import fit_temperature
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError
from brainssl.studies.review import ask_models, calibrated, review, review_study
from brainssl.studies.review_files import facts_of, text_of, write_review

CLASSES = ("Glioma T1", "Meningioma T1", "Normal T1")
HELD = Path(__file__).parents[1] / "fixtures" / "earlier_study"
WRONG = (3, 47, 92, 140)
FOLDS = 3


def manifest_of(labels: list[str | None], copies: dict[int, int]) -> pd.DataFrame:
    n = len(labels)
    pixels = [f"{copies.get(at, at):064x}" for at in range(n)]
    return pd.DataFrame(
        {
            "image_id": [f"{at:016x}" for at in range(n)],
            "path": [f"=of {at}.png" if at == 3 else f"{at}.png" for at in range(n)],
            "label": pd.Series(labels, dtype=object),
            "sequence": pd.Series(["T1"] * n, dtype=object),
            "patient": [f"patient {at // 2}" for at in range(n)],
            "group": np.arange(n) // 2,
            "width": 8,
            "height": 8,
            "source_bits": 8,
            "flags": "",
            "given": pd.Series([None] * n, dtype=object),
            "pixels": pixels,
        }
    )


def made(folder: Path, *, methods: tuple[str, ...] = ("good", "poor", "untrained")) -> Path:
    """A study of 160 images in three folds; four labels are wrong, and image 158 is a copy of 0."""
    truth = [CLASSES[at // 2 % 3] for at in range(160)]
    labels: list[str | None] = list(truth)
    for at in WRONG:
        labels[at] = CLASSES[(CLASSES.index(truth[at]) + 1) % 3]
    labels[159] = None
    manifest = manifest_of(labels, {158: 0})
    near = Pairs(np.array([10, 20]), np.array([12, 26]), np.array([0.9, 0.99], np.float32))
    pixels = (np.full((8, 8), at, np.uint8) for at in range(160))
    write_store(folder / "store", manifest, pixels, size=8, facts={}, near=near)
    rows: list[dict[str, Any]] = []
    for place, method in enumerate(methods):
        for fold in range(1, FOLDS + 1):
            step = f"steps/{method}-{fold}"
            model = said(manifest, truth, fold, strength=(6.0, 1.0, 0.0)[place], seed=place)
            (folder / step).mkdir(parents=True)
            model.save(folder / step / "predictions.parquet")
            facts = {"method": method, "stage": "linear", "protocol": "grouped", "seed": 0}
            facts |= {"label_fraction": 1.0, "fold": fold, "step": step}
            score = {"f1_macro": (0.5, 0.9, 1.0)[place]}
            rows += [facts | {"split": split, "metrics": score} for split in ("val", "test")]
        pooled = Predictions.joined(
            [
                Predictions.load(folder / f"steps/{method}-{n}/predictions.parquet").of("test")
                for n in range(1, FOLDS + 1)
            ]
        )
        step = f"pooled/{method}"
        (folder / step).mkdir(parents=True)
        pooled.save(folder / step / "predictions.parquet")
        rows.append(facts | {"fold": "all", "step": step, "split": "test", "metrics": score})
    study = {"protocols": ["grouped"], "settings": {"evaluation": {"draws": 100}}}
    (folder / "results.json").write_text(json.dumps({"study": study, "rows": rows}), "utf-8")
    return folder


def said(
    manifest: pd.DataFrame, truth: list[str], fold: int, *, strength: float, seed: int
) -> Predictions:
    """What a model of a fold says: the truth, not the label, by its strength."""
    rng = np.random.default_rng(10 * seed + fold)
    known = manifest["label"].notna().to_numpy()
    test = np.flatnonzero(known & (manifest["group"] % FOLDS == fold - 1))
    val = np.flatnonzero(known & (manifest["group"] % FOLDS == fold % FOLDS))
    rows = np.concatenate([val, test])
    hit = np.eye(3)[[CLASSES.index(truth[row]) for row in rows]]
    own = manifest.iloc[rows]
    return Predictions.build(
        own["image_id"].tolist(),
        own["group"].to_numpy(np.int64),
        ["val"] * len(val) + ["test"] * len(test),
        np.array([CLASSES.index(label) for label in own["label"]]),
        strength * hit + rng.normal(size=hit.shape),
        CLASSES,
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("studies") / "study")


def test_wrong_labels_and_copies_come_first(study: Path) -> None:
    found = review_study(study)
    rows = found.rows
    assert rows["why"].head(2).str.startswith("copies").all()
    assert set(rows["path"].head(2)) == {"0.png", "158.png"}
    wrong = {"=of 3.png", *(f"{at}.png" for at in WRONG[1:])}
    assert set(rows["path"].iloc[2:6]) == wrong
    assert rows["why"].iloc[2] == "label"
    assert rows["score"].iloc[2:].is_monotonic_decreasing
    truth = {f"{at}.png": CLASSES[at // 2 % 3] for at in WRONG[1:]}
    told = dict(zip(rows["path"], rows["suggested"], strict=True))
    assert {path: told[path] for path in truth} == truth
    assert rows.loc[rows["path"] == "0.png", ["other", "other_label"]].to_numpy().tolist() == [
        ["158.png", CLASSES[1]]
    ]
    assert found.whole.images == 159
    assert found.whole.interval is not None


def test_near_duplicates_of_one_family_are_no_conflict(study: Path) -> None:
    rows = review_study(study).rows
    alike = rows[rows["why"].str.contains("alike")]
    # 10 and 12 are of two classes; 20 and 26 of one.
    assert set(alike["path"]) == {"10.png", "12.png"}


def test_the_models_are_those_of_each_folds_validation_and_calibrated_by_it(study: Path) -> None:
    rows = json.loads((study / "results.json").read_text("utf-8"))["rows"]
    asked = ask_models(study, rows, ["grouped"])
    assert [(one["method"], one["fold"]) for one in asked.models] == [
        (method, fold) for fold in (1, 2, 3) for method in ("poor", "good")
    ]
    expected = []
    for fold in range(1, FOLDS + 1):
        members = [
            Predictions.load(study / f"steps/{name}-{fold}/predictions.parquet")
            for name in ("good", "poor")
        ]
        warm = [one.of("test").probabilities(fit_temperature(one.of("val"))) for one in members]
        expected.append(np.mean(warm, axis=0))
    assert asked.predictions.probabilities() == pytest.approx(np.concatenate(expected), abs=1e-5)
    one = Predictions.load(study / "steps/good-1/predictions.parquet")
    assert calibrated(one)[1] == fit_temperature(one.of("val"))


def test_files_and_words(study: Path, tmp_path: Path) -> None:
    found = review_study(study)
    facts = facts_of(found, "study")
    write_review(found, tmp_path / "out", facts)
    written = json.loads((tmp_path / "out" / "review.json").read_text("utf-8"))
    assert written["listed"]["copies"] == 2
    assert sum(one["images"] for one in written["by_class"].values()) == 159
    table = pd.read_csv(tmp_path / "out" / "review.csv", keep_default_na=False)
    assert len(table) == len(found.rows)
    assert "'=of 3.png" in set(table["path"])
    probabilities = table[[f"p:{name}" for name in CLASSES]].astype(float)
    assert probabilities.sum(axis=1).to_numpy() == pytest.approx(1.0, abs=1e-4)
    text = text_of(found, facts)
    assert "159 labels of 80 groups" in text
    assert written["agreement"] > 0.9
    assert "mistake of their own" not in text
    assert len([line for line in text.splitlines() if line.endswith(".png")]) <= 20


def test_a_study_in_one_split_says_so(tmp_path: Path) -> None:
    copy = tmp_path / "study"
    shutil.copytree(HELD, copy)
    found = review_study(copy)
    assert found.folds == 0
    assert any("no folds" in note for note in found.notes)
    assert found.whole.images == 19
    assert {one["method"] for one in found.models} <= {"simclr", "supervised"}
    joined = " ".join(found.notes)
    assert found.agreement < 0.8
    assert "mistake of their own" in joined


def test_models_that_hardly_know_the_classes_tell_no_share(tmp_path: Path) -> None:
    folder = made(tmp_path / "study", methods=("good", "poor"))
    rows = json.loads((folder / "results.json").read_text("utf-8"))["rows"]
    asked = ask_models(folder, rows, ["grouped"])
    store = ImageStore.open(folder / "store")
    shuffled = np.roll(asked.predictions.logits, 1, axis=1)
    said = asked.predictions
    blind = Predictions.build(
        said.frame["image_id"].tolist(),
        said.groups,
        said.frame["split"].tolist(),
        said.labels,
        shuffled,
        CLASSES,
    )
    found = review(replace(asked, predictions=blind), store, draws=20)
    assert found.agreement < 0.8
    assert found.whole.share is None
    assert all(one.share is None for one in found.by_class)
    assert "too little to tell how many" in " ".join(found.notes)
    assert (
        text_of(found, facts_of(found, "study")).count("too little to tell") == 5
    )  # three classes, all, why


def test_another_store_is_refused(study: Path, tmp_path: Path) -> None:
    copy = tmp_path / "study"
    shutil.copytree(study, copy)
    held = ImageStore.open(study / "store")
    shutil.rmtree(copy / "store")
    labels = [None, *held.manifest["label"].tolist()[1:]]
    other = held.manifest.assign(label=pd.Series(labels, dtype=object))
    write_store(copy / "store", other, iter(held.images), size=8, facts={})
    with pytest.raises(BrainsslError, match="other images or labels"):
        review_study(copy)


def test_what_is_no_study_is_refused_in_one_line(tmp_path: Path, study: Path) -> None:
    with pytest.raises(BrainsslError, match=r"results\.json is missing"):
        review_study(tmp_path)
    (tmp_path / "results.json").write_text("[]", "utf-8")
    with pytest.raises(BrainsslError, match="not the results of a study"):
        review_study(tmp_path)
    with pytest.raises(BrainsslError, match="no predictions of trained models"):
        ask_models(study, [], ["grouped"])
    with pytest.raises(BrainsslError, match="no protocol grouped"):
        ask_models(study, [], ["paper"])


def test_of_an_older_store_near_duplicates_are_not_known(study: Path) -> None:
    rows = json.loads((study / "results.json").read_text("utf-8"))["rows"]
    store = replace(ImageStore.open(study / "store"))
    store.__dict__["near"] = None
    found = review(ask_models(study, rows, ["grouped"]), store, draws=20)
    assert any("older version" in note for note in found.notes)
    assert not found.rows["why"].str.contains("alike").any()
