"""BatchNorm: over the joint batch of several processes, and statistics without learning."""

from functools import partial

import numpy as np
import torch
from jaxtyping import Float, UInt
from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from brainssl.data.indices import Indices
from brainssl.methods.gathering import gather, ranks
from brainssl.views.recipes import as_tensor, to_unit

_BATCH = 128


def synchronise(network: nn.Module, *, cuda: bool) -> None:
    """Let every BatchNorm of a network see the joint batch while it trains, as one process would.

    Parameters, buffers and their names stay the same, so that what is saved loads into a plain
    network. On CUDA it is PyTorch's own, which refuses other devices.
    """
    if cuda:
        convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return
    for norm in network.modules():
        if isinstance(norm, _BatchNorm):
            norm.forward = partial(_forward, norm)  # type: ignore[method-assign]


def _forward(norm: _BatchNorm, rows: Float[Tensor, "n c *_"]) -> Float[Tensor, "n c *_"]:
    if not norm.training:
        plain: Tensor = type(norm).forward(norm, rows)
        return plain
    with torch.autocast(rows.device.type, enabled=False):
        normalised = _normalise(norm, rows.float()).to(rows.dtype)
    if isinstance(norm, BatchNormAct2d):  # timm's puts an activation behind
        normalised = norm.act(norm.drop(normalised))
    return normalised


def _normalise(norm: _BatchNorm, rows: Float[Tensor, "n c *_"]) -> Float[Tensor, "n c *_"]:
    """Return (x − μ)/√(σ² + ε) · w + b, μ and σ² over all ranks (Ioffe & Szegedy 2015).

    Over ranks r with equally many values, μ is the mean of μ_r, and σ² that of σ_r² + (μ_r − μ)².
    """
    others = [axis for axis in range(rows.ndim) if axis != 1]
    var, mean = torch.var_mean(rows, others, correction=0)
    variances, means = gather(torch.cat([var, mean])[None]).chunk(2, dim=1)
    mean = means.mean(dim=0)
    var = (variances + (means - mean).square()).mean(dim=0)
    _track(norm, mean.detach(), var.detach(), ranks() * rows.numel() // rows.shape[1])
    shape = (-1, *[1] * (rows.ndim - 2))
    scale = torch.rsqrt(var + norm.eps)
    if norm.affine:
        return torch.addcmul(
            norm.bias.view(shape), rows - mean.view(shape), (scale * norm.weight).view(shape)
        )
    return (rows - mean.view(shape)) * scale.view(shape)


def _track(norm: _BatchNorm, mean: Tensor, var: Tensor, count: int) -> None:
    """Move the running statistics, with the unbiased variance, as PyTorch does."""
    if norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    rate = 1 / int(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean, rate)
    norm.running_var.lerp_(var * count / (count - 1), rate)


def estimate_statistics(
    network: nn.Module, images: UInt[np.ndarray, "n size size"], rows: Indices
) -> None:
    """Set the running statistics of every BatchNorm from images, without learning.

    Mean and unbiased variance are those of batches of about 128 images, each normalised by itself
    as in training, in the mean over the batches. The order of the images is drawn, always the
    same: in that of a store a batch would be of one class.

    Args:
        network: changed in place; everything else about it stays.
        images: as they are stored, seen whole and as they are.
        rows: which of them; two at least.
    """
    norms = [norm for norm in network.modules() if isinstance(norm, _BatchNorm)]
    if not norms:
        return
    device = next(network.parameters()).device
    order = np.random.default_rng(0).permutation(rows)
    modes = {module: module.training for module in network.modules()}
    momenta = [norm.momentum for norm in norms]
    network.eval()  # dropout and the like
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    with torch.no_grad():
        for batch in np.array_split(order, -(-len(order) // _BATCH)):
            network(to_unit(as_tensor(images[batch]).to(device)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode
