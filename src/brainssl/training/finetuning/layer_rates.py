"""Learning rates that fall with the distance from the head."""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

from timm.models import group_parameters
from torch import nn

from brainssl.foundation.errors import BrainsslError
from brainssl.models.encoder import Encoder


def layer_groups(
    encoder: Encoder, *, weight_decay: float, rate: float, decay: float
) -> list[dict[str, Any]]:
    """Split an encoder's parameters by layer, the rate of each layer `decay` times the next one's.

    Layers are timm's: the stem, then block after block; what timm counts to the classifier, such as
    a norm behind the pooling, learns as fast as `rate` says. The last block has that times
    `decay`, the one before times its square, and so on (Howard & Ruder 2018, section 3.2; Bao et
    al. 2022). Biases and normalisation take no weight decay.

    Args:
        encoder: whose parameters learn; those that do not are left out.
        weight_decay: of the weights.
        rate: of a layer as near as the head.
        decay: in (0, 1].

    Raises:
        BrainsslError: timm does not say what the layers of the network are.
    """
    network: Any = encoder.network
    names = network.pretrained_cfg.get("classifier")
    if not hasattr(network, "group_matcher") or not names:
        raise BrainsslError(
            f"finetune.layer_decay: timm names no layers of {encoder.name}: set it to 1, or choose "
            "another encoder"
        )
    # timm is asked about its network with a classifier, of which nothing but the name is needed.
    classifier = f"{names if isinstance(names, str) else names[0]}.weight"
    named = [*network.named_parameters(), (classifier, None)]
    whole: Any = SimpleNamespace(named_parameters=lambda: named)
    layers = group_parameters(whole, network.group_matcher(coarse=False), reverse=True)
    groups: dict[tuple[int, float], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            own = weight_decay if parameter.ndim > 1 else 0.0
            groups[layers[classifier] - layers[name], own].append(parameter)
    return [
        {"params": own, "weight_decay": of_group, "lr": rate * decay**distance}
        for (distance, of_group), own in groups.items()
    ]
