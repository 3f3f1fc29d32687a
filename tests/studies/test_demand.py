"""What a step takes: more for larger images, as told where it is, a GPU where one helps."""

from dataclasses import replace

import pytest
from oracles.small_plan import FAST, small_plan

from brainssl.data.dataset import Data
from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.settings import load_settings
from brainssl.studies.demand import demand_of
from brainssl.studies.grid import Step
from brainssl.studies.plan import Plan
from brainssl.studies.scheduling.scheduler import Demand

PRETRAINING = Step("pretrain", "simclr", "grouped", 0)
GPU = [one for one in FAST if not one.startswith("run.")]


@pytest.fixture
def data(shared_store: ImageStore) -> Data:
    return Data(shared_store, make_split(shared_store.manifest, protocol="grouped", seed=0))


def plan(data: Data, *more: str) -> Plan:
    return small_plan(data.store.path, [*GPU, *more])


def test_more_pixels_and_larger_batches_take_more(data: Data) -> None:
    small, large, many = (
        demand_of(plan(data, *more), PRETRAINING, data, gpus=False)
        for more in ((), ("encoder.image_size=128",), ("pretrain.batch_size=512",))
    )
    assert small.memory < large.memory
    assert small.memory < many.memory
    assert small.gpus == 0
    assert small.memory > data.store.images.nbytes


def test_small_steps_share_a_gpu_and_what_needs_none_takes_none(data: Data) -> None:
    own = plan(data)
    assert demand_of(own, PRETRAINING, data, gpus=True).gpus == 0.25
    big = ("encoder.name=resnet50", "encoder.image_size=512", "pretrain.batch_size=128")
    assert demand_of(plan(data, *big), PRETRAINING, data, gpus=True).gpus == 1
    baseline = Step("classical", "lda", "grouped", 0, 1.0)
    assert demand_of(own, baseline, data, gpus=True).gpus == 0
    cpu = plan(data, "run.accelerator=cpu")
    assert demand_of(cpu, PRETRAINING, data, gpus=True).gpus == 0


def test_settings_go_before_the_estimate(data: Data) -> None:
    told = plan(data, "run.step_cpus=3", "run.step_gpus=0.5", "run.step_memory=7.5")
    assert demand_of(told, PRETRAINING, data, gpus=True) == Demand(3, 0.5, 7_500_000_000)
    two = replace(told, settings=load_settings("quick", [*GPU, "run.devices=2"])[0])
    assert demand_of(two, PRETRAINING, data, gpus=True).gpus == 2
    probe = Step("linear", "simclr", "grouped", 0, 1.0)
    assert demand_of(two, probe, data, gpus=True).gpus < 1
