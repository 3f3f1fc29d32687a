"""The teacher: how it starts, how it follows, what it keeps for itself."""

import copy
import math

import pytest
import torch
from oracles.small_methods import small, views_of
from torch import nn

from brainssl.methods import METHODS
from brainssl.methods.method import Moment
from brainssl.methods.momentum import MomentumMethod, follow, momentum_at, momentum_copy
from brainssl.settings.methods import LEAST_HALF_LIFE, MomentumSettings
from brainssl.training.trainer import without_decay

TAUGHT = [name for name, method in METHODS.items() if issubclass(method, MomentumMethod)]


def taught(name: str, **own: object) -> MomentumMethod:
    method = small(name, **own)
    assert isinstance(method, MomentumMethod)
    return method


def test_three_methods_have_a_teacher() -> None:
    assert TAUGHT == ["byol", "dino", "mocov3"]


@pytest.mark.parametrize("name", TAUGHT)
def test_the_teacher_starts_as_a_copy_of_encoder_and_projector(name: str) -> None:
    method = taught(name)
    online, teacher = method.online.state_dict(), method.teacher.state_dict()
    assert online.keys() == teacher.keys()
    assert any(key.startswith("1.") for key in teacher), "no projector"
    for key, value in online.items():
        assert torch.equal(value, teacher[key]), key
        assert value.data_ptr() != teacher[key].data_ptr(), key
    assert method.online[0] is method.encoder


@pytest.mark.parametrize("name", TAUGHT)
def test_the_teacher_learns_nothing_by_gradients(name: str) -> None:
    method = taught(name)
    method.loss(views_of(method, 6)).backward()
    assert not any(parameter.requires_grad for parameter in method.teacher.parameters())
    assert all(parameter.grad is None for parameter in method.teacher.parameters())
    groups = without_decay(method, weight_decay=0.1, lr=0.1)
    optimised = {id(parameter) for group in groups for parameter in group["params"]}
    teachers = {id(parameter) for parameter in method.teacher.parameters()}
    others = {id(parameter) for parameter in method.parameters()} - teachers
    assert optimised == others
    assert {id(parameter) for parameter in method.online.parameters()} <= others


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", TAUGHT)
def test_the_teacher_follows_as_the_closed_form_says(name: str) -> None:
    """A frozen θ: ξ_k − θ = (ξ_0 − θ) Π m_i, with m_i from the cosine."""
    method, steps, start = taught(name, momentum=0.9), 8, 0.9
    with torch.no_grad():
        for parameter in method.online.parameters():
            parameter += torch.randn(
                parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())
            )
    first = [parameter.clone() for parameter in method.teacher.parameters()]
    kept = 1.0
    for step in range(steps):
        method.moment = Moment(step=step, steps=steps, epoch_steps=4)
        method.after_step()
        kept *= 1 - (1 - start) * (math.cos(math.pi * step / steps) + 1) / 2
        rows = zip(method.teacher.parameters(), method.online.parameters(), first, strict=True)
        for slow, fast, begun in rows:
            torch.testing.assert_close(slow, fast + kept * (begun - fast), atol=1e-5, rtol=1e-5)
    assert 0.3 < kept < 0.9


def test_momentum_rises_to_one_as_a_cosine() -> None:
    seen = [momentum_at(Moment(step=step, steps=100, epoch_steps=10), 0.99) for step in range(101)]
    assert seen[0] == pytest.approx(0.99)
    assert seen[50] == pytest.approx(0.995)
    assert seen[25] == pytest.approx(1 - 0.01 * (1 + math.sqrt(0.5)) / 2)
    assert seen[100] == 1
    assert seen == sorted(seen)


@pytest.mark.usefixtures("float64")
def test_momentum_is_that_of_the_settings() -> None:
    half_life = taught("byol", half_life=2.0)
    half_life.moment = Moment(step=0, steps=100, epoch_steps=30)
    with torch.no_grad():
        half_life.online[1][-1].bias += 1
    for _ in range(2 * 30):  # always the first step: the cosine has not moved
        half_life.after_step()
    gap = half_life.online[1][-1].bias - half_life.teacher[1][-1].bias
    torch.testing.assert_close(gap, torch.full_like(gap, 0.5))


@pytest.mark.parametrize("half_life", [0.5, 1.0, 3.7])
@pytest.mark.parametrize("epoch_steps", [1, 15, 94])
def test_after_a_half_life_half_is_forgotten(half_life: float, epoch_steps: int) -> None:
    momentum, why = MomentumSettings(half_life=half_life).resolved(epoch_steps)["momentum"]
    steps = half_life * epoch_steps
    assert momentum ** max(steps, LEAST_HALF_LIFE) == pytest.approx(0.5)
    assert f"{half_life:g} × the {epoch_steps} steps of an epoch" in why
    assert (f"but {LEAST_HALF_LIFE} steps at least" in why) == (steps < LEAST_HALF_LIFE)


def test_0996_is_a_half_life_of_173_steps() -> None:
    momentum, _ = MomentumSettings(half_life=1.0).resolved(173)["momentum"]
    assert momentum == pytest.approx(0.996, abs=1e-5)
    assert math.log(0.5) / math.log(0.996) == pytest.approx(173, abs=0.1)


def test_a_momentum_goes_before_a_half_life() -> None:
    for epoch_steps in (3, 300):
        chosen = MomentumSettings(half_life=2.0, momentum=0.996).resolved(epoch_steps)
        assert chosen["momentum"] == (0.996, "set as it is")


@pytest.mark.parametrize("name", TAUGHT)
def test_statistics_of_batchnorm_are_the_teachers_own(name: str) -> None:
    """Those of what it saw in training mode, and no average with the online network's."""
    method, seen = taught(name, momentum=0.5), []
    with torch.no_grad():  # so that the two can be told apart
        for parameter in method.online.parameters():
            parameter *= 1.1
    apart = copy.deepcopy(method.teacher)
    method.teacher.register_forward_hook(lambda _m, given, _o: seen.append(given[0]))
    method.loss(views_of(method, 6))
    method.after_step()
    for view in seen:
        apart(view)
    online, expected = dict(method.online.named_buffers()), dict(apart.named_buffers())
    differ = []
    for key, value in method.teacher.named_buffers():
        assert torch.equal(value, expected[key]), key
        differ.append(not torch.allclose(value.float(), online[key].float()))
    assert any(differ)


@pytest.mark.usefixtures("float64")
def test_buffers_stay_when_the_teacher_follows() -> None:
    online = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    teacher = momentum_copy(online)
    online(torch.randn(8, 3) + 5)
    with torch.no_grad():
        online[1].weight += 1
    before = copy.deepcopy(teacher)
    follow(teacher, online, 0.75)
    assert torch.equal(teacher[0].running_mean, before[0].running_mean)
    assert not torch.equal(teacher[0].running_mean, online[0].running_mean)
    expected = 0.75 * before[1].weight + 0.25 * online[1].weight
    torch.testing.assert_close(teacher[1].weight, expected)
    assert teacher.training
