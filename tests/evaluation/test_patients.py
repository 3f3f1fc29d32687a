"""Slices become patients: by rules that validation alone chooses, and nobody counts twice."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from scipy.special import softmax

from brainssl.data.families import factors
from brainssl.evaluation import patients
from brainssl.evaluation.factors import by_factor
from brainssl.evaluation.intervals import bootstrap
from brainssl.evaluation.patients import (
    RULES,
    Rule,
    choose_rule,
    fuse,
    fuse_folds,
    in_words,
    patient_units,
    series_units,
)
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.rows import result_rows
from brainssl.foundation.errors import BrainsslError
from brainssl.settings.sections import EvaluationSettings

CLASSES = ("Glioma T1", "Glioma T2", "Normal T1", "Normal T2")
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


def said(
    logits: np.ndarray, labels: np.ndarray, groups: np.ndarray, split: str | list[str] = "test"
) -> Predictions:
    """Slice `s3` of patient 1 is the fourth row; the patient is the group."""
    n = len(labels)
    splits = [split] * n if isinstance(split, str) else split
    classes = CLASSES[: logits.shape[1]]
    return Predictions.build(
        [f"s{i}" for i in range(n)], groups.astype(np.int64), splits, labels, logits, classes
    )


def cohort(seed: int = 0, count: int = 60) -> tuple[Predictions, dict[str, str]]:
    """Patients of one to eight slices and one class each; two thirds are for validation."""
    generator = np.random.default_rng(seed)
    of = np.repeat(np.arange(count), generator.integers(1, 9, count))
    labels = of % 4
    logits = generator.normal(0, 2, (len(of), 4)) + 1.5 * np.eye(4)[labels]
    splits = ["test" if patient % 3 == 2 else "val" for patient in of]
    model = said(logits, labels, of, splits)
    return model, {f"s{i}": f"p{patient}" for i, patient in enumerate(of)}


def rows_of(model: Predictions, units: Mapping[str, str]) -> dict[str, np.ndarray]:
    named = model.frame["image_id"].map(units).to_numpy()
    return {name: np.flatnonzero(named == name) for name in sorted(set(named))}


def test_a_mean_of_probabilities_is_that_of_its_slices() -> None:
    model, units = cohort()
    fused = fuse(model, units, Rule("probabilities"))
    slices = softmax(model.logits.astype(float), axis=1)
    rows = rows_of(model, units)
    assert sorted(fused.frame["image_id"]) == list(rows)
    for name, said_of in zip(fused.frame["image_id"], fused.probabilities(), strict=True):
        assert said_of == pytest.approx(slices[rows[name]].mean(0), abs=1e-6)


def test_a_mean_of_logits_is_the_root_of_the_product_of_probabilities() -> None:
    model, units = cohort()
    fused = fuse(model, units, Rule("logits"))
    slices = softmax(model.logits.astype(float), axis=1)
    rows = rows_of(model, units)
    for name, said_of in zip(fused.frame["image_id"], fused.probabilities(), strict=True):
        root = np.prod(slices[rows[name]], axis=0) ** (1 / len(rows[name]))
        assert said_of == pytest.approx(root / root.sum(), abs=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_the_surest_slices_alone_count(k: int) -> None:
    model, units = cohort()
    fused = fuse(model, units, Rule("probabilities", k))
    slices = softmax(model.logits.astype(float), axis=1)
    rows = rows_of(model, units)
    for name, said_of in zip(fused.frame["image_id"], fused.probabilities(), strict=True):
        own = slices[rows[name]]
        surest = sorted(own, key=lambda p: -max(p))[:k]
        assert said_of == pytest.approx(np.mean(surest, axis=0), abs=1e-6)


def test_all_slices_are_surest_where_there_are_not_more() -> None:
    model, units = cohort()
    whole = fuse(model, units, Rule("probabilities"))
    largest = max(len(rows) for rows in rows_of(model, units).values())
    for k in (largest, largest + 10):
        assert fuse(model, units, Rule("probabilities", k)).frame.equals(whole.frame)
    assert not fuse(model, units, Rule("probabilities", largest - 1)).frame.equals(whole.frame)


@each_rule
def test_a_unit_of_one_slice_says_what_the_slice_says(rule: Rule) -> None:
    model, _ = cohort()
    alone = {name: name for name in model.frame["image_id"]}
    fused = fuse(model, alone, rule)
    back = fused.frame.set_index(["image_id"]).loc[model.frame["image_id"]].reset_index()
    again = Predictions(back, CLASSES)
    assert again.probabilities() == pytest.approx(model.probabilities(), abs=1e-6)
    keys = ["image_id", "group", "split", "label"]
    assert again.frame[keys].equals(model.frame[keys])


@each_rule
def test_the_order_of_slices_changes_nothing(rule: Rule) -> None:
    model, units = cohort()
    logits = model.logits.copy()
    logits[::2] = 1000 * np.eye(4)[np.arange(len(logits[::2])) % 4]  # equally sure of unlike things
    model = said(logits, model.labels, model.groups, model.frame["split"].tolist())
    shuffled = model.frame.sample(frac=1.0, random_state=3).reset_index(drop=True)
    assert fuse(Predictions(shuffled, CLASSES), units, rule).frame.equals(
        fuse(model, units, rule).frame
    )


@each_rule
def test_units_keep_split_group_and_label_of_their_slices(rule: Rule) -> None:
    model, units = cohort()
    fused = fuse(model, units, rule).frame.set_index("image_id")
    slices = model.frame.assign(unit=model.frame["image_id"].map(units)).drop_duplicates("unit")
    own = slices.set_index("unit").loc[fused.index]
    for column in ("split", "group", "label"):
        assert fused[column].tolist() == own[column].tolist()


def test_a_patient_on_both_sides_of_a_leaky_split_is_one_on_each() -> None:
    model = said(
        np.eye(4)[[0, 1, 0, 2]], np.zeros(4, int), np.zeros(4), ["val", "val", "test", "test"]
    )
    fused = fuse(model, dict.fromkeys(("s0", "s1", "s2", "s3"), "p"), Rule("logits"))
    assert fused.frame[["image_id", "split"]].to_numpy().tolist() == [["p", "val"], ["p", "test"]]
    assert fused.logits == pytest.approx(np.array([[0.5, 0.5, 0, 0], [0.5, 0, 0.5, 0]]))


def test_slices_without_unit_are_left_out() -> None:
    model, units = cohort()
    some = {name: unit for name, unit in units.items() if int(unit[1:]) % 2}
    assert set(fuse(model, some, RULES[0]).frame["image_id"]) == set(some.values())
    assert len(fuse(model, {}, RULES[0])) == 0
    with pytest.raises(BrainsslError, match=r"name the patients .* patients\.csv"):
        choose_rule(model, {})


def test_units_that_are_none_are_refused() -> None:
    model = said(np.eye(4), np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2]))
    with pytest.raises(BrainsslError, match="slices of 'a' differ in group"):
        fuse(model, {"s0": "a", "s1": "a"}, RULES[0])
    model = said(np.eye(4), np.array([0, 1, 1, 1]), np.zeros(4))
    with pytest.raises(BrainsslError, match="slices of 'a' differ in label"):
        fuse(model, {"s0": "a", "s1": "a"}, RULES[0])


def one_telling_slice(generator: np.random.Generator, count: int = 40) -> np.ndarray:
    """Of seven slices one shows the lesion, the others look like any class, the wrong one most."""
    logits = generator.normal(0, 0.1, (count, 7, 4))
    truth = np.arange(count) % 4
    logits[np.arange(count), :, (truth + 1) % 4] += 1.0
    logits[np.arange(count), 3, truth] += 8.0
    return logits.reshape(-1, 4)


def many_unsure_slices(generator: np.random.Generator, count: int = 40) -> np.ndarray:
    """Of seven slices each says a little of the truth; one is surely wrong."""
    logits = generator.normal(0, 0.3, (count, 7, 4))
    truth = np.arange(count) % 4
    logits[np.arange(count), :, truth] += 3.0
    logits[np.arange(count), 3, (truth + 1) % 4] += 8.0
    return logits.reshape(-1, 4)


@pytest.mark.parametrize(
    ("plant", "surest"), [(one_telling_slice, (1,)), (many_unsure_slices, (None,))]
)
def test_what_wins_on_validation_is_chosen(
    plant: Callable[[np.random.Generator], np.ndarray], surest: tuple[int | None, ...]
) -> None:
    of = np.repeat(np.arange(40), 7)
    logits = plant(np.random.default_rng(0))
    units = {f"s{i}": f"p{patient}" for i, patient in enumerate(of)}
    val, test = (said(logits, of % 4, of, split) for split in ("val", "test"))
    rule = choose_rule(val, units)
    assert rule.surest in surest
    fused, rules = fuse_folds([(val, test)], units)
    assert rules == (rule,)
    assert (fused.predicted == fused.labels).all()


def test_the_choice_has_the_least_loss_by_an_independent_sum() -> None:
    for seed in range(2):
        model, units = cohort(seed)
        loss = {}
        for rule in RULES:
            fused = fuse(model.of("val"), units, rule)
            p = softmax(fused.logits.astype(float), axis=1)
            loss[rule] = -np.log(p[np.arange(len(fused)), fused.labels]).mean()
        assert loss[choose_rule(model, units)] == min(loss.values())


def test_of_equal_rules_the_first_is_chosen() -> None:
    model, _ = cohort()
    assert choose_rule(model, {name: name for name in model.frame["image_id"]}) == RULES[0]


def test_of_rules_with_the_same_loss_the_most_accurate_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each slice gives the truth 0.4; the surest prefers another class, all together do not."""
    slices = np.array([[0.4, 0.05, 0.55], [0.4, 0.54, 0.06], [0.4, 0.3, 0.3]])
    model = said(np.log(np.tile(slices, (6, 1))), np.zeros(18, int), np.arange(18) // 3, "val")
    units = {f"s{i}": f"p{i // 3}" for i in range(18)}
    monkeypatch.setattr(patients, "RULES", (Rule("probabilities", 1), Rule("probabilities")))
    assert choose_rule(model, units) == Rule("probabilities")
    assert choose_rule(model, {name: name for name in units}) == Rule("probabilities", 1)


def test_test_slices_do_not_choose() -> None:
    model, units = cohort()
    frame = model.frame.copy()
    test = (frame["split"] == "test").to_numpy()
    logits = frame.columns[4:]
    frame.loc[test, logits] = frame.loc[test, logits].to_numpy()[:, ::-1] * 5
    labels = frame.loc[test, "label"].map(dict(zip(CLASSES, CLASSES[::-1], strict=True)))
    frame.loc[test, "label"] = labels
    other = Predictions(frame, CLASSES)
    assert choose_rule(other, units) == choose_rule(model, units)
    fused = [fuse_folds([(m, m)], units)[0] for m in (model, other)]
    assert not fused[0].frame.equals(fused[1].frame)
    relabelled = model.frame.assign(label=frame["label"])
    same, rules = fuse_folds([(model, Predictions(relabelled, CLASSES))], units)
    assert rules == (choose_rule(model, units),)
    assert (same.logits == fused[0].logits).all()


def test_each_fold_chooses_for_itself_and_tests_others() -> None:
    of = np.repeat(np.arange(40), 7)
    generator = np.random.default_rng(0)
    units = {f"s{i}": f"p{patient}" for i, patient in enumerate(of)}
    models = [
        said(plant(generator), of % 4, of, ["val" if p < 20 else "test" for p in of])
        for plant in (one_telling_slice, many_unsure_slices)
    ]
    # The second fold tests what the first validated.
    swapped = models[1].frame.replace({"split": {"val": "test", "test": "val"}})
    parts = [models[0], Predictions(swapped, CLASSES)]
    fused, rules = fuse_folds([(part, part) for part in parts], units)
    assert rules == tuple(choose_rule(part, units) for part in parts)
    assert rules[0] != rules[1]
    assert sorted(fused.frame["image_id"]) == sorted(set(units.values()))
    assert set(fused.frame["split"]) == {"test"}
    with pytest.raises(BrainsslError, match="a second time"):
        fuse_folds([(part, parts[0]) for part in parts], units)


def test_rules_are_told_in_words() -> None:
    assert [rule.name for rule in RULES] == [
        "mean of probabilities",
        "mean of logits",
        "mean of probabilities of the surest 5 slices",
        "mean of probabilities of the surest 3 slices",
        "mean of probabilities of the surest slice",
    ]
    assert in_words(RULES[1:2] * 3) == "mean of logits"
    assert in_words((RULES[0], RULES[1], RULES[1])) == (
        "mean of logits (2 of 3 folds); mean of probabilities (1 of 3 folds)"
    )


def test_patients_of_two_families_are_left_out_and_named() -> None:
    families = {"a": "Glioma", "b": "Glioma", "c": "Glioma", "d": "Normal", "e": "Normal"}
    units = patient_units(families, {"a": "1", "b": "1", "c": "2", "d": "2", "x": "3"})
    assert units.kind == "patient"
    assert units.of == {"a": "1", "b": "1"}
    assert units.conflicting == ("2",)
    assert units.unknown == 1


def test_series_are_the_slices_of_a_sequence_or_else_of_a_label() -> None:
    labels = {"a": "G T1", "b": "G T2", "c": "G T1", "d": "Normal", "e": "Cyst", "f": "M T1"}
    sequences = {"a": "T1", "b": "T2", "c": "T1", "d": "", "f": "T1"}
    units = series_units(labels, dict.fromkeys("abcde", "1") | {"f": "2"}, sequences)
    assert units.kind == "series"
    assert units.of["a"] == units.of["c"]
    assert len(set(units.of.values())) == 5
    assert units.conflicting == ()
    units = series_units(labels, dict.fromkeys("abcdef", "1"), sequences)
    assert units.conflicting == ("1 · T1",)
    assert set(units.of) == {"b", "d", "e"}


def test_the_family_of_a_patient_is_asked_of_all_sequences() -> None:
    generator = np.random.default_rng(5)
    of = np.repeat(np.arange(10), 4)
    labels = of % 2 * 2 + np.arange(40) % 2  # each patient in T1 and T2
    model = said(generator.normal(0, 2, (40, 4)), labels, of)
    values = factors(CLASSES)["family"]
    family = by_factor(model, values)
    truths = dict(zip(family.frame["image_id"], family.frame["label"], strict=True))
    units = patient_units(truths, {f"s{i}": f"p{patient}" for i, patient in enumerate(of)})
    fused = fuse(family, units.of, RULES[0])
    p = softmax(model.logits.astype(float), axis=1)
    glioma = (p[:, 0] + p[:, 1]).reshape(10, 4).mean(axis=1)
    assert fused.classes == ("Glioma", "Normal")
    assert fused.frame["image_id"].tolist() == [f"p{i}" for i in range(10)]
    assert fused.probabilities()[:, 0] == pytest.approx(glioma, abs=1e-6)


def test_rows_count_units_and_draw_groups() -> None:
    """Patients who were merged are drawn together: twice the same promises no more than once."""
    model, units = cohort()
    once = fuse(model.of("test"), units, RULES[0])
    copies = model.of("test").frame
    copies = copies.assign(image_id="copy of " + copies["image_id"]).astype({"image_id": "str"})
    both = Predictions.joined([model.of("test"), Predictions(copies, CLASSES)])
    merged = units | {f"copy of {image}": f"copy of {unit}" for image, unit in units.items()}
    twice = fuse(both, merged, RULES[0])
    settings = EvaluationSettings(draws=200)
    (row,) = result_rows(twice, {"unit": "patient", "rule": RULES[0].name}, settings)
    assert row["unit"] == "patient"
    assert row["n"] == len(twice) == 2 * len(once) == 40
    single = bootstrap(once, draws=200)["accuracy"]
    assert row["intervals"]["accuracy"] == pytest.approx(single)
    apart = Predictions(twice.frame.assign(group=np.arange(len(twice))), CLASSES)
    assert np.diff(bootstrap(apart, draws=200)["accuracy"]) < np.diff(single)
