"""Schedule and parameter groups against closed forms."""

import math

import pytest
import torch
from torch import nn

from brainssl.encoders import Encoder
from brainssl.training.trainer import cosine, without_decay


def test_schedule_rises_linearly_and_falls_as_a_cosine() -> None:
    factors = [cosine(step, steps=110, warmup=10) for step in range(111)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10] == 1
    assert factors[60] == pytest.approx(0.5)
    assert factors[35] == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert factors[110] == pytest.approx(0)


def test_schedule_agrees_with_torch() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    for step in range(20):
        assert cosine(step, steps=20, warmup=0) == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()


def test_warmup_may_fill_the_whole_training() -> None:
    assert cosine(0, steps=1, warmup=1) == 1


def test_biases_and_normalisation_take_no_weight_decay() -> None:
    encoder = Encoder("test_resnet", image_size=32)
    decayed, spared = without_decay(encoder, weight_decay=0.1, lr=0.5)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert decayed["lr"] == spared["lr"] == 0.5
    spared_ids = {id(p) for p in spared["params"]}
    for name, module in encoder.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert {id(module.weight), id(module.bias)} <= spared_ids, name
        if isinstance(module, nn.Conv2d):
            assert id(module.weight) not in spared_ids, name
    count = len(decayed["params"]) + len(spared["params"])
    assert count == len(list(encoder.parameters()))
