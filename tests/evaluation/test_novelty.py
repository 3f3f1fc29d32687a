"""AUROC and FPR95 of novelty scores against scikit-learn, naive loops and repeated images."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from brainssl.evaluation import novelty as module
from brainssl.evaluation.draws import group_weights
from brainssl.evaluation.intervals import percentile_intervals
from brainssl.evaluation.novelty import energy, msp, novelty
from brainssl.foundation.errors import BrainsslError

MEASURES = ("auroc", "fpr95")


def random_case(seed, n=60, m=40, k=4, shift=1.0, ties=False):
    """Known images with one raised logit, novel ones without; groups with gaps in their numbers."""
    rng = np.random.default_rng(seed)
    known = rng.normal(size=(n, k)) + shift * np.eye(k)[rng.integers(k, size=n)]
    novel = rng.normal(size=(m, k))
    if ties:
        known, novel = known.round(), novel.round()
    return known, novel, 7 * rng.integers(12, size=n) - 20, 5 * rng.integers(9, size=m)


def naive_fpr95(known, novel):
    """The highest threshold among the known scores that 95 % of them pass."""
    threshold = max(t for t in known if np.mean(known >= t) >= 0.95)
    return np.mean(novel >= threshold)


def test_scores_are_those_of_the_papers():
    logits = np.array([[2.0, 1.0, -3.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(msp(logits), softmax(logits, axis=1).max(axis=1))
    np.testing.assert_allclose(energy(logits), np.log(np.exp(logits).sum(axis=1)))
    # Only the energy sees a shift of all logits; neither overflows.
    np.testing.assert_allclose(msp(logits + 1000), msp(logits))
    np.testing.assert_allclose(energy(logits + 1000), energy(logits) + 1000)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 50), st.integers(1, 50), st.booleans())
def test_both_measures_agree_with_independent_ones(seed, n, m, ties):
    known, novel, *groups = random_case(seed, n, m, ties=ties)
    found = novelty(known, novel, *groups, draws=1)
    assert (found["known"], found["novel"]) == (n, m)
    for name, score in (("msp", msp), ("energy", energy)):
        ours, others = score(known), score(novel)
        auroc = roc_auc_score(np.repeat([1, 0], [n, m]), np.concatenate([ours, others]))
        assert found[name]["auroc"] == pytest.approx(auroc)
        assert found[name]["fpr95"] == pytest.approx(naive_fpr95(ours, others))


def test_fpr95_by_hand():
    # 20 known images of energies 1 … 20 (one logit): 19 of them pass at 2, as do 2 of 4 novel.
    known, novel = np.arange(1.0, 21)[:, None], np.array([[0.0], [1.5], [2.0], [30.0]])
    found = novelty(known, novel, np.arange(20), np.arange(4))
    assert found["energy"]["fpr95"] == 0.5
    # 1 − share of pairs that are in the wrong order, by counting: 0, 1, 1½ and 20 of 20.
    assert found["energy"]["auroc"] == pytest.approx(1 - (0 + 1 + 1.5 + 20) / 80)
    # With one class every softmax is 1: blind, and all pass.
    assert (found["msp"]["auroc"], found["msp"]["fpr95"]) == (0.5, 1.0)


def test_separated_and_swapped_sides():
    known, novel = np.full((30, 2), 5.0), np.full((20, 2), -5.0)
    known[:, 0] += np.arange(30)
    sides = (known, np.arange(30)), (novel, np.arange(20))
    for (first, second), auroc in ((sides, 1.0), (sides[::-1], 0.0)):
        found = novelty(first[0], second[0], first[1], second[1], draws=50)["energy"]
        assert (found["auroc"], found["fpr95"]) == (auroc, 1 - auroc)
        assert found["intervals"] == {"auroc": [auroc] * 2, "fpr95": [1 - auroc] * 2}


def test_alike_images_cannot_be_told():
    known, novel, *_ = random_case(0, 4000, 4000, shift=0)
    found = novelty(known, novel, np.arange(4000), np.arange(4000), draws=200)
    for name in ("msp", "energy"):
        assert found[name]["auroc"] == pytest.approx(0.5, abs=0.02)
        assert found[name]["fpr95"] == pytest.approx(0.95, abs=0.02)


def test_every_draw_is_what_the_repeated_images_give(monkeypatch):
    known, novel, known_groups, novel_groups = random_case(1, ties=True)
    draws, seed = 30, 4
    found = novelty(known, novel, known_groups, novel_groups, draws=draws, seed=seed)
    expected = []
    sides = []
    for groups, own in ((known_groups, seed), (novel_groups, seed + 1)):
        names = np.unique(groups)
        ((_, weights),) = group_weights(np.zeros(len(names), np.int64), draws, own, rows=draws)
        sides.append(weights.astype(int)[:, np.searchsorted(names, groups)])
    for times, other_times in zip(*sides, strict=True):
        ours, others = np.repeat(known, times, axis=0), np.repeat(novel, other_times, axis=0)
        again = novelty(ours, others, np.zeros(len(ours)), np.zeros(len(others)), draws=1)
        expected.append([[again[name][m] for m in MEASURES] for name in ("msp", "energy")])
    for i, name in enumerate(("msp", "energy")):
        intervals = percentile_intervals(np.array(expected)[:, i], 0.95)
        assert [found[name]["intervals"][m] for m in MEASURES] == [
            pytest.approx(pair) for pair in intervals
        ]
    # The same however many draws come at a time.
    monkeypatch.setattr(module, "_CHUNK", 300)
    assert novelty(known, novel, known_groups, novel_groups, draws=draws, seed=seed) == found
    assert novelty(known, novel, known_groups, novel_groups, draws=draws, seed=5) != found


def test_intervals_cover_the_truth_with_images_in_groups():
    rng = np.random.default_rng(2)

    def side(groups, each, raised):
        # One logit more than zero: a score that images of a patient nearly share.
        own = np.repeat(rng.normal(raised, 1, groups), each) + rng.normal(0, 0.2, groups * each)
        return np.stack([own, np.full(groups * each, -50.0)], axis=1), np.repeat(
            np.arange(groups), each
        )

    big_known, big_novel = side(100_000, 1, 1.0), side(100_000, 1, 0.0)
    truth = novelty(big_known[0], big_novel[0], big_known[1], big_novel[1], draws=1)["energy"]
    inside = {measure: [] for measure in MEASURES}
    for _ in range(150):
        known, novel = side(80, 3, 1.0), side(50, 3, 0.0)
        found = novelty(known[0], novel[0], known[1], novel[1], draws=200)["energy"]
        for measure in MEASURES:
            low, high = found["intervals"][measure]
            inside[measure].append(low <= truth[measure] <= high)
    assert 0.88 <= np.mean(inside["auroc"]) <= 0.99
    assert 0.85 <= np.mean(inside["fpr95"]) <= 0.99


def test_one_group_on_a_side_has_no_interval():
    known, novel, known_groups, novel_groups = random_case(0)
    for groups in ((known_groups * 0, novel_groups), (known_groups, novel_groups * 0)):
        found = novelty(known, novel, *groups)
        assert found["msp"]["intervals"] == {"auroc": None, "fpr95": None}
        assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_what_cannot_be_compared_is_refused():
    known, novel, known_groups, novel_groups = random_case(0)
    with pytest.raises(BrainsslError, match="novel images came with logits of shape"):
        novelty(known, novel[:0], known_groups, novel_groups[:0])
    with pytest.raises(BrainsslError, match="and 59 groups"):
        novelty(known, novel, known_groups[1:], novel_groups)
    with pytest.raises(BrainsslError, match="what one model said of both"):
        novelty(known, novel[:, 1:], known_groups, novel_groups)
    with pytest.raises(BrainsslError, match="novel images are not all finite"):
        novelty(known, np.where(novel > 1, np.nan, novel), known_groups, novel_groups)
    with pytest.raises(BrainsslError, match="ask for 2000"):
        novelty(known, novel, known_groups, novel_groups, draws=0)
