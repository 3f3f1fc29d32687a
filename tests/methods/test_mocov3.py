"""MoCo v3: InfoNCE, its heads, its directions and its scale."""

import copy

import pytest
import torch
from lightly.loss import NTXentLoss
from oracles.losses import info_nce as info_nce_by_hand
from oracles.small_methods import of_preset, small, views_of
from torch import Tensor, nn

from brainssl.methods.mocov3 import MoCoV3, info_nce
from brainssl.training.trainer import without_decay


def pair(n: int, dim: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    return torch.randn(n, dim, generator=generator), torch.randn(n, dim, generator=generator)


def moco(**own: object) -> MoCoV3:
    method = small("mocov3", **own)
    assert isinstance(method, MoCoV3)
    return method


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
@pytest.mark.parametrize(("n", "dim"), [(1, 4), (2, 3), (9, 16)])
def test_loss_is_the_formula(n: int, dim: int, temperature: float) -> None:
    queries, keys = pair(n, dim)
    loss = info_nce(queries, keys, temperature=temperature)
    assert loss.item() == pytest.approx(info_nce_by_hand(queries, keys, temperature), abs=1e-10)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("pools", [[0, 1, 2, 3, 4], [0, 0, 1, 2, 2], [3, 3, 3, 3, 3]])
def test_images_of_a_pool_are_no_negatives(pools: list[int]) -> None:
    queries, keys = pair(5, 8)
    loss = info_nce(queries, keys, temperature=0.2, pools=torch.tensor(pools))
    assert loss.item() == pytest.approx(info_nce_by_hand(queries, keys, 0.2, pools), abs=1e-10)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("temperature", [0.07, 0.2])
def test_loss_and_gradient_agree_with_lightly(temperature: float) -> None:
    """lightly has no InfoNCE of its own.

    With a memory bank that holds the other images' keys, its NT-Xent of one query is one term.
    """
    queries, keys = pair(6, 16)
    ours, theirs = queries.clone().requires_grad_(), queries.clone().requires_grad_()
    terms = []
    for i in range(6):
        others = torch.cat([keys[:i], keys[i + 1 :]])
        reference = NTXentLoss(temperature=temperature, memory_bank_size=(5, 16))
        reference.memory_bank.bank = others / others.norm(dim=1, keepdim=True)
        terms.append(reference(theirs[i : i + 1], keys[i : i + 1]))
    loss, expected = info_nce(ours, keys, temperature=temperature), torch.stack(terms).mean()
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-10, rtol=0)


def test_loss_stays_float32_under_autocast() -> None:
    queries, keys = pair(16, 64)
    exact = info_nce(queries, keys, temperature=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        loss = info_nce(queries, keys, temperature=0.05)
    assert loss.dtype == torch.float32
    assert loss.item() == exact.item()
    rough = info_nce(queries.bfloat16(), keys.bfloat16(), temperature=0.05)
    rounded = info_nce(queries.bfloat16().float(), keys.bfloat16().float(), temperature=0.05)
    assert rough.dtype == torch.float32
    assert rough.item() == rounded.item()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("symmetric", [True, False])
def test_queries_are_online_keys_are_the_teachers(symmetric: bool) -> None:
    """Without symmetry, the first view asks and the second one answers."""
    method = moco(symmetric=symmetric, scaled=False, temperature=0.2)
    first, second = views_of(method, 6)
    second = 0.5 * second
    parts = copy.deepcopy(method)
    loss = method.loss([first, second]).item()
    with torch.no_grad():
        q_1, q_2 = (parts.predictor(parts.online(view)) for view in (first, second))
        k_1, k_2 = (parts.teacher(view) for view in (first, second))
    one, two = info_nce_by_hand(q_1, k_2, 0.2), info_nce_by_hand(q_2, k_1, 0.2)
    assert loss == pytest.approx(one + two if symmetric else one, abs=1e-10)
    assert one != pytest.approx(two, abs=1e-6)


@pytest.mark.usefixtures("float64")
def test_the_method_takes_the_pools_that_it_is_told() -> None:
    pools = [0, 0, 1, 2]
    method = moco(symmetric=False, scaled=False, temperature=0.2)
    method.pools = torch.tensor(pools)
    first, second = views_of(method, 4)
    parts = copy.deepcopy(method)
    with torch.no_grad():
        queries, keys = parts.predictor(parts.online(first)), parts.teacher(second)
    expected = info_nce_by_hand(queries, keys, 0.2, pools)
    assert method.loss([first, second]).item() == pytest.approx(expected, abs=1e-10)
    assert abs(expected - info_nce_by_hand(queries, keys, 0.2)) > 1e-3


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("temperature", [0.2, 0.7])
def test_the_loss_is_scaled_by_twice_the_temperature(temperature: float) -> None:
    plain = moco(scaled=False, temperature=temperature)
    scaled = moco(scaled=True, temperature=temperature)
    views = views_of(plain, 6)
    ratio = scaled.loss(views).item() / plain.loss(views).item()
    assert ratio == pytest.approx(2 * temperature, rel=1e-10)


def test_keys_take_no_gradient() -> None:
    method = moco()
    method.teacher.requires_grad_(True)  # even then
    method.loss(views_of(method, 6)).backward()
    assert all(parameter.grad is None for parameter in method.teacher.parameters())
    assert all(parameter.grad is not None for parameter in method.online.parameters())
    assert all(parameter.grad is not None for parameter in method.predictor.parameters())


def test_heads_of_reference_are_the_originals_for_a_resnet() -> None:
    method = of_preset("mocov3", "reference")
    hidden = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    projector = method.online[1]
    assert [type(each) for each in projector] == [*hidden, nn.Linear, nn.BatchNorm1d]
    assert projector[1].affine
    assert not projector[-1].affine
    assert (projector[0].out_features, projector[3].out_features) == (4096, 256)
    assert [type(each) for each in method.predictor] == [*hidden, nn.Linear]
    widths = [(each.in_features, each.out_features) for each in method.predictor[::3]]
    assert widths == [(256, 4096), (4096, 256)]
    assert method.symmetric
    assert method.scale == pytest.approx(2 * 0.2)


def test_heads_of_paper_are_the_studys() -> None:
    method = of_preset("mocov3", "paper")
    linear = [each for each in method.online[1] if isinstance(each, nn.Linear)]
    assert [each.out_features for each in linear] == [4096, 4096, 256]
    assert isinstance(method.online[1][-1], nn.Linear)
    assert isinstance(method.predictor, nn.Identity)
    assert not method.symmetric
    assert method.scale == 1
    assert method.temperature == 0.2


def patches_of(method: MoCoV3, network: nn.Module) -> list[Tensor]:
    return [p for name, p in network.named_parameters() if "patch_embed" in name]


def test_the_patch_projection_of_a_transformer_stays_random() -> None:
    """No gradient, no weight decay, the same bits in the teacher; the rest learns."""
    method = moco(architecture="test_vit")
    before = [own.clone() for own in patches_of(method, method.online)]
    optimizer = torch.optim.AdamW(without_decay(method, weight_decay=0.5, lr=1e-2))
    decayed = [id(p) for group in optimizer.param_groups for p in group["params"]]
    for seed in range(3):
        method.loss(views_of(method, 8, seed=seed)).backward()
        optimizer.step()
        method.after_step()
    assert len(before) == 2
    for network in (method.online, method.teacher):
        for own, then in zip(patches_of(method, network), before, strict=True):
            assert own.grad is None
            assert id(own) not in decayed
            assert torch.equal(own, then)
    first = next(iter(method.teacher.parameters()))
    assert not torch.equal(first, next(iter(method.online.parameters())))


def test_the_patch_projection_may_learn_and_a_cnn_has_none() -> None:
    method = moco(architecture="test_vit", freeze_patches=False)
    assert all(own.requires_grad for own in patches_of(method, method.online))
    assert all(own.requires_grad for own in moco().online.parameters())
