"""Where it is computed and how exactly, for every kind of hardware; only processors are here."""

import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from brainssl.foundation.errors import BrainsslError
from brainssl.hardware.device import (
    SLOWER_BY_CHANNEL,
    SLOWER_ON_CPU,
    SLOWER_ON_GPU,
    announce,
    device_of,
    has_depthwise,
    multiplies_bfloat16,
    precision_of,
)
from brainssl.models.architectures import laid_out
from brainssl.settings.sections import RunSettings

AUTO = RunSettings()
ISA = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
GPUS = {"A100": (8, 0), "H100": (9, 0), "T4": (7, 5), "V100": (7, 0), "P100": (6, 0)}
AMPERE, OLDER = ["A100", "H100"], ["T4", "V100", "P100"]


class Machine:
    """A machine of whatever hardware: a processor without units for bfloat16, if nothing is said.

    It takes the place of what PyTorch and the environment tell of this one.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        for name in ISA:
            patch.delenv(name, raising=False)
        self.has_cuda()
        self.has_mps(False)
        self.has_units()

    def has_cuda(self, *gpus: str) -> None:
        found = [GPUS[name] for name in gpus]
        self.patch.setattr(torch.cuda, "is_available", lambda: bool(found))
        self.patch.setattr(torch.cuda, "device_count", lambda: len(found))
        self.patch.setattr(torch.cuda, "get_device_capability", found.__getitem__)

    def has_mps(self, available: bool = True) -> None:
        self.patch.setattr(torch.backends.mps, "is_available", lambda: available)

    def has_units(self, *units: str) -> None:
        """As PyTorch lists them from 2.11 on."""
        told: dict[str, Any] = {"cpu_name": "any", "avx2": True, "avx512_f": True}
        told |= dict.fromkeys(("avx512_bf16", "amx_bf16"), False) | dict.fromkeys(units, True)
        self.patch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
        self.patch.setattr(torch.cpu, "_is_avx512_bf16_supported", _not_to_be_asked)

    def is_older(self, avx512_bf16: bool) -> None:
        """As PyTorch tells before 2.11."""
        self.patch.delattr(torch.cpu, "get_capabilities", raising=False)
        self.patch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)


def _not_to_be_asked() -> bool:
    raise AssertionError("it knows of AVX-512 alone, and lists are better")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def in_auto() -> str:
    """The precision of a machine, which warns of nothing that it has chosen itself."""
    found = precision_of(AUTO)
    assert found.warning is None
    assert found.reason
    return found.name


@pytest.mark.parametrize("unit", ["avx512_bf16", "amx_bf16"])
def test_a_processor_with_units_for_bfloat16_uses_them(unit: str, machine: Machine) -> None:
    machine.has_units(unit)
    assert multiplies_bfloat16()
    assert in_auto() == "bf16-mixed"


def test_a_processor_without_such_units_computes_in_float32(machine: Machine) -> None:
    assert not multiplies_bfloat16()
    assert in_auto() == "32-true"


def test_a_processor_that_lists_other_names_computes_in_float32(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "aarch64"})
    assert in_auto() == "32-true"


@pytest.mark.parametrize(("has", "name"), [(True, "bf16-mixed"), (False, "32-true")])
def test_older_pytorch_knows_of_avx512(has: bool, name: str, machine: Machine) -> None:
    machine.is_older(avx512_bf16=has)
    assert multiplies_bfloat16() == has
    assert in_auto() == name


def test_this_machine_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is faked here but that there is no GPU: names may change with PyTorch."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    expected = "bf16-mixed" if multiplies_bfloat16() else "32-true"
    assert in_auto() == expected


@pytest.mark.parametrize(
    ("limit", "name"),
    [
        ("AVX2", "32-true"),
        ("avx2", "32-true"),
        ("SSE41", "32-true"),
        ("AVX512_CORE_VNNI", "32-true"),
        ("AVX512_CORE_BF16", "bf16-mixed"),
        ("AVX512_CORE_AMX", "bf16-mixed"),
        ("ALL", "bf16-mixed"),
        ("DEFAULT", "bf16-mixed"),
        ("", "bf16-mixed"),
    ],
)
@pytest.mark.parametrize("variable", ISA)
@pytest.mark.parametrize("older", [False, True])
def test_what_holds_onednn_back_holds_this_back(
    variable: str, limit: str, name: str, older: bool, machine: Machine
) -> None:
    if older:
        machine.is_older(avx512_bf16=True)
    else:
        machine.has_units("avx512_bf16", "amx_bf16")
    machine.patch.setenv(variable, limit)
    assert in_auto() == name


def test_onednns_new_variable_goes_before_its_old_one(machine: Machine) -> None:
    machine.has_units("avx512_bf16")
    for new, old, name in (("AVX2", "ALL", "32-true"), ("ALL", "AVX2", "bf16-mixed")):
        machine.patch.setenv(ISA[0], new)
        machine.patch.setenv(ISA[1], old)
        assert in_auto() == name


@pytest.mark.parametrize(
    ("gpus", "name"),
    [
        *[([gpu], "bf16-mixed") for gpu in AMPERE],
        *[([gpu], "16-mixed") for gpu in OLDER],
        (["A100", "H100"], "bf16-mixed"),
        (["A100", "T4"], "16-mixed"),
        (["T4", "A100"], "16-mixed"),
    ],
)
@pytest.mark.parametrize("units", [[], ["avx512_bf16"]])
def test_of_gpus_the_weakest_decides_and_the_processor_does_not(
    gpus: list[str], name: str, units: list[str], machine: Machine
) -> None:
    machine.has_units(*units)
    machine.has_cuda(*gpus)
    assert device_of(AUTO).type == "cuda"
    assert in_auto() == name
    weakest = ".".join(map(str, min(GPUS[gpu] for gpu in gpus)))
    assert f"compute capability {weakest}" in precision_of(AUTO).reason


def test_apples_gpus_compute_in_float32(machine: Machine) -> None:
    machine.has_units("avx512_bf16")
    machine.has_mps()
    assert device_of(AUTO).type == "mps"
    assert in_auto() == "32-true"


def test_where_it_is_computed(machine: Machine) -> None:
    cpu, gpu = RunSettings(accelerator="cpu"), RunSettings(accelerator="gpu")
    assert device_of(AUTO).type == device_of(cpu).type == "cpu"
    with pytest.raises(BrainsslError, match=r"^run\.accelerator is gpu, .* set auto or cpu$"):
        device_of(gpu)
    machine.has_mps()
    assert device_of(AUTO).type == device_of(gpu).type == "mps"
    machine.has_cuda("T4")
    assert device_of(AUTO).type == device_of(gpu).type == "cuda"
    assert device_of(cpu).type == "cpu"


def test_on_the_processor_of_a_machine_with_a_gpu_the_processor_decides(machine: Machine) -> None:
    machine.has_cuda("A100")
    assert precision_of(RunSettings(accelerator="cpu")).name == "32-true"
    machine.has_units("amx_bf16")
    machine.has_cuda("T4")
    assert precision_of(RunSettings(accelerator="cpu")).name == "bf16-mixed"


def by_hand(precision: Any) -> str | None:
    """Return what is warned of a precision that was asked for, which is then taken."""
    found = precision_of(RunSettings(precision=precision))
    assert found.name == precision
    assert found.reason == "set by hand"
    return found.warning


@pytest.mark.parametrize(
    ("gpu", "factor", "own"),
    [(None, SLOWER_ON_CPU, "32-true"), *[(gpu, SLOWER_ON_GPU, "16-mixed") for gpu in OLDER]],
)
def test_bfloat16_by_hand_where_there_are_no_units_for_it_is_warned_of(
    gpu: str | None, factor: int, own: str, machine: Machine
) -> None:
    if gpu:
        machine.has_cuda(gpu)
    warning = by_hand("bf16-mixed")
    assert warning is not None
    assert "\n" not in warning
    assert f"about {factor} times slower here than run.precision={own}" in warning
    assert precision_of(AUTO).reason in warning


def test_what_the_hardware_has_units_for_is_not_warned_of(machine: Machine) -> None:
    assert by_hand("32-true") is None
    machine.has_units("amx_bf16")
    assert by_hand("bf16-mixed") is by_hand("32-true") is None
    for gpu in AMPERE:
        machine.has_cuda(gpu)
        assert by_hand("bf16-mixed") is by_hand("16-mixed") is by_hand("32-true") is None
    for gpu in OLDER:
        machine.has_cuda(gpu)
        assert by_hand("16-mixed") is by_hand("32-true") is None


@pytest.mark.parametrize(("unit", "mend"), [("avx512_bf16", "bf16-mixed"), (None, "32-true")])
def test_float16_on_a_processor_is_refused(unit: str | None, mend: str, machine: Machine) -> None:
    machine.has_units(*[unit] if unit else [])
    for accelerator in ("auto", "cpu"):
        run = RunSettings(precision="16-mixed", accelerator=accelerator)  # type: ignore[arg-type]
        with pytest.raises(BrainsslError) as refused:
            precision_of(run)
        assert "\n" not in str(refused.value)
        assert "needs an NVIDIA GPU, and this trains on cpu" in str(refused.value)
        assert str(refused.value).endswith(f"set run.precision=auto, which is {mend} here")


def test_float16_on_apples_gpu_is_refused(machine: Machine) -> None:
    machine.has_mps()
    with pytest.raises(BrainsslError, match=r"trains on mps: set run\.precision=auto, which is 32"):
        precision_of(RunSettings(precision="16-mixed"))


def test_waiting_threads_sleep_unless_a_user_says_otherwise() -> None:
    """It must be said before PyTorch is loaded, so in a new process."""
    script = "import brainssl, os; print(os.environ['OMP_WAIT_POLICY'])"
    for given, expected in ((None, "PASSIVE"), ("ACTIVE", "ACTIVE")):
        environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
        environment |= {"OMP_WAIT_POLICY": given} if given else {}
        told = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.strip() == expected


def network(name: str) -> torch.nn.Module:
    found = laid_out(name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenetv3_small_100", "convnext_atto"])
def test_a_processor_trains_depthwise_convolutions_in_float32_and_a_gpu_as_everything(
    name: str, machine: Machine
) -> None:
    machine.has_units("avx512_bf16", "amx_bf16")
    assert precision_of(AUTO).name == "bf16-mixed"
    found = precision_of(AUTO, network(name))
    assert (found.name, found.warning) == ("32-true", None)
    assert "depthwise convolutions" in found.reason
    machine.has_cuda("A100")
    assert precision_of(AUTO, network(name)) == precision_of(AUTO)
    machine.has_cuda("T4")
    assert precision_of(AUTO, network(name)) == precision_of(AUTO)


@pytest.mark.parametrize("name", ["resnet10t", "resnext50_32x4d", "vit_tiny_patch16_224"])
def test_other_networks_train_in_bfloat16_where_there_are_units(
    name: str, machine: Machine
) -> None:
    """ResNeXt's convolutions are grouped, and of several channels each."""
    machine.has_units("avx512_bf16")
    assert precision_of(AUTO, network(name)) == precision_of(AUTO)


def test_one_channel_alone_makes_no_depthwise_convolution() -> None:
    assert not has_depthwise(torch.nn.Conv2d(1, 8, 3))
    assert not has_depthwise(torch.nn.Conv2d(8, 8, 3, groups=4))
    assert has_depthwise(torch.nn.Sequential(torch.nn.Conv2d(8, 16, 3, groups=8)))


def test_bfloat16_by_hand_for_depthwise_convolutions_is_warned_of(machine: Machine) -> None:
    asked = RunSettings(precision="bf16-mixed")
    told = precision_of(asked, network("efficientnet_lite0")).warning
    assert told is not None
    assert f"about {SLOWER_ON_CPU} times slower" in told  # there are no units at all
    machine.has_units("amx_bf16")
    told = precision_of(asked, network("efficientnet_lite0")).warning
    assert told is not None
    assert f"about {SLOWER_BY_CHANNEL} times slower here than run.precision=32-true" in told
    assert precision_of(asked, network("resnet10t")).warning is None


def test_what_is_announced_is_of_the_network(machine: Machine) -> None:
    machine.has_units("amx_bf16")
    said: list[object] = []
    announce(AUTO, said.append, network("efficientnet_lite0"))
    announce(AUTO, said.append, network("resnet10t"))
    assert [str(line).split(":")[0] for line in said] == [
        "precision 32-true",
        "precision bf16-mixed",
    ]
