"""The command imports no compiler, and torchvision is whole all the same."""

import subprocess
import sys

CODE = """
import sys
from brainssl.inference.quick_start import import_networks
{first}
import_networks()
assert {there} == ("torch._dynamo" in sys.modules)
import timm, torch, torchvision
from torchvision.ops import nms, roi_align
network = timm.create_model("test_resnet", in_chans=1, num_classes=0).eval()
assert network(torch.zeros(1, 1, 32, 32)).ndim == 2
boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 4.1]])
assert len(nms(boxes, torch.tensor([0.9, 0.8]), 0.5)) == 1
assert roi_align(torch.ones(1, 1, 8, 8), [boxes[:1]], 2).shape == (1, 1, 2, 2)
assert torch.compiler.disable.__module__ == "torch.compiler"
import torch._dynamo
assert torch._dynamo.utils.is_compile_supported("cpu") in (True, False)
print("done")
"""


def said(first: str, there: bool) -> str:
    code = CODE.format(first=first, there=there)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_compiler_is_imported_when_first_asked_for() -> None:
    assert said("", there=False) == "done"


def test_what_is_imported_already_stays() -> None:
    assert said("import torch._dynamo", there=True) == "done"
