"""What a step takes of a machine of a cluster: by the settings, or by an estimate."""

from functools import lru_cache

import torch
from torch import nn

from brainssl.data.dataset import Data
from brainssl.models.encoder import build_encoder
from brainssl.models.tokens import Pool
from brainssl.settings import Settings
from brainssl.settings.starts import RANDOM
from brainssl.studies.grid import CLASSICAL, Step
from brainssl.studies.plan import Plan
from brainssl.studies.scheduling.scheduler import Demand

_GB = 10**9
_PROCESS = 1.2e9  # bytes of a process with its libraries
_CUDA = 0.8e9  # bytes of a GPU that each process takes before anything else
_GPU = 16e9  # bytes of a GPU that is small today
_SHARES = (0.25, 0.5, 1.0)  # of a GPU; smaller ones would wait for each other more than they gain
_BACKWARD = 2.0  # what is kept of a forward pass, and as much on the way back
_VIEWS = 2  # of each image in a batch of pretraining; and of the momentum encoder, no gradients
_STATES = 5  # weights, gradients, two moments of AdamW, and a momentum encoder


def demand_of(plan: Plan, step: Step, data: Data, *, gpus: bool) -> Demand:
    """Return what a step takes; nobody holds it to its memory, but no more steps are put there.

    Args:
        plan: of the study.
        step: of its grid.
        data: of the step.
        gpus: whether there are GPUs.
    """
    run, images = plan.settings.run, data.store.images.nbytes
    devices = run.devices if step.stage == "pretrain" else 1
    trained = 0.0 if step.stage == CLASSICAL or step.tuned else _bytes_of(plan.settings, step)
    on_gpu = gpus and run.accelerator != "cpu" and trained > 0
    memory = _PROCESS * devices + images + (0 if on_gpu else trained)
    if run.step_memory != "auto":
        memory = run.step_memory * _GB
    if not on_gpu:
        return Demand(run.step_cpus * devices, 0.0, int(memory))
    share = run.step_gpus if run.step_gpus != "auto" else _share(_CUDA + images + trained)
    return Demand(run.step_cpus * devices, devices if devices > 1 else share, int(memory))


def _share(needed: float) -> float:
    return next((share for share in _SHARES if needed <= share * _GPU), 1.0)


def _bytes_of(settings: Settings, step: Step) -> float:
    """Estimate what training takes: weights and what is kept of a batch, in float32."""
    own, pretraining = settings.of(step.method), step.stage == "pretrain"
    batch = own.pretrain.batch_size * _VIEWS if pretraining else own.finetune.batch_size
    weights, outputs = _footprint(
        settings.encoder.name, settings.encoder.image_size, settings.encoder.pool
    )
    return 4.0 * (_STATES * weights + _BACKWARD * batch * outputs)


@lru_cache(maxsize=4)
def _footprint(name: str, size: int, pool: Pool) -> tuple[int, int]:
    """Return how many weights a network has, and numbers that its layers put out for an image."""
    encoder = build_encoder(name, image_size=size, pool=pool, weights=RANDOM, seed=0).eval()
    outputs = 0

    def count(_layer: nn.Module, _given: object, out: object) -> None:
        nonlocal outputs
        outputs += out.numel() if isinstance(out, torch.Tensor) else 0

    layers = [layer for layer in encoder.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.inference_mode():
        encoder(torch.zeros(1, 1, size, size))
    for hook in hooks:
        hook.remove()
    return sum(one.numel() for one in encoder.parameters()), outputs
