"""Series that look like something else: found without having learnt from their patient."""

import numpy as np
import pytest

from brainssl.data.appearance.check import (
    COLLECTION,
    FEWEST_GROUPS,
    SIMULATION,
    Check,
    plane_check,
    sequence_check,
)
from brainssl.simulation.cohort import simulate

SLICES = 3


def picture(name: str, generator: np.random.Generator) -> np.ndarray:
    """A head whose inside is dark in T1 and bright in T2, with noise; FLAIR has a bright rim."""
    rim, inside = {"T1": (150, 60), "T2": (90, 220), "FLAIR": (240, 120)}[name]
    image = np.zeros((64, 64))
    image[8:56, 10:54] = rim
    image[20:44, 20:44] = inside
    return (image + generator.normal(0, 12, image.shape)).clip(0, 255).astype(np.uint8)


def collection(names: list[str]) -> tuple[np.ndarray, list[str], list[int], list[str]]:
    """Images, what they show, patients, series: one series of three slices each patient."""
    generator = np.random.default_rng(0)
    shown = [name for name in names for _ in range(SLICES)]
    images = np.stack([picture(name, generator) for name in shown])
    groups = [at // SLICES for at in range(len(shown))]
    return images, shown, groups, [f"series {group}" for group in groups]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> "tuple[np.ndarray, list[list[str]]]":
    """A few simulated patients: images, and sequence, plane and patient of each."""
    import csv

    from PIL import Image

    folder = simulate(tmp_path_factory.mktemp("p") / "phantom", patients=8, size=64, seed=3)
    with (folder / "patients.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    images = np.stack([np.asarray(Image.open(folder / "images" / row["path"])) for row in rows])
    return images, [[row[key] for row in rows] for key in ("sequence", "plane", "patient")]


def test_a_series_that_is_told_wrongly_is_found_and_both_names_are_given() -> None:
    images, shown, groups, series = collection(["T1", "T2"] * 15)
    told = list(shown)
    told[:SLICES] = ["T2"] * SLICES  # the first patient's T1
    found = sequence_check(images, told, groups, series=series)
    assert len(found.series) == 30
    assert found.notes == ()
    [flagged] = found.flagged
    assert (flagged.series, flagged.told, flagged.seen) == ("series 0", "T2", "T1")
    assert (flagged.slices, flagged.by) == (SLICES, COLLECTION)
    assert flagged.told_probability + flagged.probability == pytest.approx(1)
    assert "told as T2" in flagged.sentence()
    assert "looks like T1" in flagged.sentence()


def test_right_series_are_not_flagged() -> None:
    images, shown, groups, series = collection(["T1", "T2", "FLAIR"] * 12)
    found = sequence_check(images, shown, groups, series=series)
    assert found.flagged == ()
    assert [one.seen for one in found.series] == [one.told for one in found.series]


def test_a_patient_does_not_teach_what_judges_him() -> None:
    # One group of all that is told wrongly: were it learnt, it would be believed.
    images, shown, groups, series = collection(["T1", "T2"] * 20)
    told = ["T2" if group % 10 == 0 else name for group, name in zip(groups, shown, strict=True)]
    one = [-1 if group % 10 == 0 else group for group in groups]
    found = sequence_check(images, told, one, series=series)
    assert {str(seen.series) for seen in found.flagged} == {
        f"series {at}" for at in (0, 10, 20, 30)
    }


def test_unsure_series_are_judged_and_teach_nothing() -> None:
    images, shown, groups, series = collection(["T1", "T2"] * 14)
    wrong = [group < 6 for group in groups]
    told = ["T2" if bad else name for bad, name in zip(wrong, shown, strict=True)]
    found = sequence_check(images, told, groups, series=series, sure=[not bad for bad in wrong])
    assert {str(one.series) for one in found.flagged} == {"series 0", "series 2", "series 4"}


def test_too_few_patients_are_said_and_not_learnt() -> None:
    few = FEWEST_GROUPS - 1
    images, shown, groups, series = collection(["T1", "T2"] * 12 + ["FLAIR"] * few)
    found = sequence_check(images, shown, groups, series=series)
    assert {one.told for one in found.series} == {"T1", "T2"}
    assert found.notes == (f"FLAIR: {few} patients, too few to learn from: not checked",)


def test_unknown_is_not_judged_but_counted() -> None:
    images, shown, groups, series = collection(["T1", "T2"] * 12)
    told = ["unknown"] * SLICES + shown[SLICES:]
    found = sequence_check(images, told, groups, series=series)
    assert "series 0" not in {one.series for one in found.series}
    assert found.notes == ("1 series of unknown sequence: nothing to check",)


def test_a_small_collection_is_judged_by_simulated_slices(
    phantom: "tuple[np.ndarray, list[list[str]]]",
) -> None:
    images, (sequences, planes, patients) = phantom
    series = [f"{patient} {name}" for patient, name in zip(patients, sequences, strict=True)]
    found = sequence_check(images, sequences, patients, series=series)
    assert {one.by for one in found.series} == {SIMULATION}
    assert found.flagged == ()
    assert any(
        "T1C+: " in note and "checked by simulated slices (T1 from T2" in note
        for note in found.notes
    )
    right = [one.seen == one.told for one in found.series]
    assert np.mean(right) > 0.8
    found = plane_check(images, planes, patients, series=series)
    assert np.mean([one.seen == one.told for one in found.series]) > 0.85
    swapped = ["sagittal" if plane == "axial" else plane for plane in planes]
    assert len(plane_check(images, swapped, patients, series=series).flagged) > 3


def test_what_does_not_belong_together_is_refused() -> None:
    images, shown, groups, _ = collection(["T1", "T2"])
    with pytest.raises(ValueError, match="6 images need as many"):
        sequence_check(images, shown[1:], groups)
    with pytest.raises(ValueError, match="6 images need as many"):
        sequence_check(images, shown, groups, series=["a"])


def test_no_image_is_no_check() -> None:
    empty = np.empty((0, 64, 64), np.uint8)
    assert sequence_check(empty, [], []) == Check((), ("no image: no sequence was checked",))
