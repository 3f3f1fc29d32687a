"""Lineage: every training behind a model is remembered, the last first."""

from brainssl.models.lineage import training_of, trainings

FIRST = {"method": "byol", "store": "a", "split_digest": "b", "seed": 1}


def start(training: dict[str, object]) -> dict[str, object]:
    return {"starting_weights": {"name": "start", "trained_on": training}}


def test_a_model_that_nobody_trained_has_none() -> None:
    assert training_of({}) == {}
    assert training_of({"starting_weights": {"name": "random"}}) == {}
    assert trainings({}) == trainings(None) == []


def test_a_chain_grows_by_each_training() -> None:
    own = {"method": "simclr", "store": "c"}
    second = training_of(own | start(FIRST))
    third = training_of({"method": "supervised", "label_fraction": 0.5} | start(second))
    assert [one["method"] for one in trainings(third)] == ["supervised", "simclr", "byol"]
    assert training_of(start(second)) == second  # nothing was trained since


def test_of_a_classifier_the_pretraining_comes_before_what_that_began_with() -> None:
    pretraining = training_of(FIRST | start({"method": "older"}))
    facts = {"method": "byol", "stage": "finetune", "pretrained": pretraining}
    told = trainings(training_of(facts | start({"method": "older"})))
    assert [one["method"] for one in told] == ["byol", "byol", "older"]


def test_what_is_of_no_use_is_not_remembered() -> None:
    assert training_of(FIRST | {"images": 3, "chosen": "epoch 2"}) == FIRST
