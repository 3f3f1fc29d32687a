"""MixUp and CutMix against torchvision's, and the distribution of what is drawn."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import beta, binomtest, kstest
from torchvision.transforms import v2

from brainssl.training.batches import seeded
from brainssl.training.finetuning import mixing
from brainssl.training.finetuning.mixing import Mixed, mixed

N, SIDE, CLASSES = 6, 20, 4
LABELS = torch.arange(N) % CLASSES


def images() -> torch.Tensor:
    return torch.rand(N, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def draw(key: int = 0, *, mixup: float = 0.0, cutmix: float = 0.0) -> Mixed:
    generator = seeded(0, 4, key)
    return mixed(images(), LABELS, mixup=mixup, cutmix=cutmix, generator=generator)


def rolled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every image be mixed with the one before it, as torchvision does."""
    order = torch.roll(torch.arange(N), 1)
    monkeypatch.setattr(torch, "randperm", lambda *_, **__: order)


def targets(found: Mixed) -> torch.Tensor:
    one_hot = torch.eye(CLASSES)
    return found.share * one_hot[found.labels] + (1 - found.share) * one_hot[found.others]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_mixup_is_torchvisions(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = v2.MixUp(num_classes=CLASSES)
    theirs._dist = SimpleNamespace(sample=lambda _: torch.tensor(share))
    expected, soft = theirs(images(), LABELS)
    rolled(monkeypatch)
    monkeypatch.setattr(mixing, "betaincinv", lambda *_: share)
    found = draw(mixup=0.2)
    torch.testing.assert_close(found.images, expected)
    torch.testing.assert_close(targets(found), soft)


@pytest.mark.parametrize("seed", range(8))
def test_cutmix_is_torchvisions(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same middles; boxes jut out of the image in most draws."""
    given, share = images(), 0.4
    theirs = v2.CutMix(num_classes=CLASSES)
    theirs._dist = SimpleNamespace(sample=lambda _: torch.tensor(share, dtype=torch.float64))
    torch.manual_seed(seed)
    column, row = int(torch.randint(SIDE, (1,))), int(torch.randint(SIDE, (1,)))
    torch.manual_seed(seed)
    expected, soft = theirs(given, LABELS)
    rolled(monkeypatch)
    monkeypatch.setattr(mixing, "betaincinv", lambda *_: share)
    middles = iter([0.0, (row + 0.5) / SIDE, (column + 0.5) / SIDE])
    drawn = SimpleNamespace(item=lambda: next(middles))
    monkeypatch.setattr(torch, "rand", lambda *_, **__: drawn)
    found = mixed(given, LABELS, mixup=0, cutmix=1.0, generator=torch.Generator())
    torch.testing.assert_close(found.images, expected)
    torch.testing.assert_close(targets(found), soft)


@pytest.mark.parametrize("way", ["mixup", "cutmix"])
def test_labels_count_as_much_as_their_images(way: str) -> None:
    """Where every image has its number as its grey value, the mean tells what is in it."""
    plain = torch.arange(float(N))[:, None, None, None].expand(N, 1, SIDE, SIDE)
    numbers = torch.arange(N)
    for key in range(30):
        both: dict[str, float] = {"mixup": 0.0, "cutmix": 0.0, way: 1.0}
        found = mixed(plain, numbers, generator=seeded(1, key), **both)  # type: ignore[arg-type]
        expected = found.share * found.labels + (1 - found.share) * found.others
        torch.testing.assert_close(found.images.mean((1, 2, 3)), expected.float())
        assert sorted(found.others.tolist()) == numbers.tolist()


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_are_drawn_from_beta(alpha: float) -> None:
    shares = [draw(key, mixup=alpha).share for key in range(400)]
    assert kstest(shares, beta(alpha, alpha).cdf).pvalue > 1e-3


def test_either_way_is_taken_as_often_and_only_where_it_may_be() -> None:
    def cut(key: int, **ways: float) -> bool:
        """Whether images that are mixed with another have pixels left that are wholly their own."""
        numbers = torch.arange(N)
        found = mixed(images(), numbers, generator=seeded(0, key), **{"mixup": 0.0, **ways})
        changed = found.others != numbers
        return bool((found.images == images())[changed].any())

    taken = [cut(key, mixup=1.0, cutmix=1.0) for key in range(200)]
    assert binomtest(sum(taken), len(taken)).pvalue > 1e-3
    assert not any(cut(key, mixup=1.0, cutmix=0.0) for key in range(20))
    assert all(cut(key, cutmix=1.0) for key in range(20))


def test_the_generators_state_decides_and_nothing_else() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - that it does not matter is the point
    one = draw(3, mixup=0.4, cutmix=0.4)
    torch.manual_seed(1)
    again, other = draw(3, mixup=0.4, cutmix=0.4), draw(4, mixup=0.4, cutmix=0.4)
    assert torch.equal(one.images, again.images)
    assert one.share == again.share != other.share


def test_without_either_nothing_is_touched() -> None:
    given: Any = images()
    found = mixed(given, LABELS, mixup=0, cutmix=0, generator=torch.Generator())
    assert found.images is given
    assert found.share == 1
