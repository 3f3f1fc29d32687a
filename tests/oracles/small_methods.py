"""Methods around a tiny encoder, and random views for them."""

from typing import Any

import torch
from torch import Tensor

from brainssl.methods import METHODS, Method
from brainssl.models.encoder import build_encoder
from brainssl.settings import load_settings

SIZE = 32
_OWN: dict[str, dict[str, Any]] = {
    "simclr": {"hidden_dim": 32, "output_dim": 16},
    "byol": {"hidden_dim": 32, "output_dim": 16},
    "dino": {
        "hidden_dim": 32,
        "bottleneck_dim": 16,
        "output_dim": 24,
        "local_crops": 2,
        "local_scale": 0.75,
    },
    "mocov3": {"hidden_dim": 32, "output_dim": 16},
    "barlowtwins": {"hidden_dim": 32, "output_dim": 16},
    "nnclr": {"hidden_dim": 32, "output_dim": 16, "support": 24},
    "supcon": {"hidden_dim": 32, "output_dim": 16},
}


def small(name: str, *, seed: int = 0, architecture: str = "test_resnet", **own: Any) -> Method:
    """Build a method with narrow heads; `own` overrides its settings."""
    method = METHODS[name]
    chosen = method.settings_type(**(_OWN[name] | own))
    encoder = build_encoder(architecture, image_size=SIZE, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        built: Method = method(encoder, chosen)
    return built.train()


def of_preset(name: str, preset: str) -> Method:
    """Build a method with the heads of a preset around the tiny encoder."""
    chosen = load_settings(preset)[0].section(name)
    built: Method = METHODS[name](build_encoder("test_resnet", image_size=SIZE, seed=0), chosen)
    return built.train()


def views_of(method: Method, images: int, *, seed: int = 0) -> list[Tensor]:
    """Draw smooth random views of the sizes that a method asks for; those of an image are alike."""
    chosen = getattr(method, "chosen", type(method).settings_type())
    generator = torch.Generator().manual_seed(seed)
    scene = torch.rand(images, 1, 5, 5, generator=generator)
    drawn = []
    for crop in type(method).crops(chosen):
        side = crop.side(SIZE, method.encoder.patch)
        noise = torch.rand(images, 1, side, side, generator=generator)
        smooth = torch.nn.functional.interpolate(scene, size=(side, side), mode="bilinear")
        drawn.append(0.8 * smooth + 0.2 * noise)
    return drawn
