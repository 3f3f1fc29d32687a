"""The study population and its files."""

import csv
import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from brainssl.simulation import cohort, simulate
from brainssl.simulation.cohort import CLASS_COUNTS, Patient, plan_cohort

CLASSES = {f"{f} {s}" for f, counts in CLASS_COUNTS.items() for s in counts}
SIZE = 64


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("one") / "phantom", patients=6, size=SIZE, workers=1)


def tally(plan: list[Patient]) -> tuple[Counter[str], dict[str, set[str]]]:
    slices: Counter[str] = Counter()
    patients = defaultdict(set)
    for patient in plan:
        for sequence, n in patient.slices.items():
            slices[f"{patient.family} {sequence}"] += n
            patients[f"{patient.family} {sequence}"].add(patient.name)
    return slices, patients


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_the_default_population_has_the_published_proportions() -> None:
    slices, _ = tally(plan_cohort(130, np.random.default_rng(0)))
    published = {f"{f} {s}": n for f, c in CLASS_COUNTS.items() for s, n in c.items()}
    total = sum(published.values())
    assert len(published) == 17
    assert total == 4415
    assert sum(slices.values()) == pytest.approx(1000, abs=10)
    for name, n in published.items():
        assert slices[name] == pytest.approx(1000 * n / total, abs=2)


def test_patients_have_one_two_or_three_sequences() -> None:
    plan = plan_cohort(130, np.random.default_rng(0))
    assert {len(p.slices) for p in plan} == {1, 2, 3}


@settings(max_examples=40, deadline=None)
@given(patients=st.integers(1, 300), seed=st.integers(0, 2**32))
def test_what_holds_for_every_plan(patients: int, seed: int) -> None:
    plan = plan_cohort(patients, np.random.default_rng(seed))
    slices, people = tally(plan)
    assert len({p.name for p in plan}) == patients
    for patient in plan:
        assert patient.slices, "a patient without a scan"
        assert all(2 <= n <= 6 for n in patient.slices.values())
        assert set(patient.slices) <= set(CLASS_COUNTS[patient.family])
    if patients >= 6:
        assert set(slices) == CLASSES
    if patients >= 30:
        assert min(len(p) for p in people.values()) >= 4


def test_layout_and_table(phantom: Path) -> None:
    with (phantom / "patients.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:2] == ["path", "patient"]
    paths = {row["path"] for row in rows}
    for kind in ("images", "masks"):
        assert {
            p.relative_to(phantom / kind).as_posix() for p in (phantom / kind).rglob("*.png")
        } == paths
    assert {p.split("/")[0] for p in paths} == CLASSES
    assert len({row["patient"] for row in rows}) == 6
    for row in rows:
        assert row["path"].startswith(f"{row['family']} {row['sequence']}/{row['patient']}_")
        assert row["plane"] in row["path"]
    record = json.loads((phantom / "phantom.json").read_text(encoding="utf-8"))
    assert (record["seed"], record["patients"], record["size"]) == (0, 6, SIZE)
    assert record["slices"] == len(rows)
    assert record["tissues"]["1.5 T"]["white"]["t1"] == 500
    assert record["sources"]


def test_pixels_and_masks(phantom: Path) -> None:
    for file in (phantom / "images").rglob("*.png"):
        image = Image.open(file)
        mask = np.asarray(Image.open(phantom / "masks" / file.relative_to(phantom / "images")))
        pixels = np.asarray(image)
        assert image.mode == "L"
        assert pixels.shape == mask.shape == (SIZE, SIZE)
        assert set(np.unique(mask)) <= {0, 255}
        assert mask.any() == (not file.parent.name.startswith("Normal"))
        assert pixels.std() > 10, "an empty picture"
        corners = pixels[[0, 0, 0], [0, -1, SIZE // 2]]
        assert np.median(corners) < 60, "air is not dark"


def test_the_same_bytes_with_two_workers(phantom: Path, tmp_path: Path) -> None:
    again = simulate(tmp_path / "again", patients=6, size=SIZE, workers=2)
    assert contents(again) == contents(phantom)


def test_another_seed_gives_other_patients(tmp_path: Path) -> None:
    one, two = (
        contents(simulate(tmp_path / str(s), patients=1, size=SIZE, seed=s, workers=1))
        for s in (1, 2)
    )
    images = [{v for k, v in c.items() if k.startswith("images/")} for c in (one, two)]
    assert not images[0] & images[1]


def test_progress_counts_slices_up_to_the_total(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    simulate(tmp_path / "p", patients=2, size=SIZE, workers=1, progress=lambda *c: calls.append(c))
    done, totals = zip(*calls, strict=True)
    assert len(set(totals)) == 1
    assert list(done) == sorted(done)
    assert done[-1] == totals[0] == len(list((tmp_path / "p" / "images").rglob("*.png")))


def test_a_failed_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = cohort._image_patient

    def fail_on_the_second(patient: Patient, *rest):
        if patient.name == "p002":
            raise KeyboardInterrupt
        return original(patient, *rest)

    monkeypatch.setattr(cohort, "_image_patient", fail_on_the_second)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "out", patients=2, size=SIZE, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_out_does_not_exist_while_work_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    seen: list[bool] = []
    simulate(out, patients=1, size=SIZE, workers=1, progress=lambda *_: seen.append(out.exists()))
    assert seen == [False]
    assert out.is_dir()


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        simulate(tmp_path, patients=1, size=SIZE)
    assert (tmp_path / "keep.txt").read_text() == "mine"


@pytest.mark.parametrize("bad", [{"patients": 0}, {"size": 32}, {"seed": -1}, {"workers": 0}])
def test_arguments_out_of_range_are_refused(bad: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        simulate(tmp_path / "out", **bad)
    assert not (tmp_path / "out").exists()
