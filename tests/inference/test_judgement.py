"""A classifier that knows its limits: trained for a minute, saved, and asked."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import softmax
from typer.testing import CliRunner

import brainssl
from brainssl.cli import app
from brainssl.data.prepare import write_store
from brainssl.foundation.errors import BadUseError
from brainssl.inference.judgement import Judgement
from brainssl.models.classifier import Classifier

CLASSES = ("Glioma T1", "Glioma T2", "Normal T1", "Normal T2")
FAST = (
    "encoder.name=test_resnet",
    "finetune.epochs=6",
    "run.accelerator=cpu",
    "finetune.batch_size=32",
)


def head(kind: int, generator: np.random.Generator) -> np.ndarray:
    """A disc with noise: its level tells the sequence, a bright spot the family."""
    rows, columns = (np.mgrid[:32, :32] + 0.5) / 32 - 0.5
    pixels = (np.hypot(rows / 0.45, columns / 0.38) < 1) * (150.0 if kind % 2 else 90.0)
    if kind < 2:
        down, right = generator.uniform(-0.15, 0.15, 2)
        pixels += (np.hypot(rows - down, columns - right) < 0.12) * 80.0
    pixels += (pixels > 0) * generator.normal(0, 6, (32, 32))
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of 160 patients, each with a slice of both sequences."""
    folder, generator = tmp_path_factory.mktemp("knows"), np.random.default_rng(0)
    n, patient = 320, np.repeat(np.arange(160), 2)
    kind = 2 * (patient % 2) + np.tile([0, 1], 160)
    manifest = pd.DataFrame(
        {
            "image_id": [f"{at:016x}" for at in range(n)],
            "path": [f"{at}.png" for at in range(n)],
            "label": [CLASSES[k] for k in kind],
            "sequence": [CLASSES[k].split()[1] for k in kind],
            "patient": [f"P{who}" for who in patient],
            "group": patient.astype(np.int64),
            "width": np.full(n, 32),
            "height": np.full(n, 32),
            "source_bits": np.full(n, 8),
            "flags": "",
            "given": pd.Series([None] * n, dtype=object),
            "pixels": [f"{at:064x}" for at in range(n)],
        }
    )
    pictures = (head(k, generator) for k in kind)
    write_store(folder / "store", manifest, pictures, size=32, facts={"reader": 2})
    brainssl.finetune(folder / "store", folder / "tuned", overrides=list(FAST), quiet=True)
    return folder / "tuned"


def images(n: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.stack([head(at % 4, generator) for at in range(n)])


def answers(path: Path, pixels: np.ndarray, **asked: float) -> list[dict]:
    classifier = Classifier.load(path)
    return Judgement(classifier, **asked).answers(pixels, *classifier.seen(pixels))


def test_new_patients_are_familiar_and_what_is_no_head_is_not(trained: Path) -> None:
    known = [row["familiar"] for row in answers(trained, images(80, 1))]
    assert np.mean(known) > 0.8
    own = images(8, 2)
    noise = np.random.default_rng(3).integers(0, 256, own.shape).astype(np.uint8)
    odd = np.concatenate([noise, 255 - own, np.zeros_like(own[:1]), np.roll(own, 16, axis=2)])
    found = answers(trained, odd)
    assert not any(row["familiar"] for row in found)
    assert all(row["oddness"] > 1 for row in found)
    for row in found:
        assert re.fullmatch(r"Its features lie farther from all .* do\.", row["why"])


def test_probabilities_are_calibrated_sets_are_theirs_and_factors_their_sums(
    trained: Path,
) -> None:
    classifier, pixels = Classifier.load(trained), images(12, 4)
    assert classifier.limits is not None
    wide = classifier.logits(pixels).astype(np.float64)
    temperature = classifier.limits["temperature"] or 1.0
    shares = softmax(wide / temperature, axis=1)
    thresholds = classifier.limits["sets"]["0.8"]["thresholds"]
    rows = answers(trained, pixels, level=0.8)
    for row, share, plain in zip(rows, shares, softmax(wide, axis=1), strict=True):
        assert list(row["probabilities"].values()) == pytest.approx(share, abs=1e-9)
        assert list(row["softmax"].values()) == pytest.approx(plain, abs=1e-9)
        assert row["set"] == [
            n for n, p, t in zip(CLASSES, share, thresholds, strict=True) if p >= t
        ]
        assert row["family"]["probabilities"]["Glioma"] == pytest.approx(share[:2].sum())
        assert row["sequence"]["probabilities"]["T2"] == pytest.approx(share[[1, 3]].sum())


def test_neighbours_are_the_most_alike_of_different_patients(trained: Path) -> None:
    classifier, pixels = Classifier.load(trained), images(6, 5)
    known = classifier.reference
    assert known is not None
    own = (classifier.seen(pixels)[1] - known.frame[0]) / known.frame[1]
    features = known.features.astype(np.float64)
    cosine = (own @ features.T) / np.outer(
        np.linalg.norm(own, axis=1), np.linalg.norm(features, axis=1)
    )
    for row, alike in zip(answers(trained, pixels, neighbours=4), cosine, strict=True):
        best = pd.Series(alike).groupby(known.groups).max().sort_values(ascending=False)[:4]
        assert [one["similarity"] for one in row["neighbours"]] == pytest.approx(
            list(best), abs=1e-5
        )
        assert row["neighbours"][0]["image_id"] == known.image_ids[int(alike.argmax())]
        assert row["neighbours"][0]["label"] == CLASSES[known.labels[int(alike.argmax())]]


def test_nobody_who_asks_for_no_neighbours_waits_for_them(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answers(trained, images(6, 5), neighbours=1)
    monkeypatch.delattr("brainssl.inference.judgement.similarities")
    rows = answers(trained, images(6, 5))
    assert [row["neighbours"] for row in rows] == [[]] * 6
    assert [row["oddness"] for row in rows] == [row["oddness"] for row in expected]


def test_no_pixels_and_little_else_is_added_to_the_file(trained: Path) -> None:
    file = trained / "classifier.safetensors"
    model = Classifier.load(file)
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    assert file.stat().st_size < 1.5 * weights


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for at, pixels in enumerate(images(4, 6)):
        folder = tmp_path / "new" / f"P{at // 2}" / ("T2" if at % 2 else "T1")
        folder.mkdir(parents=True)
        Image.fromarray(pixels).save(folder / "slice.png")
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(tmp_path / "new" / "P0" / "blank.png")
    return tmp_path / "new"


def test_a_patient_s_sequences_are_multiplied(trained: Path, files: Path) -> None:
    told = brainssl.predict(trained, files, patients="folders")
    series = {(s["patient"], s["sequence"]): s["probabilities"] for s in told["series"]}
    rule = (Classifier.load(trained).limits or {})["fusion"]
    for patient in told["patients"]:
        assert [one["sequence"] for one in patient["sequences"]] == ["T1", "T2"]
        logs = []
        for one in patient["sequences"]:
            own = series[patient["patient"], one["sequence"]]
            glioma = own["Glioma T1"] + own["Glioma T2"]
            assert one["probabilities"]["Glioma"] == pytest.approx(glioma)
            weight = rule["weights"].get(one["sequence"], 1.0)
            logs.append((weight, np.log([glioma, 1 - glioma])))
        total = sum(weight for weight, _ in logs)
        shares = np.exp(sum(weight * log for weight, log in logs) / total)
        if rule["rule"] != "slices":
            expected = shares[0] / shares.sum()
            assert patient["probabilities"]["Glioma"] == pytest.approx(expected, abs=1e-4)


def run(*words: object, stdin: str | None = None) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(word) for word in words], input=stdin)
    return done.exit_code, done.stdout, done.stderr


def test_every_form_holds_the_same_answers(trained: Path, files: Path, tmp_path: Path) -> None:
    whole = json.loads(run("predict", trained, files, "--json")[1])
    rows = whole["predictions"]
    lines = run("predict", trained, files, "--format", "jsonl")[1].splitlines()
    assert [json.loads(line) for line in lines] == rows
    table = list(csv.DictReader(io.StringIO(run("predict", trained, files, "--format", "csv")[1])))
    assert [row["label"] for row in table] == [row["label"] for row in rows]
    assert [row["set"] for row in table] == [";".join(row["set"]) for row in rows]
    assert [row["familiar"] for row in table] == [str(row["familiar"]) for row in rows]
    assert table[0]["neighbours"].count(";") == 2
    said = run("predict", trained, files, "--format", "table")[1]
    for row in rows:
        answer = f"{row['label']} ({row['probability']:.3f})"
        assert f"{row['file']}: {answer}" in " ".join(said.split())
    strange = {f"Unfamiliar. {row['why']}" for row in rows if not row["familiar"]}
    assert strange
    assert strange <= {line.strip() for line in said.splitlines()}
    out = tmp_path / "said.jsonl"
    assert run("predict", trained, files, "--out", out)[1] == ""
    assert out.read_text("utf-8").splitlines() == lines


def test_names_come_from_standard_input_and_maps_lie_beside_the_answer(
    trained: Path, files: Path, tmp_path: Path
) -> None:
    names = sorted(files.rglob("slice.png"))[:2]
    out = tmp_path / "said.json"
    code, _, _ = run(
        "predict", trained, "-", "--maps", "--out", out, stdin="".join(f"{n}\n" for n in names)
    )
    assert code == 0
    rows = json.loads(out.read_text("utf-8"))["predictions"]
    assert [row["file"] for row in rows] == list(map(str, names))
    for number, row in enumerate(rows, start=1):
        assert Path(row["map"]) == tmp_path / "said-maps" / f"{number:04}-slice.png"
        with Image.open(row["map"]) as drawn:
            assert drawn.size == (32, 32)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--level", "0.7"], r"--level 0\.7 is none of 0\.8, 0\.9, 0\.95"),
        (["--maps"], "--maps needs --out"),
        (["--format", "xml"], "xml"),
        (["--format", "csv", "--json"], "give one"),
        (["--neighbours", "-1"], "neighbours"),
    ],
)
def test_bad_use_is_one_clear_line(trained: Path, files: Path, words: list[str], said: str) -> None:
    code, out, err = run("predict", trained, files, *words)
    assert (code, out) == (2, "")
    assert re.search(said, err)
    assert "Traceback" not in err


def test_a_level_that_there_is_not_is_refused(trained: Path) -> None:
    with pytest.raises(BadUseError, match="none of"):
        Judgement(Classifier.load(trained), level=0.99)
    with pytest.raises(BadUseError, match="0 or more"):
        Judgement(Classifier.load(trained), neighbours=-1)
