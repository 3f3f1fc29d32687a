"""A small plan of a study: SimCLR, all labels, one seed, no classical baselines."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from brainssl.settings import load_settings
from brainssl.studies.plan import Plan

FAST = (
    "encoder.name=test_resnet",
    "encoder.image_size=32",
    "pretrain.epochs=1",
    "pretrain.batch_size=8",
    "finetune.epochs=1",
    "finetune.min_epoch_steps=0",
    "finetune.batch_size=8",
    "evaluation.draws=50",
    "run.accelerator=cpu",
)
"""Settings of trainings that take a moment, on the images of 32 px of `conftest`."""

FORESEEN = (
    "encoder.name=test_resnet",
    "encoder.image_size=32",
    "pretrain.epochs=10",
    "finetune.epochs=4",
    "finetune.batch_size=8",
    "finetune.min_epoch_steps=0",
    "split.val_fraction=0.2",
    "split.test_fraction=0.3",
    "run.accelerator=cpu",
)
"""Settings of studies that are foreseen and never run: their numbers differ from each other."""


def small_plan(source: Path, overrides: Iterable[str] = (), **changes: Any) -> Plan:
    """Return a plan for a source, with settings overridden and fields changed."""
    settings, reasons = load_settings("quick", list(overrides))
    plan = Plan(
        source=source,
        labels=None,
        methods=("simclr",),
        protocols=("grouped",),
        label_fractions=(1.0,),
        seeds=1,
        seed=0,
        preset="quick",
        settings=settings,
        reasons=reasons,
        command="brainssl study",
        classical=False,
    )
    return replace(plan, **changes)
