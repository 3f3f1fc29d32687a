import warnings
from itertools import pairwise

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import softmax

from brainssl.evaluation.metrics import (
    CLASS_METRICS,
    METRICS,
    Scorer,
    confusion,
    evaluate,
    per_class,
)
from brainssl.foundation.errors import BrainsslError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchmetrics.functional.classification as tm

CASES = {
    "plain": (0, 200, 5, range(5), None),
    "ties": (1, 200, 4, range(4), (-1, 2)),
    "mostly ties": (2, 60, 3, range(3), (0, 2)),
    "absent classes": (3, 90, 7, (1, 2, 5), None),
    "absent classes and ties": (4, 90, 6, (0, 4), (-1, 2)),
    "single class": (5, 30, 3, (1,), None),
    "two classes": (6, 80, 2, range(2), (-2, 3)),
    "one image": (7, 1, 3, (2,), None),
    "many classes": (8, 400, 17, range(17), None),
}


def random_case(seed, n, k, present, integer_logits):
    rng = np.random.default_rng(seed)
    labels = rng.choice(list(present), size=n)
    if integer_logits is None:
        logits = rng.normal(size=(n, k)) + 1.5 * np.eye(k)[labels]
    else:
        logits = rng.integers(*integer_logits, size=(n, k)).astype(float)
    return labels, softmax(logits, axis=1)


@pytest.fixture(params=CASES)
def case(request):
    return random_case(*CASES[request.param])


def by_sklearn(labels, probabilities):
    """The metrics by scikit-learn (the ECE, which it lacks, by a loop over the bins)."""
    k = probabilities.shape[1]
    predicted = probabilities.argmax(1)
    present = np.unique(labels)
    expected = {"accuracy": sk.accuracy_score(labels, predicted)}
    for average in ("macro", "weighted"):
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            labels, predicted, labels=present, average=average, zero_division=0
        )
        expected |= {
            f"precision_{average}": precision,
            f"recall_{average}": recall,
            f"f1_{average}": f1,
        }
    expected["balanced_accuracy"] = expected["recall_macro"]
    if len(present) > 1:
        areas = [sk.roc_auc_score(labels == c, probabilities[:, c]) for c in present]
        expected["auroc_macro"] = np.mean(areas)
    else:
        expected["auroc_macro"] = np.nan
    expected["average_precision_macro"] = np.mean(
        [sk.average_precision_score(labels == c, probabilities[:, c]) for c in present]
    )
    expected["mcc"] = sk.matthews_corrcoef(labels, predicted)
    expected["nll"] = sk.log_loss(labels, probabilities, labels=np.arange(k))
    # scikit-learn halves the multi-class score, or not, by this switch.
    expected["brier"] = (
        sk.brier_score_loss(labels, probabilities, labels=np.arange(k), scale_by_half=False)
        if k > 2
        else 2 * sk.brier_score_loss(labels, probabilities[:, 1], labels=[0, 1])
    )
    expected["ece"] = ece_by_loop(labels, probabilities)
    return expected


def ece_by_loop(labels, probabilities):
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    error = 0.0
    edges = np.linspace(0, 1, 16)
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return error


@pytest.fixture(autouse=True)
def _quiet_sklearn():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A single label was found")
        warnings.filterwarnings("ignore", "The number of unique classes")
        yield


def test_metrics_come_in_their_order(case):
    assert tuple(evaluate(*case)) == METRICS


def test_every_metric_agrees_with_scikit_learn(case):
    got = evaluate(*case)
    expected = by_sklearn(*case)
    assert got == pytest.approx({name: expected[name] for name in METRICS}, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", ["plain", "ties", "mostly ties", "many classes"])
def test_metrics_agree_with_torchmetrics(name):
    labels, probabilities = random_case(*CASES[name])
    k = probabilities.shape[1]
    assert len(np.unique(labels)) == k
    p, y = torch.tensor(probabilities), torch.tensor(labels)
    got = evaluate(labels, probabilities)
    expected = {
        "accuracy": tm.multiclass_accuracy(p, y, k, average="micro"),
        "balanced_accuracy": tm.multiclass_accuracy(p, y, k, average="macro"),
        "mcc": tm.multiclass_matthews_corrcoef(p, y, k),
        "ece": tm.multiclass_calibration_error(p, y, k, n_bins=15, norm="l1"),
        "auroc_macro": tm.multiclass_auroc(p, y, k, average="macro"),
        "average_precision_macro": tm.multiclass_average_precision(p, y, k, average="macro"),
    }
    for average in ("macro", "weighted"):
        expected[f"precision_{average}"] = tm.multiclass_precision(p, y, k, average=average)
        expected[f"recall_{average}"] = tm.multiclass_recall(p, y, k, average=average)
        expected[f"f1_{average}"] = tm.multiclass_f1_score(p, y, k, average=average)
    for metric, value in expected.items():
        assert got[metric] == pytest.approx(value.item(), abs=1e-5), metric


def test_each_class_agrees_with_scikit_learn(case):
    labels, probabilities = case
    k = probabilities.shape[1]
    predicted = probabilities.argmax(1)
    got = per_class(labels, probabilities, [f"class {c}" for c in range(k)])
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        labels, predicted, labels=np.arange(k), zero_division=0
    )
    for c in range(k):
        row = got[f"class {c}"]
        assert tuple(row) == (*CLASS_METRICS, "support")
        assert row["support"] == support[c]
        if not support[c]:
            assert np.isnan([row[metric] for metric in CLASS_METRICS]).all()
            continue
        assert row["precision"] == pytest.approx(precision[c], abs=1e-12)
        assert row["recall"] == pytest.approx(recall[c], abs=1e-12)
        assert row["f1"] == pytest.approx(f1[c], abs=1e-12)
        is_case, score = labels == c, probabilities[:, c]
        area = np.nan if is_case.all() else sk.roc_auc_score(is_case, score)
        assert row["auroc"] == pytest.approx(area, abs=1e-12, nan_ok=True)
        assert row["average_precision"] == pytest.approx(
            sk.average_precision_score(is_case, score), abs=1e-12
        )


def test_confusion_counts_truth_in_rows(case):
    labels, probabilities = case
    k = probabilities.shape[1]
    predicted = probabilities.argmax(1)
    got = confusion(labels, predicted, [str(c) for c in range(k)])
    np.testing.assert_array_equal(got, sk.confusion_matrix(labels, predicted, labels=np.arange(k)))


def test_a_class_never_said_has_precision_zero_and_an_absent_one_is_left_out():
    labels = np.array([0, 0, 1, 1])
    probabilities = np.eye(3)[[0, 0, 0, 2]]  # class 1 is never said, class 2 never occurs
    got = evaluate(labels, probabilities)
    assert got["precision_macro"] == pytest.approx((2 / 3 + 0) / 2)
    assert got["recall_macro"] == pytest.approx(1 / 2)


def test_scores_of_a_model_that_is_surely_wrong_are_finite():
    got = evaluate(np.array([0, 0]), np.array([[0.0, 1.0], [0.0, 1.0]]))
    assert got["nll"] == pytest.approx(-np.log(np.finfo(float).eps))
    assert got["brier"] == 2
    assert got["ece"] == 1


@pytest.mark.parametrize(
    ("confidence", "right", "expected"),
    [
        # 0.6 and 0.62 lie on either side of an edge: apart, their gaps do not cancel.
        ([0.6, 0.62], [True, False], (0.4 + 0.62) / 2),
        ([0.61, 0.62], [True, False], abs(1 - 1.23) / 2),
        ([1.0, 0.95], [True, False], abs(1 - 1.95) / 2),
    ],
)
def test_ece_bins_are_open_below_and_closed_above(confidence, right, expected):
    labels = np.where(right, 1, 0)
    probabilities = np.stack([1 - np.array(confidence), confidence], axis=1)
    assert evaluate(labels, probabilities)["ece"] == pytest.approx(expected)


def test_auroc_counts_a_tie_as_one_half():
    # Cases at 0.5, 0.9; others at 0.5, 0.1: (½ + 1 + 1 + 1) / 4.
    score = np.array([0.5, 0.9, 0.5, 0.1])
    got = evaluate(np.array([1, 1, 0, 0]), np.stack([1 - score, score], axis=1))
    assert got["auroc_macro"] == pytest.approx(3.5 / 4)


seeds = st.integers(0, 2**32 - 1)


@st.composite
def predictions_with_ties(draw):
    n, k = draw(st.integers(1, 25)), draw(st.integers(2, 5))
    labels = draw(hnp.arrays(np.int64, n, elements=st.integers(0, k - 1)))
    logits = draw(hnp.arrays(np.int64, (n, k), elements=st.integers(-2, 2)))
    return labels, softmax(logits.astype(float), axis=1)


@settings(deadline=None)
@given(predictions_with_ties(), seeds)
def test_the_order_of_the_images_does_not_matter(case, seed):
    labels, probabilities = case
    order = np.random.default_rng(seed).permutation(len(labels))
    assert evaluate(labels[order], probabilities[order]) == pytest.approx(
        evaluate(labels, probabilities), abs=1e-12, nan_ok=True
    )


@settings(deadline=None)
@given(seeds, st.integers(1, 40), st.integers(2, 6))
def test_the_numbering_of_the_classes_does_not_matter(seed, n, k):
    labels, probabilities = random_case(seed, n, k, range(k), None)
    number = np.random.default_rng(seed).permutation(k)
    renumbered = np.empty_like(probabilities)
    renumbered[:, number] = probabilities
    assert evaluate(number[labels], renumbered) == pytest.approx(
        evaluate(labels, probabilities), abs=1e-12, nan_ok=True
    )


@settings(deadline=None)
@given(hnp.arrays(np.int64, st.integers(2, 30), elements=st.integers(0, 4)))
def test_perfect_prediction(labels):
    got = evaluate(labels, np.eye(5)[labels])
    several = len(np.unique(labels)) > 1
    for name in METRICS:
        if name in ("nll", "brier", "ece"):
            assert got[name] == 0
        elif name == "auroc_macro" and not several:
            assert np.isnan(got[name])
        elif name == "mcc" and not several:
            assert got[name] == 0
        else:
            assert got[name] == pytest.approx(1)


@settings(deadline=None)
@given(predictions_with_ties())
def test_metrics_stay_in_their_ranges(case):
    got = evaluate(*case)
    for name in set(METRICS) - {"mcc", "nll", "brier", "auroc_macro"}:
        assert -1e-12 <= got[name] <= 1 + 1e-12, name
    assert -1 - 1e-12 <= got["mcc"] <= 1 + 1e-12
    assert 0 <= got["brier"] <= 2
    assert got["nll"] >= 0


@settings(deadline=None, max_examples=40)
@given(predictions_with_ties(), seeds)
def test_a_weight_means_so_many_copies(case, seed):
    labels, probabilities = case
    n, k = probabilities.shape
    weights = np.random.default_rng(seed).integers(0, 4, size=(n, 3))
    weights[0] = np.maximum(weights[0], 1)  # something must be left
    overall, by_class = Scorer.of(labels, probabilities).score(weights.astype(float))
    for draw in range(3):
        copies = np.repeat(np.arange(n), weights[:, draw])
        expected = by_sklearn(labels[copies], probabilities[copies])
        assert dict(zip(METRICS, overall[draw], strict=True)) == pytest.approx(
            {name: expected[name] for name in METRICS}, abs=1e-9, nan_ok=True
        )
        rows = per_class(labels[copies], probabilities[copies], [str(c) for c in range(k)])
        for c in range(k):
            np.testing.assert_allclose(
                by_class[draw, c], [rows[str(c)][m] for m in CLASS_METRICS], atol=1e-9
            )


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        (np.array([0, 1]), np.full((3, 2), 0.5), "2 labels met"),
        (np.array([], dtype=int), np.empty((0, 2)), "at least one image"),
        (np.array([0, 2]), np.full((2, 2), 0.5), "from 0 to 2"),
        (np.array([-1, 1]), np.full((2, 2), 0.5), "from -1 to 1"),
        (np.array([0, 1]), np.array([[0.5, 0.5], [np.nan, 0.5]]), "sum to 1"),
        (np.array([0, 1]), np.array([[0.5, 0.5], [1.5, -0.5]]), "at least 0"),
        (np.array([0, 1]), np.array([[0.5, 0.5], [2.0, 3.0]]), "softmax"),
    ],
)
def test_input_that_makes_no_sense_is_refused(labels, probabilities, message):
    with pytest.raises(BrainsslError, match=message):
        evaluate(labels, probabilities)


def test_names_that_do_not_fit_are_refused():
    with pytest.raises(BrainsslError, match="3 class names met 2 columns"):
        per_class(np.array([0]), np.array([[0.5, 0.5]]), ["a", "b", "c"])
    with pytest.raises(BrainsslError, match="from 0 to 2"):
        confusion(np.array([0, 0]), np.array([0, 2]), ["a", "b"])
    with pytest.raises(BrainsslError, match="pair them"):
        confusion(np.array([0, 0]), np.array([0]), ["a", "b"])
