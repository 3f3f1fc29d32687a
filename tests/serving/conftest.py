"""A small classifier, its service in this process, and one in a process of its own.

Fixtures:
    tuned: folder of a classifier of slices of 32 px in three classes.
    inside: a service that is asked in this process, without a network.
    outside: a service in a process of its own, on a port of this machine.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from oracles.services import Inside, Outside
from torch import nn

from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder
from brainssl.serving.engine import Engine


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    torch.manual_seed(0)
    classes = ("Glioma T1", "Glioma T2", "Normal T1")
    folder = tmp_path_factory.mktemp("tuned")
    facts = {"seed": 0, "reader": 2, "start": "/home/somebody/weights.safetensors"}
    Classifier(encoder, nn.Linear(encoder.dim, 3), classes, facts).save(
        folder / "classifier.safetensors"
    )
    return folder


@pytest.fixture(scope="session")
def engine(tuned: Path) -> Engine:
    return Engine.load(tuned)


@pytest.fixture(scope="session")
def inside(engine: Engine) -> Iterator[Inside]:
    with Inside(engine) as service:
        yield service


@pytest.fixture(scope="module")
def outside(tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with Outside(tuned, tmp_path_factory.mktemp("outside")) as service:
        yield service
