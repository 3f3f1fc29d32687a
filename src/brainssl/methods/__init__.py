"""Self-supervised methods, by name."""

from typing import Any

from brainssl.methods.barlow_twins import BarlowTwins
from brainssl.methods.byol import BYOL
from brainssl.methods.dino import DINO
from brainssl.methods.method import Method
from brainssl.methods.mocov3 import MoCoV3
from brainssl.methods.nnclr import NNCLR
from brainssl.methods.simclr import SimCLR
from brainssl.methods.supcon import SupCon
from brainssl.models.encoder import Encoder
from brainssl.settings.methods import MethodSettings

__all__ = ["METHODS", "Method", "build_method"]

# To add a method: its file, and its line here. The settings get a section of the same name.
METHODS: dict[str, Any] = {
    "simclr": SimCLR,
    "byol": BYOL,
    "dino": DINO,
    "mocov3": MoCoV3,
    "barlowtwins": BarlowTwins,
    "nnclr": NNCLR,
    "supcon": SupCon,
}


def build_method(name: str, encoder: Encoder, chosen: MethodSettings) -> Method:
    """Put a method around an encoder, with the heads and the loss of its section of settings."""
    method: Method = METHODS[name](encoder, chosen)
    return method
