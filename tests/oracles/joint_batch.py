"""Work on a joint batch that processes share; each finds it here by its name.

Where there is one process it has the whole batch to itself: that is the oracle of two. In float64,
as two sums of halves are not rounded like one sum of all.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from oracles.float64 import in_float64
from timm.layers import BatchNormAct2d
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from brainssl.methods import METHODS, Method, build_method
from brainssl.methods.gathering import gather, mean_over_ranks, ranks, share
from brainssl.methods.simclr import nt_xent
from brainssl.models.encoder import build_encoder
from brainssl.training.batchnorm import synchronise

IMAGES, STEPS = 8, 3


class Network(nn.Module):
    """Every kind of BatchNorm, and SimCLR's loss of the projections."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 6, 3, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 5, 3),
            BatchNormAct2d(5, act_layer=nn.SiLU, momentum=None),
            nn.Flatten(),
            nn.Linear(80, 7),
            nn.BatchNorm1d(7, affine=False),
            nn.Linear(7, 4),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        one, two = self.layers(torch.cat([first, second])).chunk(2)
        return nt_xent(gather(one), gather(two), temperature=0.5)


def views(step: int) -> Tensor:
    generator = torch.Generator().manual_seed(step)
    return 2 + torch.randn(2, IMAGES, 1, 8, 8, generator=generator)


@in_float64()
def learn() -> dict[str, Any]:
    """Return the loss and the gradients of each step, and the network at the end."""
    torch.manual_seed(0)
    network = Network()
    module: nn.Module = network
    if ranks() > 1:
        synchronise(network, cuda=False)
        module = DistributedDataParallel(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    losses, gradients = [], []
    for step in range(STEPS):
        optimizer.zero_grad()
        first, second = views(step)
        loss = module(share(first), share(second))
        loss.backward()
        losses.append(loss.detach())
        gradients.append({name: p.grad.clone() for name, p in network.named_parameters()})
        optimizer.step()
    network.eval()
    answers = network.layers(views(STEPS)[0]).detach()  # of every image, in one process and in two
    return {
        "losses": torch.stack(losses),
        "gradients": gradients,
        "state": network.state_dict(),
        "answers": answers,
    }


class Loss(nn.Module):
    """A method whose forward is its loss, as DistributedDataParallel wants it."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, crops: list[Tensor]) -> Tensor:
        return self.method.loss(crops)


@in_float64()
def judged(name: str) -> dict[str, Any]:
    """Return the loss of a method for a batch, its gradients and its buffers after the step.

    Three images of the batch, on both ranks, are of one pool, and others of one class.
    """
    chosen = METHODS[name].settings_type(hidden_dim=16, output_dim=8)
    torch.manual_seed(1)
    method = build_method(name, build_encoder("test_resnet", image_size=32, seed=0), chosen)
    method.pools = share(torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 0, 9, 10, 0, 12, 13, 14, 15]))
    method.classes = share(torch.tensor([0, 1, -1, 1, -1, 0, 0, 1, 0, 0, -1, 0, 1, 2, -1, -1]))
    module: nn.Module = Loss(method)
    if ranks() > 1:
        synchronise(module, cuda=False)
        module = DistributedDataParallel(module)
    generator = torch.Generator().manual_seed(5)
    sides = [crop.side(32) for crop in method.crops(chosen)]
    loss = module([share(torch.rand(16, 1, side, side, generator=generator)) for side in sides])
    loss.backward()
    method.after_step()
    parameters = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
    return {"loss": loss.detach(), "gradients": parameters, "buffers": dict(method.named_buffers())}


def gathered() -> dict[str, Any]:
    """Return joint rows, their gradient where each rank weighs them its own way, and a mean."""
    rank = distributed.get_rank()
    rows = share(torch.arange(12.0).view(6, 2)).requires_grad_()
    joint = gather(rows)
    (joint * weights(rank)).sum().backward()
    return {
        "joint": joint.detach(),
        "gradient": rows.grad,
        "mean": mean_over_ranks(torch.tensor([1.0, 10.0], requires_grad=True) * (rank + 1)),
    }


def weights(rank: int) -> Tensor:
    return torch.randn(6, 2, generator=torch.Generator().manual_seed(rank))


def everything(folder: Path, tell: Callable[..., None]) -> None:
    """Save what this rank has got."""
    rank = distributed.get_rank()
    methods = {name: judged(name) for name in METHODS}
    torch.save(learn() | gathered() | {"methods": methods}, folder / f"{rank}.pt")
    tell("note", rank, distributed.get_world_size())
