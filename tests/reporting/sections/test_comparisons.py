"""What is said of pairs is what the analysis found, in words and in the table."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brainssl.reporting.blocks import Fold
from brainssl.reporting.sections.comparisons import (
    content,
    difference_table,
    sentences,
    undecided,
    within,
)
from brainssl.reporting.study import read_study

SIMCLR = {"method": "simclr", "stage": "finetune"}
MOCO = {"method": "mocov3", "stage": "finetune"}
SUPERVISED = {"method": "supervised", "stage": "supervised"}


def pair(
    first: dict[str, str], second: dict[str, str], difference: float, p: float, fraction: float = 1
) -> dict[str, Any]:
    return {
        "protocol": "grouped",
        "label_fraction": fraction,
        "first": first,
        "second": second,
        "metric": "accuracy",
        "difference": difference,
        "interval": [difference - 0.015, difference + 0.015],
        "p_value": p / 3,
        "p_holm": p,
    }


PAIRS = [
    pair(SIMCLR, MOCO, 0.004, 1.0),
    pair(SIMCLR, SUPERVISED, 0.05, 0.01),
    pair(SUPERVISED, MOCO, -0.046, 0.03),
]


def test_pairs_are_said_in_words() -> None:
    said = " ".join([*sentences(PAIRS), *undecided(PAIRS)])
    assert (
        "2 of 3 pairs of models differ after correction for all of them (Holm, p < 0.05)." in said
    )
    assert (
        "SimCLR, fine-tuned is ahead of the supervised baseline by 5.0 points, 95 % interval 3.5 "
        "to 6.5." in said
    )
    # Whoever comes first in the pair, it is the better one that is ahead.
    assert "MoCo v3, fine-tuned is ahead of the supervised baseline by 4.6 points" in said
    assert (
        "SimCLR, fine-tuned and MoCo v3, fine-tuned cannot be told apart on these data: difference "
        "0.4 points, 95 % interval −1.1 to 1.9." in said
    )


def test_a_pair_without_an_interval_is_not_told_apart() -> None:
    one = pair(SIMCLR, MOCO, 0.5, 1.0) | {"interval": None, "p_value": None, "p_holm": None}
    assert "difference 50.0 points, without an interval." in " ".join(undecided([one]))


def test_the_table_has_each_pair_twice_with_opposite_signs() -> None:
    table = difference_table(PAIRS, 1.0)
    assert table.columns == tuple(line.headers[0] for line in table.lines)
    text = [[cell.text for cell in line.cells] for line in table.lines]
    assert text == [["·", "+0.4", "+5.0"], ["−0.4", "·", "+4.6"], ["−5.0", "−4.6", "·"]]
    details = [[cell.detail for cell in line.cells] for line in table.lines]
    assert details[0][1] == "−1.1 to 1.9"
    assert details[1][0] == "−1.9 to 1.1"
    assert table.lines[0].cells[2].title == "p = 0.0033, corrected for 3 pairs 0.0100"
    shaded = [[cell.shade is not None for cell in line.cells] for line in table.lines]
    assert shaded == [[False, False, True], [False, False, True], [True, True, False]]


def test_fewer_labels_are_folded_and_other_metrics_left_out(study: Path) -> None:
    few = [p | {"label_fraction": 0.1} for p in PAIRS]
    other = [p | {"metric": "f1_macro"} for p in PAIRS]
    read = replace(read_study(study), analysis={"comparisons": [*few, *PAIRS, *other]})
    blocks = content(read)
    assert [b.kind for b in blocks] == ["prose", "table", "fold", "fold", "fold"]
    titles = [block.title for block in blocks if isinstance(block, Fold)]
    assert titles == [
        "Pairs that cannot be told apart",
        "With 10\u00a0% of the labels",
        "How models are compared",
    ]


def test_whose_p_values_are_corrected_together_is_told_where_two_sections_have_one(
    study: Path,
) -> None:
    read = replace(read_study(study), analysis={"comparisons": PAIRS})

    def how() -> str:
        fold = content(read)[-1]
        assert isinstance(fold, Fold)
        return str(fold)

    assert "for all pairs of models with the same labels" in how()
    assert "What self-supervision adds" not in how()
    alone = {"starts": [{"name": "imagenet"}]}
    read = replace(read, facts=read.facts | alone)
    assert "What self-supervision adds” asks for fewer differences" in how()


@pytest.mark.parametrize("analysis", [{}, {"comparisons": []}])
def test_without_pairs_there_is_no_section(study: Path, analysis: dict[str, Any]) -> None:
    assert content(replace(read_study(study), analysis=analysis)) == ()


def test_what_does_not_survive_the_correction_is_said_to_be_possible_chance() -> None:
    said = " ".join(
        undecided([pair(SIMCLR, MOCO, 0.05, 0.2), pair(SIMCLR, SUPERVISED, 0.05, 0.01)])
    )
    assert (
        "SimCLR, fine-tuned is ahead of MoCo v3, fine-tuned by 5.0 points, 95 % interval 3.5 to "
        "6.5; corrected for 2 pairs, that may be chance (p = 0.20)." in said
    )
    assert "cannot be told apart" not in said


@pytest.mark.parametrize(
    ("model", "title"),
    [
        (SUPERVISED, "the supervised baseline"),
        (SUPERVISED | {"start": "imagenet"}, "supervised from ImageNet"),
        ({"method": "untrained", "stage": "linear"}, "the untrained encoder, linear probe"),
        (
            {"method": "untrained", "stage": "linear", "start": "random"},
            "the untrained encoder, linear probe",
        ),
        (
            {"method": "untrained", "stage": "linear", "start": "imagenet"},
            "ImageNet weights as they are",
        ),
        (SIMCLR | {"start": "radnet"}, "SimCLR from radnet, fine-tuned"),
    ],
)
def test_a_start_is_told_within_a_sentence(model: dict[str, str], title: str) -> None:
    assert within(model) == title
