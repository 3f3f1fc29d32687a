"""Who is examined, and what is taken."""

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import ndimage

from brainssl.simulation.archives.study import (
    ORDER,
    Study,
    draw_study,
    lesion_centre,
    take,
    take_localiser,
    timing_of,
)
from brainssl.simulation.cohort import Patient, draw_patient, draw_plan
from brainssl.simulation.lesions import draw_lesion
from brainssl.simulation.scanner import SCANNERS, TISSUE_CONSTANTS, spin_echo


def everybody(count: int = 12, size: int = 64, slices: int = 8) -> Iterator[Study]:
    plan, seeds = draw_plan(count, 0)
    for number, (patient, seed) in enumerate(zip(plan, seeds, strict=True), start=1):
        yield draw_study(patient, number, seed, slices=slices, size=size)


@pytest.fixture(scope="module")
def studies() -> list[Study]:
    return list(everybody())


def test_patients_are_those_of_the_slices_of_the_same_seed(studies: list[Study]) -> None:
    plan, seeds = draw_plan(12, 0)
    for study, patient, seed in zip(studies, plan, seeds, strict=True):
        head, scanner, target = draw_patient(patient.family, np.random.default_rng(seed))
        assert study.scanner == scanner
        np.testing.assert_array_equal(study.head.affine, head.affine)
        assert {s.sequence for s in study.settings} - {"FLAIR"} == set(patient.slices)
        if study.lesion is None:
            assert patient.family == "Normal"
        else:
            np.testing.assert_array_equal(study.lesion.centre, target.centre)


def test_contrast_agent_comes_last_and_time_passes(studies: list[Study]) -> None:
    for study in studies:
        names = [s.sequence for s in study.settings]
        assert names == [name for name in ORDER if name in names]
        assert [s.timing.contrast for s in study.settings] == [n == "T1C+" for n in names]
        assert (np.diff([s.minute for s in study.settings]) > 0).all()
    assert any("FLAIR" in {s.sequence for s in study.settings} for study in studies)


def test_one_plane_of_t1_keeps_its_places_after_contrast_agent(studies: list[Study]) -> None:
    shared = 0
    for study in studies:
        held = {s.sequence: s.stack for s in study.settings}
        if "T1" in held and "T1C+" in held and held["T1"].plane == held["T1C+"].plane:
            assert held["T1"] is held["T1C+"]
            shared += 1
        if "T1" in held and "T2" in held:
            assert held["T1"] is not held["T2"]
    assert shared


def test_age_is_that_of_the_fluid_spaces(studies: list[Study]) -> None:
    for study in studies:
        share = (study.head.subarachnoid - 0.4) / 1.6
        assert study.age == round(18 + 67 * share)


def test_draws_do_not_depend_on_the_number_of_voxels(studies: list[Study]) -> None:
    for one, other in zip(studies, everybody(size=96, slices=30), strict=True):
        assert (one.sex, one.age, one.begun) == (other.sex, other.age, other.begun)
        assert [s.timing for s in one.settings] == [s.timing for s in other.settings]
        for a, b in zip(one.settings, other.settings, strict=True):
            np.testing.assert_array_equal(a.stack.frame, b.stack.frame)


@pytest.mark.parametrize("scanner", SCANNERS, ids=lambda s: s.name)
def test_flair_shows_no_fluid_and_bright_oedema(scanner: object) -> None:
    timing = timing_of(scanner, "FLAIR", np.random.default_rng(0))
    tissues = TISSUE_CONSTANTS[scanner.field]
    signal = {name: spin_echo(t, timing, scanner.field) for name, t in tissues.items()}
    assert signal["csf"] == pytest.approx(0, abs=1e-9)
    assert signal["grey"] > signal["white"] > 0.1
    # Longitudinal magnetisation after an inversion, once the cycle is steady.
    t1, t2, density = (getattr(tissues["grey"], name) for name in ("t1", "t2", "pd"))
    before = 1 - np.exp(-(timing.tr - timing.ti) / t1)
    at_excitation = 1 - (1 + before) * np.exp(-timing.ti / t1)
    expected = density * at_excitation * np.exp(-timing.te / t2)
    assert signal["grey"] == pytest.approx(expected, rel=1e-6)


def test_samples_have_twelve_bits_and_little_is_clipped(studies: list[Study]) -> None:
    study = next(s for s in studies if s.lesion is not None)
    taken = take(study)
    assert [t.setting for t in taken] == list(study.settings)
    for one in taken:
        assert one.samples.shape == one.mask.shape == (8, 64, 64)
        assert one.samples.max() <= 4095
        assert (one.samples == 4095).mean() < 0.002
        assert np.percentile(one.samples, 99.9) == pytest.approx(one.setting.brightness, rel=0.01)
        assert one.mask.any()
        # Air: the mean of Rayleigh noise is sigma sqrt(pi / 2), near zero beside the head.
        assert np.median(one.samples[:, 0, 0]) < 0.2 * one.setting.brightness
    for one in take_localiser(study):
        assert one.samples.shape == (3, 64, 64)
        assert one.samples.std() > 50


@pytest.mark.parametrize("family", ["Glioma", "Meningioma", "Schwannoma"])
def test_a_lesion_is_in_one_piece(family: str) -> None:
    seed = np.random.SeedSequence(8)
    patient = Patient("p001", family, {"T1": 3})
    study = draw_study(patient, 1, seed, slices=40, size=64)
    (taken,) = take(study)
    parts, count = ndimage.label(taken.mask, np.ones((3, 3, 3)))
    sizes = ndimage.sum_labels(taken.mask, parts, np.arange(1, count + 1))
    assert sizes.max() > 0.95 * sizes.sum()


def test_the_centre_of_a_ball_is_its_centre() -> None:
    study = next(s for s in everybody() if s.lesion is not None)
    lesion = draw_lesion("Neurocytoma", study.head, np.random.default_rng(1))
    found = lesion_centre(study)
    assert found is not None
    assert np.linalg.norm(found - study.lesion.centre) < study.lesion.radius
    assert lesion.family == "Neurocytoma"
