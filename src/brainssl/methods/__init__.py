"""Self-supervised methods, by name."""

from brainssl.encoders import Encoder
from brainssl.methods.method import Method
from brainssl.methods.simclr import SimCLR
from brainssl.settings import Settings

__all__ = ["METHODS", "Method", "build_method"]

METHODS = {"simclr": SimCLR}


def build_method(name: str, encoder: Encoder, settings: Settings) -> Method:
    """Put a method around an encoder, with the heads and the loss that the settings say."""
    return METHODS[name](encoder, **getattr(settings, name).model_dump())
