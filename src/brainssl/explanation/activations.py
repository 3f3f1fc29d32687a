"""What saliency maps are made of: activations of a layer and the gradients of logits there."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from brainssl.explanation.rollout import rolled_out
from brainssl.foundation.errors import BrainsslError
from brainssl.models.classifier import Classifier
from brainssl.models.tokens import last_tokens, on_grid

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
        of_tokens: whether the features are a transformer's: they have either sign, and their 0
            means nothing.
        attended: attention rollout, if it was asked for; of no class.
    """

    features: Float32[Tensor, "n c h w"]
    gradients: Float32[Tensor, "#n k c #h #w"]
    logits: Float32[Tensor, "n classes"]
    targets: Int64[Tensor, "n k"]
    of_tokens: bool = False
    attended: Float32[Tensor, "n 1 h w"] | None = None


def activations(
    classifier: Classifier,
    images: Float[Tensor, "n 1 size size"],
    targets: Targets = "predicted",
    *,
    layer: str | None = None,
    attention: bool = False,
) -> Activations:
    """Run a classifier on slices in [0, 1] and keep what saliency maps are made of.

    The layer is the encoder's last feature map that has height and width; of a transformer the
    patch tokens before its last attention. Gradients are those of the logit, not of the
    probability. Under average pooling and a linear head they are the head's weights and cost
    nothing, for all classes; behind any other layer they are differentiated. The
    model is left as it was: its gradients, its mode, and no hook stays. It works inside `no_grad`,
    on frozen encoders, and in float32 under autocast.

    Args:
        classifier: in whichever mode; it is run in evaluation mode.
        images: as the classifier takes them.
        targets: the class of each image, `predicted`, or `all` classes.
        layer: dotted name of a module within the encoder's network, to look at an earlier layer.
        attention: with attention rollout.

    Raises:
        BrainsslError: the layer does not exist, or gives no feature map with height and width; or
            the encoder shows no attention.
    """
    modes = {module: module.training for module in classifier.modules()}
    classifier.eval()
    try:
        off = torch.autocast(images.device.type, enabled=False)
        with torch.inference_mode(mode=False), torch.no_grad(), off:
            own = images.float().clone()  # what inference mode made, autograd refuses
            layer = layer or last_tokens(classifier.encoder.network)
            with rolled_out(classifier.encoder) if attention else nullcontext() as rollout:
                if layer is None:
                    found = _at_the_end(classifier, own, targets)
                else:
                    found = _within(classifier, own, targets, layer)
            return replace(found, attended=rollout.on_patches()) if rollout else found
    finally:
        for module, training in modes.items():
            module.training = training


def _at_the_end(
    classifier: Classifier, images: Float[Tensor, "n 1 s s"], targets: Targets
) -> Activations:
    encoder, head = classifier.encoder, classifier.head
    values = _placed(encoder.last_map(images), encoder.name)
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
    transformer = last_tokens(network) is not None

    def begin(module: nn.Module, inputs: object, output: object) -> Tensor:
        """Record from here on: what comes before needs no gradient."""
        values = _placed(output, f"layer {layer}", tokens=transformer).clone().requires_grad_()
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
    lay = partial(on_grid, network) if seen[0].ndim == 3 else _as_it_is
    if getattr(module, "output_fmt", "NCHW") == "NHWC":
        lay = _channels_first
    return _differentiated(seen[0], logits, targets, lay)


def _as_it_is(values: Tensor) -> Tensor:
    return values


def _channels_first(values: Tensor) -> Tensor:
    return values.movedim(-1, 1)


def _differentiated(
    values: Tensor,
    logits: Float[Tensor, "n classes"],
    targets: Targets,
    lay: Callable[[Tensor], Tensor] = _as_it_is,
) -> Activations:
    """Differentiate by autograd, one class after the other: no image acts on another's logit.

    Args:
        values: by which; a leaf.
        logits: that come of them.
        targets: see `activations`.
        lay: puts values or gradients in rows and columns.
    """
    chosen = _chosen(targets, logits)
    with torch.enable_grad():
        picked = logits.gather(1, chosen).sum(0)
        gradients = [torch.autograd.grad(one, values, retain_graph=True)[0] for one in picked]
    return Activations(
        lay(values.detach()),
        torch.stack([lay(gradient) for gradient in gradients], 1),
        logits.detach(),
        chosen,
        of_tokens=values.ndim == 3,
    )


def _chosen(targets: Targets, logits: Float[Tensor, "n classes"]) -> Int64[Tensor, "n k"]:
    n, k = logits.shape
    if isinstance(targets, Tensor):
        return targets.to(logits.device)[:, None]
    if targets == "all":
        return torch.arange(k, device=logits.device).expand(n, k)
    return logits.detach().argmax(1, keepdim=True)


def _placed(values: object, name: str, *, tokens: bool = False) -> Tensor:
    """Refuse what is no feature map with height and width, nor tokens where there may be some."""
    if isinstance(values, Tensor) and (values.ndim == 4 or (tokens and values.ndim == 3)):
        return values
    shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
    raise BrainsslError(
        f"{name} gives {shape}, no feature map with height and width: choose another layer by "
        "--layer, or another encoder"
    )


def _alike(one: Float32[Tensor, "n c"], other: Float32[Tensor, "n c"]) -> bool:
    scale = max(float(other.abs().max()), torch.finfo(torch.float32).tiny)
    return float((one - other).abs().max()) <= _SAME * scale
