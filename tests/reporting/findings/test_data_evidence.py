from pathlib import Path
from typing import Any

import pytest

from brainssl.reporting.findings.data_evidence import (
    DATA_EVIDENCE,
    field_of_view,
    partition,
    remainder,
)
from brainssl.reporting.study import Study

SPLIT = {
    "images": {"train": 30, "val": 5, "test": 2000},
    "groups": {"train": 10, "val": 1, "test": 40},
    "counts": {"train": {"Glioma T1": 21, "Normal T1": 9}},
    "seed": 7,
    "digest": "0123456789abcdef" * 4,
}


def study(audit: dict[str, Any] | None = None, **facts: Any) -> Study:
    return Study(Path("nowhere"), facts, (), audit or {})


def test_a_part_is_told_with_its_images_groups_and_split() -> None:
    told = partition(study(splits={"grouped": SPLIT}), "grouped")
    assert told == (
        "Protocol “grouped”: training 30 images of 10 groups, validation 5 images of 1 group, "
        "test 2\u202f000 images of 40 groups; split seed 7, digest 0123456789ab…."
    )
    assert partition(study(splits={"grouped": SPLIT}), "image") == ""


def test_a_field_of_view_is_told_where_there_is_one() -> None:
    told = field_of_view(study(field_of_view=180.0))
    assert told.endswith("was first cropped or padded about the head to a square of 180 mm.")
    assert field_of_view(study(field_of_view=None)) == field_of_view(study()) == ""


def test_a_protocol_is_told_with_what_it_keeps_apart_and_whether_patients_are_known() -> None:
    facts = {"protocols": ["grouped", "image"], "splits": {"grouped": SPLIT, "image": SPLIT}}
    level = DATA_EVIDENCE["level"]
    assert "“grouped”: All images of a patient" in level(study(**facts))
    assert "“image”: The images are divided one by one" in level(study(**facts))
    assert level(study(**facts)).endswith("may stand in training and test.")
    assert level(study({"patients": 12}, **facts)).endswith("12 patients known.")


def test_the_smallest_and_the_largest_class_are_those_of_training() -> None:
    told = DATA_EVIDENCE["balance"](study(protocols=["grouped"], splits={"grouped": SPLIT}))
    assert told == (
        "Training images under “grouped”: from 9 (Normal T1) to 21 (Glioma T1) of a class."
    )


@pytest.mark.parametrize(
    ("weights", "told"), [(None, "loss focal."), ("inverse", "loss focal, inverse weights of cl")]
)
def test_what_was_done_about_rare_classes_is_told(weights: str | None, told: str) -> None:
    own = {"sampling": "natural", "loss": "focal", "class_weights": weights}
    facts = {"protocols": ["grouped"], "splits": {"grouped": SPLIT}, "settings": {"finetune": own}}
    assert f"Fine-tuning: sampling natural, {told}" in DATA_EVIDENCE["balance"](study(**facts))


@pytest.mark.parametrize("learnt", [True, False])
def test_the_control_is_told_as_it_came_out(learnt: bool) -> None:
    control = {"protocol": "image", "accuracy": 0.4171, "guessing": 0.163, "learnt": learnt}
    told = DATA_EVIDENCE["leakage"](
        Study(Path("nowhere"), {}, (), {}, {"random_labels": [control]})
    )
    assert "accuracy 41.7 % under “image” where guessing gives 16.3 %" in told
    assert ("does not show" in told) != learnt
    wide = control | {"learnt": False, "interval": [-0.2, 0.3]}
    study = Study(Path("nowhere"), {}, (), {}, {"random_labels": [wide]})
    assert "cannot tell whether they were learnt" in DATA_EVIDENCE["leakage"](study)


def test_what_is_left_in_training_is_told_of_each_split() -> None:
    def told(**left: int | None) -> str:
        splits = {name: SPLIT | {"near_duplicates": n} for name, n in left.items()}
        return remainder(study(protocols=list(splits), splits=splits))

    assert told(grouped=0, image=690) == (
        "Test images with a copy or near-duplicate in training: none found of 2\u202f000 under "
        "“grouped” and 690 of 2\u202f000 under “image”."
    )
    assert told(grouped=None) == ""
    assert remainder(study(protocols=["grouped"], splits={"grouped": SPLIT})) == ""
    evidence = study(protocols=["grouped"], splits={"grouped": SPLIT | {"near_duplicates": 3}})
    assert DATA_EVIDENCE["leakage"](evidence) == remainder(evidence)


def test_nothing_is_said_of_a_study_without_facts() -> None:
    assert {told(study()) for told in DATA_EVIDENCE.values()} == {""}
