"""What a classifier knows of itself, and what it says that it lacks."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from brainssl.evaluation.familiarity import Apart
from brainssl.evaluation.limits import OLDER, Limits
from brainssl.evaluation.predictions import Predictions

CLASSES = ("a", "b", "c")


def validation(groups: int, each: int = 3, right: float = 1.0, seed: int = 0) -> Predictions:
    generator = np.random.default_rng(seed)
    of = np.repeat(np.arange(groups), each)
    labels = of % 3
    logits = 3 * (right * np.eye(3)[labels] + generator.normal(0, 1, (len(of), 3)))
    ids = [str(at) for at in range(len(of))]
    return Predictions.build(ids, of, ["val"] * len(of), labels, logits, CLASSES)


def apart(val: Predictions) -> Apart:
    values = np.random.default_rng(1).random(len(val))
    return Apart(values, values)


def test_the_temperature_is_that_of_an_independent_optimiser() -> None:
    val = validation(60)
    found = Limits.fit(val, None).temperature

    def nll(slope: np.ndarray) -> float:
        logs = log_softmax(val.logits.astype(np.float64) * slope[0], axis=1)
        return -float(logs[np.arange(len(val)), val.labels].mean())

    expected = 1 / minimize(nll, [1.0], method="Nelder-Mead", options={"xatol": 1e-8}).x[0]
    assert found == pytest.approx(expected, rel=1e-4)
    assert expected > 2


def test_all_of_it_comes_back_from_json() -> None:
    val = validation(60)
    limits = Limits.fit(val, apart(val)).with_patients([])
    assert limits.lacks == ()
    assert (limits.images, limits.groups, set(limits.sets)) == (180, 60, {0.8, 0.9, 0.95})
    assert Limits.read(json.loads(json.dumps(limits.facts(), allow_nan=False))) == limits


@pytest.mark.parametrize(
    ("groups", "levels", "said"),
    [
        (3, [], ["80 % and 90 % and 95 %", "temperature takes 5 groups", "not known: too few"]),
        (8, [0.8], ["promised at 90 % and 95 %: that takes 9 groups", "up to 11.1 %"]),
        (18, [0.8, 0.9], ["promised at 95 %: that takes 19 groups", "up to 5.3 %"]),
    ],
)
def test_what_is_lacking_is_said(groups: int, levels: list[float], said: list[str]) -> None:
    val = validation(groups)
    limits = Limits.fit(val, apart(val))
    assert list(limits.sets) == levels
    told = " ".join(limits.lacks)
    for words in said:
        assert words in told


def test_no_known_images_are_not_too_few_groups() -> None:
    [told] = [one for one in Limits.fit(validation(60), None).lacks if "unlike anything" in one]
    assert "keeps no training images" in told
    assert "groups" not in told


def test_without_an_error_nothing_says_how_sure_it_may_be() -> None:
    limits = Limits.fit(validation(30, right=100), None)
    assert limits.temperature is None
    assert "no validation image is misclassified" in limits.lacks[0]


def test_shared_patients_are_said_and_a_file_of_before_knows_nothing() -> None:
    val = validation(60)
    assert "same patients" in Limits.fit(val, apart(val), shared=True).lacks[-1]
    assert Limits.read(None).lacks == (OLDER,)
    assert Limits.read(None).temperature is None
