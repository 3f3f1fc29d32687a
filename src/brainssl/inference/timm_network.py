"""A model as the network of timm that it is: encoder and head in one, without normalisation."""

from typing import Any

import timm
import torch
from torch import nn

from brainssl.foundation.errors import BrainsslError
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import Encoder

TOLERANCE = 1e-4  # in units of the largest output


def encoder_of(model: Encoder | Classifier) -> Encoder:
    """Return the encoder of a classifier, or the encoder that it is."""
    return model.encoder if isinstance(model, Classifier) else model


def timm_arguments(model: Encoder | Classifier) -> dict[str, Any]:
    """Return what `timm.create_model` takes, beside the name, to build the network."""
    return {
        "in_chans": 1,
        "num_classes": len(model.classes) if isinstance(model, Classifier) else 0,
        **encoder_of(model).arguments,
    }


def one_view(model: Encoder | Classifier) -> str:
    """Say that the network alone answers otherwise than its classifier; "" where it does not."""
    views = model.test_views if isinstance(model, Classifier) else 1
    if views == 1:
        return ""
    return (
        f"The network alone sees one view of an image. Its classifier averages {views} views "
        "(test_views), as `brainssl predict` does: so its scores were measured, and this network "
        "does not give them."
    )


def timm_network(model: Encoder | Classifier) -> nn.Module:
    """Return the network, on the processor and in evaluation mode, with weights of its own.

    It takes slices as they are when normalised, (n, 1, size, size), and gives what `model` gives of
    the same slices in [0, 1]: logits, or of an encoder its features.

    Raises:
        BrainsslError: timm's network of that name with a classifier is another network than its
            encoder followed by one linear layer.
    """
    encoder = encoder_of(model)
    network: Any = timm.create_model(encoder.name, pretrained=False, **timm_arguments(model))
    absent = network.load_state_dict(encoder.network.state_dict(), strict=False)
    if isinstance(model, Classifier):
        head = network.get_classifier()
        own = model.head.state_dict()
        # Some networks write the layer as a convolution of one pixel.
        if {name: value.numel() for name, value in head.state_dict().items()} == {
            name: value.numel() for name, value in own.items()
        }:
            for name, value in head.state_dict().items():
                value.copy_(own[name].reshape(value.shape))
            filled = {id(value) for value in head.parameters()}
            named = {name for name, value in network.named_parameters() if id(value) in filled}
            absent.missing_keys[:] = [name for name in absent.missing_keys if name not in named]
    built: nn.Module = network.cpu().float().eval()
    if absent.missing_keys or absent.unexpected_keys or not _agree(built, model):
        raise BrainsslError(
            f"timm's {encoder.name} has more between features and classes than one layer: take it "
            "elsewhere as ONNX (brainssl export MODEL FILE.onnx)"
        )
    return built


def _agree(network: nn.Module, model: Encoder | Classifier) -> bool:
    encoder = encoder_of(model)
    images = torch.rand(
        3, 1, encoder.image_size, encoder.image_size, generator=torch.Generator().manual_seed(0)
    )
    training, device = model.training, next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        expected = model(images.to(device)).float().cpu()
        found = network((images - encoder.mean) / encoder.std)
    model.train(training)
    scale = float(expected.abs().max()) or 1.0
    return found.shape == expected.shape and float((found - expected).abs().max()) / scale <= (
        TOLERANCE
    )
