"""Scores of saliency maps: every number shown is one that was measured, and words follow it."""

from typing import Any

from brainssl.explanation import scorecard
from brainssl.explanation.cam import MAPS
from brainssl.reporting.tables.scorecards import BLIND, MAP_TITLES, MEASURES, score_table, verdict


def test_every_map_and_measure_has_a_title() -> None:
    assert tuple(metric.name for metric in MEASURES) == scorecard.MEASURES
    assert BLIND == (scorecard.RANDOM, scorecard.CENTRE)
    assert set(MAP_TITLES) == {*MAPS, *BLIND}


def score(kind: str, measure: str, mean: float, **over: tuple[float, list[float] | None]) -> Any:
    gains = {name: {"difference": d, "interval": limits} for name, (d, limits) in over.items()}
    limits = [mean - 0.1, mean + 0.1]
    key = {"map": kind, "measure": measure, "n": 40, "groups": 12}
    return {**key, "mean": mean, "interval": limits, "over": gains}


FOUND = [
    score("gradcam", "pointing", 0.61, random=(0.5, [0.4, 0.57]), centre=(0.02, [-0.1, 0.12])),
    score("random", "pointing", 0.11, centre=(-0.48, [-0.6, -0.3])),
    score("centre", "pointing", 0.59),
    score("gradcam", "insertion_blurred", 0.4, random=(-0.05, [-0.08, -0.02])),
    score("random", "insertion_blurred", 0.45),
    score("gradcam", "randomised", 0.2),
]


def test_the_table_shows_each_measure_with_its_interval() -> None:
    table = score_table("scores", "Measured.", {"": FOUND})
    assert table.columns == ("Pointing game, %", "Insertion", "Random weights")
    assert [line.headers for line in table.lines] == [
        ("Grad-CAM",),
        ("Random map",),
        ("Blob in the centre",),
    ]
    first = table.lines[0].cells
    assert [(cell.text, cell.detail) for cell in first] == [
        ("61.0", "51.0–71.0"),
        ("0.400", "0.300–0.500"),
        ("0.200", "0.100–0.300"),
    ]
    assert [cell.text for cell in table.lines[2].cells] == ["59.0", "–", "–"]


def test_several_models_stand_under_their_titles() -> None:
    table = score_table("scores", "Measured.", {"SimCLR": FOUND, "BYOL": FOUND})
    assert table.stub == ("Model", "Map")
    assert [line.headers[0] for line in table.lines] == ["SimCLR"] * 3 + ["BYOL"] * 3
    assert [line.start for line in table.lines] == [True, False, False] * 2


def test_words_say_better_worse_or_not_to_be_told() -> None:
    finds, counts = verdict(FOUND)
    assert "maximum lies on the lesion in 61.0 % of 40 slices" in finds
    assert "50.0 points more than the random map (11.0), 95 % interval 40.0–57.0" in finds
    assert (
        "it cannot be told from the blob in the centre (59.0): 2.0 points more, "
        "95 % interval −10.0 to 12.0" in finds
    )
    assert "0.050 less than the random map (0.450)" in counts


def test_maps_that_stay_with_random_weights_are_told() -> None:
    stays = score("eigencam", "randomised", 0.83)
    assert "Eigen-CAM (0.830)" in verdict([*FOUND, stays])[-1]


def test_without_lesions_it_says_that_nothing_is_known() -> None:
    assert "No lesion is known in these slices" in verdict(FOUND[3:])[0]


def test_one_group_has_a_difference_without_interval() -> None:
    (told,) = verdict([score("gradcam", "pointing", 0.6, random=(0.2, None))])
    assert told.endswith("20.0 points more than the random map.")
