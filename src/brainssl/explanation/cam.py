"""Class activation maps: a new one is a function of `Activations` and a line in `MAPS`."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn import functional

from brainssl.explanation.activations import Activations
from brainssl.foundation.errors import BrainsslError

Raw = Float32[Tensor, "n k h w"]
ROLLOUT = "rollout"
"""The one kind that needs activations with attention."""
_TINY = torch.finfo(torch.float32).tiny


def grad_cam(of: Activations) -> Raw:
    """Weigh each channel by the mean of its gradient; keep what speaks for the class.

    Source: Selvaraju et al., Grad-CAM, ICCV 2017, equations 1 and 2.
    """
    return _weighted(of.gradients.mean((3, 4)), of.features).relu()


def grad_cam_plus_plus(of: Activations) -> Raw:
    """Weigh each channel by its positive gradients, those of few active places more.

    With g the gradient of the logit and S the sum of the channel's activations, the weight of a
    place, g² / (2 g² + S g³), times the positive part of g is g / (2 + S g): no small number is
    needed in the denominator. It is meant for activations that are never negative; where others
    make the denominator so, the place counts nothing. The exponential of the original is a
    positive factor of each map and left out.

    Source: Chattopadhay et al., Grad-CAM++, WACV 2018, equations 10 and 19.

    Raises:
        BrainsslError: the activations are tokens, half of which are negative.
    """
    if of.of_tokens:
        raise BrainsslError(
            "Grad-CAM++ is not defined for the tokens of a transformer, which have either sign: "
            "leave gradcampp out of --maps"
        )
    gradient: Tensor = of.gradients
    denominator = 2 + of.features.sum((2, 3))[:, None, :, None, None] * gradient
    counts = (gradient > 0) & (denominator > 0)
    weights = torch.where(counts, gradient / denominator, gradient.new_zeros(()))
    # The mean, not the sum: gradients that are everywhere the same stand only once.
    return _weighted(weights.mean((3, 4)), of.features).relu()


def eigen_cam(of: Activations) -> Raw:
    """Project the activations on their first principal direction, not centred.

    It shows what is strongest in the layer and knows no class: it is the same for all. The
    direction's sign is arbitrary and taken such that the projection is positive in sum; of
    activations that are never negative it then is positive everywhere.

    Tokens are normalised, so that not centred the direction is that of their mean, and what is
    commonest comes out strongest. They are centred, and the sign is taken such that the projection
    farthest from 0 is positive.

    Source: Muhammad and Yeasin, Eigen-CAM, IJCNN 2020; of the sign of what is centred Chung and
    Ying, Seg-Eigen-CAM, Applied Sciences 2025, equation 13.
    """
    n, c, h, w = of.features.shape
    places: Tensor = of.features.flatten(2)
    if of.of_tokens:
        places = places - places.mean(2, keepdim=True)
    projected: Tensor
    # The first right singular vector, from the smaller of the two Gram matrices, all at once.
    if h * w <= c:
        # The projection A v is the left singular vector u times the singular value.
        squares, vectors = torch.linalg.eigh(places.mT @ places)
        projected = vectors[:, :, -1] * squares[:, -1:].clamp_min(0).sqrt()
    else:
        _, vectors = torch.linalg.eigh(places @ places.mT)
        projected = (vectors[:, None, :, -1] @ places)[:, 0]
    leading = projected.sum(1, keepdim=True)
    if of.of_tokens:
        leading = projected.amax(1, keepdim=True) + projected.amin(1, keepdim=True)
    projected = projected * leading.sign()
    k = of.targets.shape[1]
    return projected.relu().reshape(n, 1, h, w).expand(n, k, h, w)


def layer_cam(of: Activations) -> Raw:
    """Weigh each place of each channel by its own positive gradient.

    Source: Jiang et al., LayerCAM, IEEE TIP 2021, equations 5 and 6.
    """
    gradient = of.gradients.relu()
    if gradient.shape[3:] == (1, 1):
        return _weighted(gradient[..., 0, 0], of.features).relu()
    maps: Tensor = torch.einsum("nkchw,nchw->nkhw", gradient, of.features)
    return maps.relu()


def attention_rollout(of: Activations) -> Raw:
    """Show of which patches the features are made, if attention alone moved them.

    It looks at attention and not at what is attended to, and knows no class: it is the same for
    all. See `brainssl.explanation.rollout`.

    Raises:
        ValueError: the activations were made without attention.
    """
    if of.attended is None:
        raise ValueError("activations(..., attention=True) makes what attention rollout needs")
    return of.attended.expand(-1, of.targets.shape[1], -1, -1)


MAPS: MappingProxyType[str, Callable[[Activations], Raw]] = MappingProxyType(
    {
        "gradcam": grad_cam,
        "gradcampp": grad_cam_plus_plus,
        "eigencam": eigen_cam,
        "layercam": layer_cam,
        ROLLOUT: attention_rollout,
    }
)


@dataclass(frozen=True, eq=False)
class Saliency:
    """Maps at the size of the images.

    Attributes:
        maps: from 0 to 1, the largest value of the raw map; all 0 where there is no evidence.
        peaks: the largest value of each raw map, before it was enlarged; 0 if nothing speaks for
            the class.
    """

    maps: Float32[Tensor, "n k size size"]
    peaks: Float32[Tensor, "n k"]


def at_image_size(raw: Raw, size: int) -> Saliency:
    """Enlarge maps, bilinearly, to square images and divide each by its peak.

    Nothing is stretched: the least value is not made 0, and a map without positive value stays 0.
    """
    peaks = raw.amax((2, 3))
    # Divided first, or a map whose peak is tiny would lose what it has.
    scaled = raw / peaks.clamp_min(_TINY)[:, :, None, None]
    large = functional.interpolate(scaled, (size, size), mode="bilinear", align_corners=False)
    return Saliency(large, peaks)


def _weighted(weights: Float32[Tensor, "#n k c"], values: Float32[Tensor, "n c h w"]) -> Raw:
    n, _, h, w = values.shape
    weights = weights.expand(n, -1, -1)
    return torch.bmm(weights, values.flatten(2)).reshape(n, weights.shape[1], h, w)
