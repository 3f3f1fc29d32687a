"""Confident learning: by hand, by loops, and on labels that were made wrong on purpose."""

import numpy as np
import pytest

from brainssl.evaluation.label_errors import (
    FEWEST_GROUPS,
    best_other,
    candidates,
    class_thresholds,
    confident_classes,
    confident_joint,
    scores,
    weights_of,
    wrong_shares,
)
from brainssl.foundation.errors import BrainsslError

# Four images of class 0 and three of class 1, each a group of its own.
BY_HAND = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [1, 0]])
GIVEN = np.array([0, 0, 0, 0, 1, 1, 1])
ALONE = np.arange(7)


def planted(seed: int = 0, groups: int = 120, share: float = 0.15) -> tuple[np.ndarray, ...]:
    """Three classes, three images a group; a share of the groups has another label."""
    rng = np.random.default_rng(seed)
    true = np.repeat(rng.integers(3, size=groups), 3)
    group = np.repeat(np.arange(groups), 3)
    wrong = np.repeat(rng.random(groups) < share, 3)
    labels = np.where(wrong, (true + 1) % 3, true)
    logits = rng.normal(size=(len(true), 3)) + 3.5 * np.eye(3)[true]
    spread = np.exp(logits)
    return spread / spread.sum(axis=1, keepdims=True), labels, group, wrong


def in_loops(p: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The confident counts again, image by image."""
    k = p.shape[1]
    weight = [1 / sum(other == own for other in groups) for own in groups]
    limit = []
    for c in range(k):
        own = [i for i in range(len(p)) if labels[i] == c]
        limit.append(sum(weight[i] * p[i, c] for i in own) / sum(weight[i] for i in own))
    counts = np.zeros((k, k))
    for i in range(len(p)):
        sure = [c for c in range(k) if p[i, c] >= limit[c]]
        if sure:
            counts[labels[i], max(sure, key=lambda c: p[i, c])] += weight[i]
    return counts


def test_thresholds_and_joint_are_those_computed_by_hand() -> None:
    joint = confident_joint(BY_HAND, GIVEN, ALONE)
    # (0.9 + 0.8 + 0.7 + 0.1) / 4 and (0.8 + 0.7 + 0) / 3
    assert joint.thresholds == pytest.approx([0.625, 0.5])
    assert joint.counts.tolist() == [[3, 1], [1, 2]]
    assert joint.shares == pytest.approx(np.array([[3 / 4, 1 / 4], [1 / 3, 2 / 3]]))
    assert joint.joint == pytest.approx(np.array([[3, 1], [1, 2]]))
    assert candidates(joint, BY_HAND, GIVEN).tolist() == [-1, -1, -1, 1, -1, -1, 0]


def test_the_margin_is_normalised() -> None:
    found = scores(np.array([[1.0, 0, 0], [0, 0.6, 0.4], [0.4, 0.4, 0.2]]), np.array([0, 0, 0]))
    assert found == pytest.approx([0.0, 0.8, 0.5])
    assert best_other(np.array([[0.5, 0.25, 0.25]]), np.array([0])).tolist() == [1]


def test_counts_are_those_of_loops_over_groups_and_images() -> None:
    p, labels, groups, _ = planted(3, groups=30)
    kept = np.random.default_rng(1).random(len(p)) < 0.7  # groups of one, two and three images
    p, labels, groups = p[kept], labels[kept], groups[kept]
    joint = confident_joint(p, labels, groups)
    assert joint.counts == pytest.approx(in_loops(p, labels, groups))
    assert joint.joint.sum(axis=1) == pytest.approx(np.bincount(labels))


def test_a_group_with_many_images_counts_as_one_with_few() -> None:
    p, labels, groups, _ = planted(1, groups=20)
    many = np.concatenate([np.arange(len(p)), np.tile(np.flatnonzero(groups == 0), 40)])
    once, often = (
        confident_joint(p, labels, groups),
        confident_joint(p[many], labels[many], groups[many]),
    )
    assert often.thresholds == pytest.approx(once.thresholds)
    assert often.counts == pytest.approx(once.counts)
    by_image = confident_joint(p[many], labels[many], np.arange(len(many)))
    assert by_image.counts.sum() > 2 * often.counts.sum()


def test_a_group_weighs_one_whatever_its_labels() -> None:
    assert weights_of(np.array([7, 7, 7, 8])) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])


def test_single_wrong_slices_of_large_groups_are_not_counted_as_groups() -> None:
    rng = np.random.default_rng(0)
    true = np.repeat(rng.integers(2, size=60), 10)
    wrong = rng.random(600) < 0.1
    labels = np.where(wrong, 1 - true, true)
    p = np.clip(0.9 * np.eye(2)[true] + 0.05 + rng.normal(0, 0.01, (600, 2)), 0.001, 1)
    p /= p.sum(axis=1, keepdims=True)
    whole, _ = wrong_shares(p, labels, np.repeat(np.arange(60), 10), draws=50)
    assert whole.share == pytest.approx(wrong.mean(), abs=0.02)


def test_ties_speak_for_the_label_then_for_the_first_class() -> None:
    p = np.array([[0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [0.4, 0.4, 0.2]])
    limits = np.array([0.4, 0.4, 0.1])
    assert confident_classes(p, np.array([0, 1, 2]), limits).tolist() == [0, 1, 0]
    assert confident_classes(p, np.array([0, 1, 2]), limits + 0.3).tolist() == [-1, -1, -1]


def test_equal_confidences_reach_their_own_mean() -> None:
    p = np.tile([0.1, 0.9], (7, 1))
    limit = class_thresholds(p, np.ones(7, np.int64), np.ones(7))
    assert np.isnan(limit[0])
    assert confident_classes(p, np.ones(7, np.int64), limit).tolist() == [1] * 7


def test_of_equal_margins_the_first_images_are_taken() -> None:
    p = np.array([[0.1, 0.9]] * 4 + [[0.9, 0.1]] * 12 + [[0.1, 0.9]] * 6)
    labels = np.array([0] * 16 + [1] * 6)
    joint = confident_joint(p, labels, np.arange(22))
    assert joint.joint[0, 1] == pytest.approx(4)
    fewer = type(joint)(joint.thresholds, joint.counts, joint.shares, joint.joint * 0.5)
    assert np.flatnonzero(candidates(fewer, p, labels) == 1).tolist() == [0, 1]


def test_planted_errors_are_found_and_counted() -> None:
    p, labels, groups, wrong = planted()
    found = candidates(confident_joint(p, labels, groups), p, labels)
    taken = found >= 0
    assert wrong[taken].mean() > 0.85
    assert taken[wrong].mean() > 0.85
    assert (found[wrong & taken] == (labels[wrong & taken] - 1) % 3).mean() > 0.95
    whole, by_class = wrong_shares(p, labels, groups, draws=200)
    assert whole.share == pytest.approx(wrong.mean(), abs=0.03)
    assert whole.interval is not None
    assert whole.interval[0] < wrong.mean() < whole.interval[1]
    assert [one.groups for one in by_class] == [
        len(set(groups[labels == c].tolist())) for c in range(3)
    ]


def test_right_labels_give_next_to_no_candidates() -> None:
    p, labels, groups, _ = planted(share=0.0)
    assert (candidates(confident_joint(p, labels, groups), p, labels) >= 0).mean() < 0.03


def test_intervals_are_wider_by_groups_than_by_images() -> None:
    p, labels, groups, _ = planted(2)
    p = np.repeat(p[::3], 3, axis=0)  # slices of a group are copies
    by_group, by_image = (
        wrong_shares(p, labels, own, draws=200)[0].interval for own in (groups, np.arange(len(p)))
    )
    assert by_group is not None
    assert by_image is not None
    assert by_group[1] - by_group[0] > 1.4 * (by_image[1] - by_image[0])


def test_of_too_few_groups_no_share_is_told() -> None:
    p, labels, groups, _ = planted(4, groups=40)
    few = np.flatnonzero(labels != 2)
    some = np.flatnonzero(labels == 2)[: 3 * (FEWEST_GROUPS - 1)]
    kept = np.sort(np.concatenate([few, some]))
    whole, by_class = wrong_shares(p[kept], labels[kept], groups[kept], draws=50)
    assert by_class[2].share is None
    assert by_class[2].interval is None
    assert by_class[0].share is not None
    assert whole.share is None
    lone, _ = wrong_shares(p[:3], labels[:3], np.zeros(3, np.int64), draws=50)
    assert lone.share is None


def test_what_is_no_probability_is_refused() -> None:
    labels = np.zeros(2, np.int64)
    with pytest.raises(BrainsslError, match="sum to 1"):
        confident_joint(np.array([[0.5, 0.6], [0.5, 0.5]]), labels, labels)
    with pytest.raises(BrainsslError, match="one row an image"):
        confident_joint(np.empty((0, 2)), labels[:0], labels[:0])
