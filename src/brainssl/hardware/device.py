"""What this machine computes with, and how exactly: facts of the machine, not of a study."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from brainssl.foundation.errors import BrainsslError
from brainssl.settings.sections import PrecisionName, RunSettings

# Processors have no other names for these in PyTorch; before 2.11 it did not list them at all.
_BFLOAT16_UNITS = ("avx512_bf16", "amx_bf16")
# What oneDNN may be held to by ONEDNN_MAX_CPU_ISA, and still multiply bfloat16 in hardware.
_LIMITS_WITH_BFLOAT16 = ("BF16", "FP16", "AMX", "AVX10", "ALL", "DEFAULT")
_AMPERE = (8, 0)  # the compute capability from which GPUs have bfloat16 units

SLOWER_ON_CPU = 6
"""How many times slower than float32 bfloat16 is on a processor without units for it, or more."""
SLOWER_ON_GPU = 2
"""The same of an NVIDIA GPU without units, against float16, about."""
SLOWER_BY_CHANNEL = 2
"""The same of a processor with units, for depthwise convolutions: by 1.5 to 2.2."""


@dataclass(frozen=True)
class Precision:
    """How exactly a network is trained here.

    Attributes:
        name: as Lightning names it.
        reason: why, in a few words.
        slower: how many times slower bfloat16 would be, about; 1 where it is not known to be.
        warning: what is wrong with a precision that was asked for by hand.
    """

    name: PrecisionName
    reason: str
    slower: int = 1
    warning: str | None = None


def device_of(run: RunSettings) -> torch.device:
    """Return where to compute: on a GPU if there is one and the settings allow it.

    A GPU is one of CUDA, or of Apple's (MPS).

    Raises:
        BrainsslError: the settings demand a GPU and there is none.
    """
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cpu" and torch.backends.mps.is_available():
        kind = "mps"
    if run.accelerator == "gpu" and kind == "cpu":
        raise BrainsslError("run.accelerator is gpu, and PyTorch sees none here: set auto or cpu")
    return torch.device("cpu" if run.accelerator == "cpu" else kind)


def precision_of(run: RunSettings, network: nn.Module | None = None) -> Precision:
    """Return in which precision this machine trains a network: the fastest that it has units for.

    Losses, centres and prototypes are float32 in each of them.

    Args:
        run: where to compute, and in which precision.
        network: to be trained, or a part of it; None: one without depthwise convolutions.

    Raises:
        BrainsslError: float16 is asked for where there is no CUDA to scale its losses on.
    """
    device = device_of(run)
    own = _PRECISIONS[device.type]()
    if device.type == "cpu" and own.name == "bf16-mixed" and network and has_depthwise(network):
        own = Precision(
            "32-true",
            "the network has depthwise convolutions, which a processor does faster in float32",
            SLOWER_BY_CHANNEL,
        )
    if run.precision == "auto":
        return own
    if run.precision == "16-mixed" and device.type != "cuda":
        raise BrainsslError(
            f"run.precision=16-mixed needs an NVIDIA GPU, and this trains on {device.type}: set "
            f"run.precision=auto, which is {own.name} here"
        )
    warns = run.precision == "bf16-mixed" and own.slower > 1
    return Precision(run.precision, "set by hand", warning=_warning(own) if warns else None)


def has_depthwise(network: nn.Module) -> bool:
    """Tell whether a network has convolutions that see one channel at a time."""
    return any(
        isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1
        for layer in network.modules()
    )


def announce(
    run: RunSettings, say: Callable[[str], object], network: nn.Module | None = None
) -> None:
    """Say in which precision this machine trains, and why; warn of one that is slow here."""
    precision = precision_of(run, network)
    say(f"precision {precision.name}: {precision.reason}")
    if precision.warning:
        say(f"warning: {precision.warning}")


def _warning(own: Precision) -> str:
    return (
        f"run.precision=bf16-mixed was set by hand, and {own.reason}: it is about {own.slower} "
        f"times slower here than run.precision={own.name}"
    )


def _of_processor() -> Precision:
    if multiplies_bfloat16():
        return Precision("bf16-mixed", "the processor multiplies bfloat16 in hardware")
    return Precision("32-true", "the processor has no units for bfloat16", SLOWER_ON_CPU)


def _of_cuda() -> Precision:
    # The weakest decides, if several share a batch.
    every = [torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())]
    capability = min(every)
    told = f"the GPU has compute capability {capability[0]}.{capability[1]}"
    if capability >= _AMPERE:
        return Precision("bf16-mixed", told)
    return Precision("16-mixed", f"{told}, without units for bfloat16", SLOWER_ON_GPU)


def _of_mps() -> Precision:
    return Precision("32-true", "Apple's GPUs train in float32")


_PRECISIONS = {"cpu": _of_processor, "cuda": _of_cuda, "mps": _of_mps}


def multiplies_bfloat16() -> bool:
    """Tell whether this processor has units that multiply bfloat16, and oneDNN may use them."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "ALL"
    if not any(name in limit.upper() for name in _LIMITS_WITH_BFLOAT16):
        return False
    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(unit, False) for unit in _BFLOAT16_UNITS)
    # PyTorch before 2.11; AMX always comes with AVX-512.
    return bool(torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001
