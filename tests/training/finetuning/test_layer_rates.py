"""Rates by layer, against timm's own."""

import math

import pytest
import timm
from timm.optim import param_groups_layer_decay

from brainssl.foundation.errors import BrainsslError
from brainssl.models.encoder import Encoder, build_encoder
from brainssl.training.finetuning.layer_rates import layer_groups


def found(encoder: Encoder, decay: float) -> dict[str, tuple[float, float]]:
    """Rate over that of the head, and weight decay, of each parameter by its name."""
    names = {id(p): name for name, p in encoder.network.named_parameters()}
    return {
        names[id(p)]: (group["lr"] / 0.01, group["weight_decay"])
        for group in layer_groups(encoder, weight_decay=0.1, rate=0.01, decay=decay)
        for p in group["params"]
    }


@pytest.mark.parametrize(
    "name",
    [
        "test_resnet",
        "resnet18",
        "test_efficientnet",
        "test_convnext",
        "test_vit",
        "test_vit4",
        "vit_small_patch16_dinov3",
    ],
)
def test_scales_are_those_of_timm_with_its_own_head(name: str) -> None:
    whole = timm.create_model(name, in_chans=1, num_classes=3)
    names = {id(p): parameter for parameter, p in whole.named_parameters()}
    expected = {
        names[id(p)]: (group["lr_scale"], group["weight_decay"])
        for group in param_groups_layer_decay(whole, weight_decay=0.1, layer_decay=0.7)
        for p in group["params"]
    }
    for parameter, own in found(build_encoder(name, image_size=32, seed=0), 0.7).items():
        assert own == pytest.approx(expected[parameter]), parameter


def test_blocks_fall_one_by_one_from_the_head_to_the_stem() -> None:
    own = found(build_encoder("resnet18", image_size=32, seed=0), 0.5)
    blocks = [f"layer{stage}.{block}.conv1.weight" for stage in (1, 2, 3, 4) for block in (0, 1)]
    distances = [round(-math.log2(own[name][0])) for name in ["conv1.weight", *blocks]]
    assert distances == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_each_parameter_that_learns_is_in_one_group() -> None:
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    still = next(encoder.parameters()).requires_grad_(False)
    groups = layer_groups(encoder, weight_decay=0.1, rate=0.01, decay=0.9)
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in encoder.parameters() if p is not still)


def test_a_network_without_named_layers_is_refused() -> None:
    encoder = build_encoder("poolformer_s12", image_size=32, seed=0)
    with pytest.raises(BrainsslError, match=r"finetune\.layer_decay: timm names no layers of pool"):
        layer_groups(encoder, weight_decay=0.1, rate=0.01, decay=0.9)
