"""The command waits for no more than its network needs, answers alike, and all the rest works."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.models._registry import _model_to_module
from torch import nn

import brainssl
from brainssl.inference.quick_start import _architecture, _module_of, import_networks
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder

NOT_NEEDED = [
    "faiss",
    "jinja2",
    "lightning",
    "matplotlib",
    "pandas",
    "plotly",
    "pyarrow",
    "rich",
    "scipy",
    "skimage",
    "sklearn",
    "sympy",
    "torchmetrics",
    "torchvision",
    "torch._decomp",
    "torch._dynamo",
    "torch._prims",
    "triton",
    "timm.models.vision_transformer",
]
CODE = """
import sys
from brainssl.cli import app
try: app(["predict", *sys.argv[1:], "--json"])
except SystemExit as end: assert not end.code, end.code
print([name for name in {not_needed} if name in sys.modules], file=sys.stderr)
import torch
import torchvision  # which imports the compiler
from torchvision.ops import nms
assert len(nms(torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4.1]]), torch.tensor([0.9, 0.8]), 0.5)) == 1
assert "torch._dynamo" in sys.modules
assert torch._meta_registrations.meta_mm(torch.ones(2, 3), torch.ones(3, 4)).shape == (2, 4)
import timm
assert timm.is_model("test_resnet")
assert timm.models.get_pretrained_cfg("test_resnet").first_conv
print("done", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    torch.manual_seed(0)
    head = nn.Linear(encoder.dim, 2)
    folder = tmp_path_factory.mktemp("classifier")
    Classifier(encoder, head, ("Glioma T1", "Normal T1"), {"reader": 2}).save(
        folder / "classifier.safetensors"
    )
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    return folder


def test_the_command_waits_for_its_network_alone_and_answers_alike(classifier: Path) -> None:
    picture = classifier / "a.png"
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(not_needed=NOT_NEEDED), str(classifier), str(picture)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-2:] == ["[]", "done"]
    whole = brainssl.predict(classifier, picture)
    assert json.loads(done.stdout)["predictions"] == json.loads(json.dumps(whole["predictions"]))


def test_what_is_imported_already_stays(classifier: Path) -> None:
    before, finders = dict(sys.modules), list(sys.meta_path)
    import_networks(classifier)
    assert sys.modules == before
    assert sys.meta_path == finders


def test_a_file_tells_its_architecture(classifier: Path) -> None:
    assert _architecture(classifier) == "test_resnet"
    assert _architecture(classifier / "classifier.safetensors") == "test_resnet"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG",
        b"\xff" * 64,
        b"\2\0\0\0\0\0\0\0[]",
        b'\x14\0\0\0\0\0\0\0{"__metadata__": []}',
        b'\x20\0\0\0\0\0\0\0{"__metadata__": {"a": "{oops"}}',
    ],
)
def test_what_is_no_such_file_is_told_by_who_reads_it(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "classifier.safetensors").write_bytes(data)
    assert _architecture(tmp_path) == ""
    assert _architecture(tmp_path / "missing") == ""


def test_the_module_of_an_architecture_is_where_timm_registers_it() -> None:
    folder = Path(timm.__file__).parent / "models"
    names = np.random.default_rng(0).choice(timm.list_models(), 20, replace=False)
    for name in ["resnet10t", "vit_tiny_patch16_224", *map(str, names)]:
        assert _module_of(f"{name}.some_weights", folder) == _model_to_module[name]
    assert _module_of("no such network", folder) is None
