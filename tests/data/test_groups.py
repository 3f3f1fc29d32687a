"""Groups: patients, else near-duplicates by links that get stronger with size."""

import numpy as np

from brainssl.data.duplicates import ALWAYS, Pairs, needed_similarity
from brainssl.data.groups import group_slices


def made(*links: tuple[int, int, float]) -> Pairs:
    left, right, strength = zip(*sorted(links), strict=True)
    return Pairs(np.array(left), np.array(right), np.array(strength, np.float32))


def test_a_chain_of_weak_links_does_not_become_a_giant() -> None:
    count = 400
    weak = needed_similarity(count) + 0.03
    chain = made(*[(n, n + 1, weak) for n in range(count - 1)])
    names = [str(n) for n in range(count)]
    sizes = np.bincount(group_slices([None] * count, names, chain).group)
    assert sizes.max() <= 8
    assert sizes.min() >= 2, "each image keeps its best neighbour"


def test_a_chain_of_strong_links_stays_one_series() -> None:
    chain = made(*[(n, n + 1, ALWAYS) for n in range(399)])
    assert group_slices([None] * 400, [str(n) for n in range(400)], chain).group.max() == 0


def test_a_link_between_groups_must_be_stronger_than_one_between_images() -> None:
    strong, between = 0.97, needed_similarity(8) + 0.005
    inside = [(0, 1, strong), (1, 2, strong), (2, 3, strong)]
    inside += [(4, 5, strong), (5, 6, strong), (6, 7, strong)]
    names = [str(n) for n in range(8)]
    joined = group_slices([None] * 8, names, made(*inside, (3, 4, between))).group
    assert joined.tolist() == [0] * 4 + [1] * 4
    alone = group_slices([None] * 8, names, made((3, 4, between))).group
    assert alone[3] == alone[4]


def test_identical_pixels_share_a_group_without_any_pair() -> None:
    groups = group_slices([None] * 4, ["a", "b", "a", "c"], Pairs.none())
    assert groups.group.tolist() == [0, 1, 0, 2]
    assert groups.notes == []


def test_patients_are_the_groups_and_near_duplicates_do_not_merge_them() -> None:
    groups = group_slices(["p", "q", "p", "q"], list("abcd"), made((0, 1, 0.99), (2, 3, 0.99)))
    assert groups.group.tolist() == [0, 1, 0, 1]


def test_patients_that_share_identical_pixels_are_merged_and_reported() -> None:
    groups = group_slices(["p", "q", "r", "q"], ["a", "a", "b", "c"], Pairs.none())
    assert groups.group.tolist() == [0, 0, 1, 0]
    assert len(groups.notes) == 1
    assert "p, q" in groups.notes[0]


def test_an_image_without_patient_joins_its_likeliest_one_only() -> None:
    pairs = made((0, 2, 0.9), (1, 2, 0.93), (2, 3, 0.91))
    groups = group_slices(["p", "q", None, None], list("abcd"), pairs)
    assert groups.group.tolist() == [0, 1, 1, 1]


def test_blank_images_join_neither_by_pixels_nor_by_likeness_but_stay_with_their_patient() -> None:
    blank = np.array([True, True, False, True, True])
    pairs = made((0, 1, 1.0), (0, 2, 0.99), (3, 4, 0.99))
    alone = group_slices([None] * 5, list("aabcd"), pairs, blank)
    assert alone.group.tolist() == [0, 1, 2, 3, 4]
    assert alone.notes == ["Images that show hardly anything join no group: 4."]
    owned = group_slices(["p", "q", "p", "q", None], list("aabca"), pairs, blank)
    assert owned.group.tolist() == [0, 1, 0, 1, 2]


def test_nothing_gives_nothing() -> None:
    assert group_slices([], [], Pairs.none()).group.shape == (0,)


def test_what_belongs_together_does_so_though_nothing_is_alike() -> None:
    """Slices of one series are of one person, whoever that is; a copy joins them to a patient."""
    patients = [None, None, None, "a", None]
    bound = ["series 1", "series 1", "series 2", None, None]
    alone = group_slices(patients, list("vwxyz"), Pairs.none(), together=bound)
    assert alone.group.tolist() == [0, 0, 1, 2, 3]
    copied = group_slices(patients, list("vwxvz"), Pairs.none(), together=bound)
    assert copied.group.tolist() == [0, 0, 1, 0, 2]
