"""Insertion and deletion on networks whose answer to every changed image is known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from brainssl.explanation.faithfulness import baseline_of, insertion_deletion, pixel_ranks

SIZE = 16


def left_half(images: Tensor) -> Tensor:
    """Logits of a network that only sees how bright the left half is."""
    left = images[:, 0, :, : SIZE // 2].mean((1, 2))
    return torch.stack([8 * (left - 0.75), torch.zeros_like(left)], 1)


def scene() -> tuple[Tensor, Tensor]:
    """Three images, and the map that names the left half."""
    images = torch.rand(3, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    maps = torch.zeros(3, SIZE, SIZE)
    maps[:, :, : SIZE // 2] = 1
    return images, maps


@pytest.mark.parametrize("baseline", ["blurred", "mean"])
def test_each_point_of_the_curves_is_the_network_on_an_image_made_by_hand(baseline: str) -> None:
    images, _ = scene()
    maps = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([0, 1, 0])
    curves = insertion_deletion(left_half, images, maps, targets, baseline=baseline, steps=4)
    assert curves.shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    empty = baseline_of(images, baseline)
    for i in range(3):
        order = np.argsort(-maps[i].numpy().ravel())
        for step, count in enumerate((0, 64, 128, 192, 256)):
            inserted, deleted = empty[i].flatten().clone(), images[i].flatten().clone()
            inserted[order[:count]] = images[i].flatten()[order[:count]]
            deleted[order[:count]] = empty[i].flatten()[order[:count]]
            for found, pixels in ((curves.insertion, inserted), (curves.deletion, deleted)):
                logits = left_half(pixels.reshape(1, 1, SIZE, SIZE))
                expected = logits.softmax(1)[0, targets[i]]
                assert found[i, step] == pytest.approx(float(expected), abs=1e-6)


def test_the_map_that_names_what_counts_is_better_than_its_opposite() -> None:
    images, maps = torch.zeros(3, 1, SIZE, SIZE), scene()[1]
    images[:, :, :, : SIZE // 2] = 1
    targets = torch.zeros(3, dtype=torch.int64)
    named, other = (
        insertion_deletion(left_half, images, m, targets, baseline="mean").areas()
        for m in (maps, 1 - maps)
    )
    assert (named["insertion"] > other["insertion"] + 0.05).all()
    assert (named["deletion"] < other["deletion"] - 0.05).all()


def test_the_area_is_that_of_the_trapezoids() -> None:
    images, maps = scene()
    curves = insertion_deletion(left_half, images, maps, torch.zeros(3, dtype=torch.int64))
    heights = curves.insertion
    steps = np.diff(curves.shares) * (heights[:, 1:] + heights[:, :-1]) / 2
    np.testing.assert_allclose(curves.areas()["insertion"], steps.sum(axis=1))


def test_the_ends_do_not_depend_on_the_map() -> None:
    images, maps = scene()
    targets = torch.zeros(3, dtype=torch.int64)
    one, other = (insertion_deletion(left_half, images, m, targets) for m in (maps, 1 - maps))
    for end in (0, -1):
        np.testing.assert_allclose(one.insertion[:, end], other.insertion[:, end])
        np.testing.assert_allclose(one.insertion[:, end], one.deletion[:, -1 - end])


def test_a_batch_is_the_same_images_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(5, 1, SIZE, SIZE)
    maps, targets = torch.rand(5, SIZE, SIZE), torch.tensor([0, 1, 0, 1, 1])
    monkeypatch.setattr("brainssl.explanation.faithfulness._BATCH", 70)
    together = insertion_deletion(left_half, images, maps, targets)
    for i in range(5):
        own = slice(i, i + 1)
        alone = insertion_deletion(left_half, images[own], maps[own], targets[own])
        np.testing.assert_allclose(together.insertion[own], alone.insertion, atol=1e-6)
        np.testing.assert_allclose(together.deletion[own], alone.deletion, atol=1e-6)


def test_ranks_are_a_permutation_in_falling_order() -> None:
    maps = torch.rand(3, SIZE, SIZE)
    maps[1] = maps[1].round()
    ranks = pixel_ranks(maps)
    for own, ranked in zip(maps, ranks, strict=True):
        assert sorted(ranked.flatten().tolist()) == list(range(SIZE * SIZE))
        assert (own.flatten()[ranked.flatten().argsort()].diff() <= 0).all()


def test_ties_have_one_order_for_every_map_and_no_place_is_favoured() -> None:
    flat = pixel_ranks(torch.zeros(2, SIZE, SIZE))
    assert torch.equal(flat[0], flat[1])
    assert torch.equal(flat, pixel_ranks(torch.full((2, SIZE, SIZE), 0.7)))
    first = flat[0] < SIZE * SIZE // 2
    assert 0.35 < first[: SIZE // 2].float().mean() < 0.65
    # Within the half that is named, pixels come in the order of the flat map.
    ranks = pixel_ranks(scene()[1])[0]
    own = flat[0][:, : SIZE // 2].flatten()
    assert torch.equal(ranks[:, : SIZE // 2].flatten().argsort(), own.argsort())


def test_a_baseline_keeps_the_grey_value_and_loses_the_detail() -> None:
    images, _ = scene()
    images[:, :, 4:12, 4:12] += 1
    for name in ("blurred", "mean"):
        empty = baseline_of(images, name)
        assert empty.shape == images.shape
        torch.testing.assert_close(empty.mean(), images.mean(), rtol=0.05, atol=0)
        assert (empty.std((1, 2, 3)) < 0.7 * images.std((1, 2, 3))).all()
