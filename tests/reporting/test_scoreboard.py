"""Figure 1 holds every score and interval of results.json, and none that is not there."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from brainssl.reporting.figures.scoreboard import KEYS, legend, panels
from brainssl.reporting.scoreboard import Board, boards, ordered
from brainssl.reporting.study import Study, read_study


@pytest.fixture(scope="module")
def study(make_study: Callable[..., Path]) -> Study:
    return read_study(make_study(classes=["a", "b", "c"], seeds=2, fractions=(0.1, 1.0)))


def drawn(board: Board, shown: list[Board]) -> set[tuple[float, float, float]]:
    """Value and ends of every marker of a panel, in per cent."""
    figure = panels("figure-1", shown)[shown.index(board)]
    found = set()
    for trace in json.loads(figure.specification)["data"]:
        if trace["mode"] == "markers":
            bars = trace["error_x"]
            for x, less, more in zip(trace["x"], bars["arrayminus"], bars["array"], strict=True):
                found.add((round(x, 1), round(x - less, 1), round(x + more, 1)))
    return found


def test_every_model_and_interval_is_drawn_and_none_invented(study: Study) -> None:
    raw = json.loads((study.folder / "results.json").read_text("utf-8"))["rows"]
    shown = boards(study, "grouped")
    assert [board.title for board in shown] == [
        "Slices, 100\u00a0% of labels",
        "Slices, 10\u00a0% of labels",
    ]
    for board, fraction in zip(shown, (1.0, 0.1), strict=True):
        own = [r for r in raw if (r["split"], r["label_fraction"]) == ("test", fraction)]
        numbers = {
            tuple(
                round(100 * x, 1) for x in (r["metrics"]["accuracy"], *r["intervals"]["accuracy"])
            )
            for r in own
        }
        assert len(own) == sum(len(entry.points) for entry in board.entries) == 8
        for (x, low, high), (y, lower, upper) in zip(
            sorted(drawn(board, shown)), sorted(numbers), strict=True
        ):
            assert (x, low, high) == pytest.approx((y, lower, upper), abs=0.11)


def test_guessing_is_the_share_of_the_most_frequent_class(study: Study) -> None:
    (row,) = study.arms("grouped")[0].rows[:1]
    predictions = study.predictions(row)
    assert predictions is not None
    share = predictions.frame["label"].value_counts(normalize=True).max()
    for board, figure in zip(
        boards(study, "grouped"), panels("f", boards(study, "grouped")), strict=True
    ):
        assert board.guess == pytest.approx(share)
        (line,) = [t for t in json.loads(figure.specification)["data"] if t["mode"] == "lines"]
        assert line["x"] == pytest.approx([100 * share] * 2, abs=0.006)


def test_the_best_come_first_and_controls_last(study: Study) -> None:
    shown = boards(study, "grouped")
    models = ordered(shown)
    means = {entry.title: entry.mean for entry in shown[0].entries}
    apart = [kind for _, kind in models if kind in ("control", "classical")]
    assert [kind for _, kind in models][-len(apart) :] == apart == ["control"]
    own = [means[title] for title, kind in models if kind != "control"]
    assert own == sorted(own, reverse=True)


def test_kinds_differ_in_more_than_their_colour(study: Study) -> None:
    assert len({key.symbol for key in KEYS.values()}) == len(KEYS)
    labels = [key.label for key in legend(boards(study, "grouped"))]
    assert labels[-1] == "Guessing"
    assert "Hand-made features (control)" not in labels


def test_of_several_starts_the_legend_calls_no_weights_untrained(study: Study) -> None:
    (first, *_) = boards(study, "grouped")
    control = next(entry for entry in first.entries if entry.kind == "control")
    other = replace(control, title="ImageNet weights as they are")
    several = replace(first, entries=(*first.entries, other))
    labels = [key.label for key in legend([several])]
    assert "Weights as they are (control)" in labels
    assert not any("Untrained" in label for label in labels)


def test_patients_come_before_slices_and_the_axis_says_which(study: Study) -> None:
    units = [
        {
            "unit": unit,
            "protocol": "grouped",
            "method": "simclr",
            "stage": "finetune",
            "label_fraction": 1.0,
            "seed": 0,
            "metrics": {"accuracy": 0.7},
            "intervals": {"accuracy": [0.6, 0.8]},
            "per_class": {"x": {"support": 3}, "y": {"support": 5}},
        }
        for unit in ("series", "patient")
    ]
    for known, title, axis in (
        (units, "Patients, 100\u00a0% of labels", "Family right, % of patients"),
        (
            [{**unit, "asked": "class"} for unit in units],
            "Patients, 100\u00a0% of labels",
            "Accuracy, % of patients",
        ),
        (units[:1], "Series, 100\u00a0% of labels", "Accuracy, % of series"),
    ):
        first, *slices = boards(replace(study, analysis={"units": known}), "grouped")
        assert first.title == title
        assert first.guess == 5 / 8
        assert len(slices) == 2
        figure = panels("figure-1", [first, *slices])[0]
        assert json.loads(figure.specification)["layout"]["xaxis"]["title"]["text"] == axis
        assert "SimCLR, fine-tuned 70.0" in figure.caption
