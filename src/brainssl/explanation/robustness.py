"""Does a map depend on the image, and on what was learnt? Small changes, and random weights."""

from collections.abc import Callable, Iterator
from copy import deepcopy

import numpy as np
import torch
from jaxtyping import Float32, Float64
from scipy.stats import rankdata
from torch import Tensor, nn

from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder

# Makes maps of several kinds, of classes that do not depend on what the network now says.
Mapper = Callable[
    [Classifier, Float32[Tensor, "n 1 size size"]], Float32[Tensor, "n kinds size size"]
]

RADIUS = 0.02  # of 1: about five grey values of 255
CHANGES = 5
DRAWS = 3  # of random weights


def sensitivity(
    mapper: Mapper,
    classifier: Classifier,
    images: Float32[Tensor, "n 1 size size"],
    *,
    radius: float = RADIUS,
    changes: int = CHANGES,
    seed: int = 0,
) -> Float64[np.ndarray, "n kinds"]:
    """Return how far a map moves at most if the image changes by less than the eye sees.

    The largest norm of the difference over several images with uniform noise, by the norm of the
    map: 0 if nothing moves, 1 if the difference is as large as the map. Not a number where the
    map is empty.

    Source: Yeh et al., On the (In)fidelity and Sensitivity of Explanations, NeurIPS 2019.

    Args:
        mapper: makes the maps.
        classifier: what is explained.
        images: slices in [0, 1].
        radius: of the noise, in grey values from 0 to 1.
        changes: how many noisy images for each.
        seed: of the noise; image i gets the same however many there are.
    """
    before = mapper(classifier, images)
    draws = [torch.Generator().manual_seed(seed + i) for i in range(len(images))]
    norms = before.flatten(2).norm(dim=2)
    moved = torch.zeros_like(norms)
    for _ in range(changes):
        noise = torch.stack([torch.rand(images.shape[1:], generator=draw) for draw in draws])
        noisy = (images + radius * (2 * noise.to(images.device) - 1)).clamp(0, 1)
        moved = moved.maximum((mapper(classifier, noisy) - before).flatten(2).norm(dim=2))
    relative = torch.where(norms > 0, moved / norms, torch.full_like(norms, torch.nan))
    return relative.cpu().double().numpy()


def randomised(classifier: Classifier, seed: int = 0) -> Iterator[tuple[str, Classifier]]:
    """Yield copies whose weights are drawn anew from the head down, one block more each time.

    Each layer is drawn as PyTorch first does; parameters of no layer, such as the scales of
    ConvNeXt's blocks, become those of a fresh encoder, and a transformer's position embeddings
    with the last block.

    Source: Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, section 3.

    Yields:
        The name of the last block that was drawn anew, and the copy, in evaluation mode; the same
        copy each time, with more of it random.
    """
    copy = deepcopy(classifier).eval()
    encoder = classifier.encoder
    fresh = build_encoder(
        encoder.name, image_size=encoder.image_size, pool=encoder.pooling, seed=seed
    ).network
    network = copy.encoder.network
    blocks = [("head", copy.head), *reversed(list(network.named_children()))]
    blocks = [(name, block) for name, block in blocks if any(True for _ in block.parameters())]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for name, block in blocks:
            if name != "head":
                block.load_state_dict(fresh.get_submodule(name).state_dict())
            _draw_layers(block)
            if name == blocks[-1][0]:  # a transformer's positions and class token are in no block
                for own in dict(network.named_parameters(recurse=False)):
                    network.get_parameter(own).data.copy_(fresh.get_parameter(own))
            yield name, copy


def cascade(
    mapper: Mapper,
    classifier: Classifier,
    images: Float32[Tensor, "n 1 size size"],
    *,
    draws: int = DRAWS,
) -> dict[str, Float64[np.ndarray, "n kinds"]]:
    """Return how alike each map stays while weights are drawn anew, by the last block drawn.

    Likeness is the absolute value of Spearman's rank correlation of the pixels, in the mean over
    several draws of the weights: with a single one chance decides, and a map turned into its
    negative shows the same places. It is 0 where a map vanishes, and not a number where it was
    empty or constant from the beginning. A map that stays alike when nothing of the training is
    left explains the image, not the model.
    """
    before = mapper(classifier, images)
    found: dict[str, list[Float64[np.ndarray, "n kinds"]]] = {}
    for seed in range(draws):
        for name, copy in randomised(classifier, seed):
            likeness = np.abs(rank_correlation(before, mapper(copy, images)))
            found.setdefault(name, []).append(np.nan_to_num(likeness, nan=0.0))
    flat = before.flatten(2)
    constant = (flat.amax(2) == flat.amin(2)).cpu().numpy()
    return {name: np.where(constant, np.nan, np.mean(own, axis=0)) for name, own in found.items()}


def rank_correlation(
    one: Float32[Tensor, "n kinds size size"], other: Float32[Tensor, "n kinds size size"]
) -> Float64[np.ndarray, "n kinds"]:
    """Return Spearman's correlation of the pixels of each pair of maps, ties sharing their rank."""
    first, second = (rankdata(maps.flatten(2).cpu().numpy(), axis=2) for maps in (one, other))
    first -= first.mean(axis=2, keepdims=True)
    second -= second.mean(axis=2, keepdims=True)
    spread = np.sqrt((first**2).sum(axis=2) * (second**2).sum(axis=2))
    together = (first * second).sum(axis=2)
    likeness = np.full(spread.shape, np.nan)
    np.divide(together, spread, out=likeness, where=spread > 0)
    return likeness


def _draw_layers(block: nn.Module) -> None:
    for module in block.modules():
        reset = getattr(module, "reset_parameters", None)
        if reset and any(True for _ in module.parameters(recurse=False)):
            reset()
