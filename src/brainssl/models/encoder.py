"""Encoders: any timm CNN with one input channel, and their weights on disk."""

import json
from pathlib import Path
from typing import Any

import timm
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import plainly
from brainssl.foundation.storage import write_atomically

VERSION = 1
# Mean and standard deviation of ImageNet over its channels: what published weights expect.
MEAN, STD = 0.449, 0.226


def _refuse_other_names(name: str) -> None:
    """Raise BrainsslError for a file or a hub's name: timm would try to fetch it."""
    if "/" not in name and ":" not in name and not name.endswith((".pth", ".pt", ".safetensors")):
        return
    last = name.rsplit("/", 1)[-1].rsplit(":", 1)[-1].split(".")[0]
    near = f", such as {last}" if last in timm.list_models() else ""
    raise BrainsslError(
        f"encoder.name: {name} is no architecture of timm: give its name alone{near}; weights are "
        "chosen by encoder.weights"
    )


class Encoder(nn.Module):
    """A timm network without its classifier: slices in [0, 1] to one feature vector each.

    Attributes:
        name: timm's name of the architecture.
        image_size: side of the slices that it was (or will be) trained on, in pixels.
        dim: length of the feature vector.
        facts: how it was pretrained; empty for a fresh one.
    """

    def __init__(self, name: str, *, image_size: int, weights: str = "random") -> None:
        super().__init__()
        self.name, self.image_size = name, image_size
        self.facts: dict[str, Any] = {}
        _refuse_other_names(name)
        try:
            # timm collapses a three-channel stem of published weights into one channel.
            self.network = timm.create_model(
                name, pretrained=weights == "imagenet", in_chans=1, num_classes=0
            )
        except RuntimeError as error:
            near = ", ".join(timm.list_models(f"*{name.split('.')[0]}*")[:5])
            hint = f"; near: {near}" if near else ""
            raise BrainsslError(f"encoder.name: {error}{hint}") from None
        except (OSError, ValueError) as error:
            raise BrainsslError(
                f"the {weights} weights of {name} cannot be had ({type(error).__name__}): connect "
                "to the internet, or set encoder.weights to random"
            ) from None
        self.dim = self._width()

    def _width(self) -> int:
        """Return the length of the features, which timm's `num_features` does not always say."""
        training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad():
                size = self.image_size
                features = self.network(torch.zeros(1, 1, size, size))
        except (AssertionError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise BrainsslError(
                f"encoder.name: {self.name} does not take one-channel images of {self.image_size} "
                f"px ({reason}): set encoder.image_size, or choose a CNN"
            ) from None
        self.network.train(training)
        if features.ndim != 2:
            raise BrainsslError(f"encoder.name: {self.name} gives no feature vector: choose a CNN")
        return int(features.shape[1])

    @property
    def reader(self) -> int:
        """Version of the normalisation of the images that it was pretrained on."""
        return int(self.facts.get("reader", 1))

    def forward(self, images: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n dim"]:
        """Return pooled features of float slices in [0, 1]."""
        features: Tensor = self.network((images - MEAN) / STD)
        return features

    def last_map(self, images: Float[Tensor, "n 1 h w"]) -> Tensor:
        """Return what the network has before it pools: of a CNN (n, channels, rows, columns)."""
        network: Any = self.network
        values: Tensor = network.forward_features((images - MEAN) / STD)
        return values.movedim(-1, 1) if self._channels_last else values

    def pool(self, values: Tensor) -> Float[Tensor, "n dim"]:
        """Return the features of what `last_map` gave: the rest of `forward`."""
        network: Any = self.network
        features: Tensor = network.forward_head(
            values.movedim(1, -1) if self._channels_last else values
        )
        return features

    @property
    def _channels_last(self) -> bool:
        """Whether timm's network hands on (n, rows, columns, channels)."""
        return getattr(self.network, "output_fmt", "NCHW") == "NHWC"


def build_encoder(name: str, *, image_size: int, weights: str = "random", seed: int) -> Encoder:
    """Make an encoder whose random weights depend on the seed and on nothing else."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Encoder(name, image_size=image_size, weights=weights)


def save_encoder(encoder: Encoder, path: Path) -> None:
    """Write an encoder as safetensors whose tensors timm's model of the same name takes as is.

    Args:
        encoder: what to write, with its facts, which must be JSON-serialisable.
        path: file to write, atomically.
    """
    described = {"name": encoder.name, "image_size": encoder.image_size, "facts": encoder.facts}
    write_tensors(path, encoder.network.state_dict(), "brainssl-encoder", VERSION, described)


def load_encoder(path: Path) -> Encoder:
    """Read an encoder; its `facts` say how it came to be.

    Args:
        path: the file, or the folder of a pretraining that holds `encoder.safetensors`.

    Raises:
        BrainsslError: missing, damaged, foreign or from a newer version.
    """
    if path.is_dir():
        path = path / "encoder.safetensors"
    tensors, described = read_tensors(path, "brainssl-encoder", VERSION)
    encoder = Encoder(described["name"], image_size=described["image_size"])
    encoder.network.load_state_dict(tensors)
    encoder.facts = described["facts"]
    return encoder


def write_tensors(
    path: Path, tensors: dict[str, Tensor], form: str, version: int, described: dict[str, Any]
) -> None:
    """Write tensors with a JSON header that names the format and its version."""
    header = {"format": form, "version": str(version), "json": json.dumps(described)}
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, lambda beside: save_file(plain, beside, metadata=header))


def read_tensors(path: Path, form: str, version: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote.

    Raises:
        BrainsslError: missing, damaged, another format or a newer version.
    """
    kind = form.removeprefix("brainssl-")
    try:
        with plainly(path) as plain, safe_open(plain, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        made_by = "a pretraining" if kind == "encoder" else "a probe or a fine-tuning"
        raise BrainsslError(
            f"{path} is missing: give {kind} weights, or the folder of {made_by} (in a study: one "
            "under steps/)"
        ) from None
    except (SafetensorError, OSError) as error:
        raise BrainsslError(f"{path} is damaged or no safetensors file ({error})") from None
    if header.get("format") != form:
        raise BrainsslError(f"{path} holds no brainssl {kind}: give the file that brainssl wrote")
    if int(header["version"]) > version:
        raise BrainsslError(
            f"{path} is a {kind} of version {header['version']}; this brainssl reads up to "
            f"{version}: upgrade brainssl"
        )
    described: dict[str, Any] = json.loads(header["json"])
    return tensors, described
