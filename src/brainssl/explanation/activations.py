"""What saliency maps are made of: activations of a layer and the gradients of logits there."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from brainssl.foundation.errors import BrainsslError
from brainssl.models.classifier import Classifier

Targets = Int64[Tensor, " n"] | Literal["predicted", "all"]

_SAME = 1e-5  # of two ways to the same features, relative; float32 has 1e-7


@dataclass(frozen=True, eq=False)
class Activations:
    """One batch as maps need it, in float32.

    Attributes:
        features: of the layer, its channels at each place.
        gradients: of each target's logit by the features. Where they are the same at every place,
            as under average pooling and a linear head, they stand once (h, w and n may be 1).
        logits: of all classes.
        targets: whose logits were differentiated, (n, k): the classes of each image.
    """

    features: Float32[Tensor, "n c h w"]
    gradients: Float32[Tensor, "#n k c #h #w"]
    logits: Float32[Tensor, "n classes"]
    targets: Int64[Tensor, "n k"]


def activations(
    classifier: Classifier,
    images: Float[Tensor, "n 1 size size"],
    targets: Targets = "predicted",
    *,
    layer: str | None = None,
) -> Activations:
    """Run a classifier on slices in [0, 1] and keep what saliency maps are made of.

    The layer is the encoder's last feature map that has height and width. Gradients are those of
    the logit, not of the probability. Under average pooling and a linear head they are the head's
    weights and cost nothing, for all classes; behind any other layer they are differentiated. The
    model is left as it was: its gradients, its mode, and no hook stays. It works inside `no_grad`,
    on frozen encoders, and in float32 under autocast.

    Args:
        classifier: in whichever mode; it is run in evaluation mode.
        images: as the classifier takes them.
        targets: the class of each image, `predicted`, or `all` classes.
        layer: dotted name of a module within the encoder's network, to look at an earlier layer.

    Raises:
        BrainsslError: the layer does not exist, or gives no feature map with height and width.
    """
    modes = {module: module.training for module in classifier.modules()}
    classifier.eval()
    try:
        off = torch.autocast(images.device.type, enabled=False)
        with torch.inference_mode(mode=False), torch.no_grad(), off:
            own = images.float().clone()  # what inference mode made, autograd refuses
            if layer is None:
                return _at_the_end(classifier, own, targets)
            return _within(classifier, own, targets, layer)
    finally:
        for module, training in modes.items():
            module.training = training


def _at_the_end(
    classifier: Classifier, images: Float[Tensor, "n 1 s s"], targets: Targets
) -> Activations:
    encoder, head = classifier.encoder, classifier.head
    values = _spatial(encoder.last_map(images), encoder.name)
    features = encoder.pool(values)
    if features.shape == values.shape[:2] and _alike(features, values.mean((2, 3))):
        logits = head(features)
        chosen = _chosen(targets, logits)
        weights = head.weight.detach() / values[0, 0].numel()
        # All images share the gradients of all classes.
        shared = isinstance(targets, str) and targets == "all"
        gradients = weights[None] if shared else weights[chosen]
        return Activations(values, gradients[..., None, None], logits, chosen)
    with torch.enable_grad():
        values.requires_grad_()
        logits = head(encoder.pool(values))
    return _differentiated(values, logits, targets)


def _within(
    classifier: Classifier, images: Float[Tensor, "n 1 s s"], targets: Targets, layer: str
) -> Activations:
    network = classifier.encoder.network
    try:
        module = network.get_submodule(layer)
    except AttributeError:
        names = ", ".join(name for name, _ in network.named_children())
        raise BrainsslError(
            f"--layer {layer}: {classifier.encoder.name} has no such layer; the first ones are "
            f"{names}"
        ) from None
    seen: list[Tensor] = []

    def begin(module: nn.Module, inputs: object, output: object) -> Tensor:
        """Record from here on: what comes before needs no gradient."""
        values = _spatial(output, f"layer {layer}").clone().requires_grad_()
        seen.append(values)
        torch.set_grad_enabled(True)  # until the block of the caller ends
        return values.clone()  # what follows may change it in place, which a leaf does not allow

    hook = module.register_forward_hook(begin)
    try:
        with torch.no_grad():
            logits = classifier(images)
    finally:
        hook.remove()
    if len(seen) != 1:
        raise BrainsslError(
            f"--layer {layer}: it is run {len(seen)} times for an image, a map needs once"
        )
    return _differentiated(seen[0], logits, targets)


def _differentiated(
    values: Float32[Tensor, "n c h w"], logits: Float[Tensor, "n classes"], targets: Targets
) -> Activations:
    """Differentiate by autograd, one class after the other: no image acts on another's logit."""
    chosen = _chosen(targets, logits)
    with torch.enable_grad():
        picked = logits.gather(1, chosen).sum(0)
        gradients = [torch.autograd.grad(one, values, retain_graph=True)[0] for one in picked]
    return Activations(values.detach(), torch.stack(gradients, 1), logits.detach(), chosen)


def _chosen(targets: Targets, logits: Float[Tensor, "n classes"]) -> Int64[Tensor, "n k"]:
    n, k = logits.shape
    if isinstance(targets, Tensor):
        return targets.to(logits.device)[:, None]
    if targets == "all":
        return torch.arange(k, device=logits.device).expand(n, k)
    return logits.detach().argmax(1, keepdim=True)


def _spatial(values: object, name: str) -> Tensor:
    """Refuse what is no feature map with height and width."""
    if isinstance(values, Tensor) and values.ndim == 4:
        return values
    shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
    raise BrainsslError(
        f"{name} gives {shape}, no feature map with height and width: choose a convolutional layer "
        "by --layer, or a convolutional encoder"
    )


def _alike(one: Float32[Tensor, "n c"], other: Float32[Tensor, "n c"]) -> bool:
    scale = max(float(other.abs().max()), torch.finfo(torch.float32).tiny)
    return float((one - other).abs().max()) <= _SAME * scale
