"""What holds for every method, and the contract's small types."""

import copy
import math

import pytest
import torch
from oracles.small_methods import small, views_of
from torch import Tensor

from brainssl.methods import METHODS, build_method
from brainssl.methods.method import Crop, Method, Moment
from brainssl.methods.momentum import MomentumMethod
from brainssl.training.trainer import without_decay

every_method = pytest.mark.parametrize("name", METHODS)


def learn(method: Method, views: list[Tensor], steps: int) -> list[float]:
    """Take optimiser steps on the same views; return the losses."""
    optimizer = torch.optim.AdamW(without_decay(method, weight_decay=1e-4, lr=2e-3))
    losses = []
    for step in range(steps):
        method.moment = Moment(step=step, steps=100, epoch_steps=10)
        optimizer.zero_grad()
        loss = method.loss(views)
        loss.backward()
        method.after_backward()
        optimizer.step()
        method.after_step()
        losses.append(loss.item())
    return losses


@pytest.mark.usefixtures("float64")
@every_method
def test_the_order_of_images_does_not_matter(name: str) -> None:
    method = small(name)
    views = views_of(method, 8)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    other = copy.deepcopy(method)
    loss = method.loss(views).item()
    assert other.loss([view[order] for view in views]).item() == pytest.approx(loss, rel=1e-10)
    # It does matter which views belong together.
    mixed = copy.deepcopy(other).loss([views[0], views[1][order], *views[2:]]).item()
    assert mixed != pytest.approx(loss, rel=1e-3)


@every_method
def test_the_loss_teaches_all_of_the_encoder(name: str) -> None:
    method = small(name)
    for key, parameter in method.encoder.named_parameters():
        if parameter.ndim == 1 and key.endswith("weight"):
            torch.nn.init.ones_(parameter)  # timm starts residual branches at zero
    loss = method.loss(views_of(method, 8))
    assert loss.ndim == 0
    assert torch.isfinite(loss)
    loss.backward()
    for key, parameter in method.encoder.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.any(), key


@pytest.mark.parametrize("architecture", ["test_vit", "test_vit2"])
@every_method
def test_a_step_teaches_all_of_a_transformer_but_frozen_patches(
    name: str, architecture: str
) -> None:
    """One with a class token, one with a register that is pooled by the mean of its patches."""
    local = {"local_scale": 0.5} if name == "dino" else {}
    method = small(name, architecture=architecture, **local)
    views = views_of(method, 8)
    assert {view.shape[-1] for view in views} == ({32, 16} if name == "dino" else {32})
    before = {key: own.clone() for key, own in method.encoder.named_parameters()}
    losses = learn(method, views, 2)
    assert all(map(math.isfinite, losses))
    for key, parameter in method.encoder.named_parameters():
        assert torch.isfinite(parameter).all(), key
        frozen = name == "mocov3" and "patch_embed" in key
        assert torch.equal(parameter, before[key]) == frozen, key


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@every_method
def test_the_loss_is_float32_under_autocast(name: str, half: torch.dtype) -> None:
    method = small(name)
    views = views_of(method, 8)
    exact = copy.deepcopy(method).loss(views)
    with torch.autocast("cpu", half):
        loss = method.loss(views)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=0.1)


@every_method
def test_a_few_steps_on_the_same_images_lower_the_loss(name: str) -> None:
    method = small(name)
    losses = learn(method, views_of(method, 16), 12)
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])


@every_method
def test_what_is_saved_goes_on_as_if_nothing_had_been(name: str) -> None:
    method, fresh = small(name), small(name, seed=5)
    learn(method, views_of(method, 8), 2)
    following = views_of(method, 8, seed=1)
    before = fresh.loss(following).item()
    fresh.load_state_dict(method.state_dict())
    fresh.moment = method.moment
    loss = method.loss(following).item()
    assert fresh.loss(following).item() == loss
    assert before != pytest.approx(loss, rel=1e-4)


@every_method
def test_embeddings_do_not_change_the_method(name: str) -> None:
    """The sentinel calls these in evaluation mode."""
    method = small(name).eval()
    before = copy.deepcopy(method.state_dict())
    view = views_of(method, 8)[0]
    with torch.no_grad():
        embedded, answers = method.embed(view), method.answers(view)
    assert embedded.shape[0] == 8
    assert (answers is not None) == (name == "dino")
    for key, value in method.state_dict().items():
        assert torch.equal(value, before[key]), key


@every_method
def test_what_is_kept_is_an_encoder_of_the_method(name: str) -> None:
    method = small(name)
    kept = method.teacher[0] if name == "dino" else method.encoder
    assert method.trained is kept


@every_method
def test_a_method_is_built_from_its_section(name: str) -> None:
    method = small(name)
    built = build_method(name, method.encoder, METHODS[name].settings_type())
    assert type(built) is METHODS[name]
    assert built.encoder is method.encoder


def test_sides_of_crops() -> None:
    assert [Crop().side(size) for size in (32, 64, 65, 224)] == [32, 64, 65, 224]
    assert Crop(scale=0.43).side(224) == 96
    assert Crop(scale=0.5).side(64) == 32
    assert Crop(scale=0.001).side(64) >= 1
    # Of whole patches.
    assert [Crop(scale=0.43).side(224, patch) for patch in (14, 16)] == [98, 96]
    assert Crop(scale=0.001).side(64, 16) == 16
    assert Crop().side(64, 16) == 64


def test_epochs_are_counted_in_fractions() -> None:
    assert Moment(step=7, steps=40, epoch_steps=4).epoch == 1.75


def test_cost_counts_pixels_and_teachers() -> None:
    """In forward and backward passes of a whole image; a forward alone is a third of both."""
    dino = METHODS["dino"]
    chosen = dino.settings_type(local_crops=4, local_scale=0.5)
    assert dino.cost(chosen) == pytest.approx(2 + 4 / 4 + 2 / 3)
    for name, method in METHODS.items():
        teachers = 2 / 3 if issubclass(method, MomentumMethod) else 0
        if name != "dino":
            assert method.cost(method.settings_type()) == pytest.approx(2 + teachers)
