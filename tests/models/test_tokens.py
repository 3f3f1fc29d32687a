"""Transformers at any size: timm's own numbers, tokens where the patches are, CNNs untouched."""

import pytest
import timm
import torch
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import Tensor, nn

from brainssl.foundation.errors import BrainsslError
from brainssl.models.tokens import (
    build_network,
    last_tokens,
    on_grid,
    patch_projection,
    patch_side,
)

# Position embeddings and a class token; registers too; rotations instead of embeddings; one size.
TRANSFORMERS = (
    ("test_vit", 48, 16),
    ("test_vit2", 32, 16),
    ("vit_small_patch14_dinov2", 28, 14),
    ("vit_small_patch14_reg4_dinov2", 28, 14),
    ("vit_small_patch16_dinov3", 32, 16),
    ("test_vit_relpos", 48, 16),
)


def build(name: str, size: int, pool: str = "auto") -> nn.Module:
    torch.manual_seed(0)
    return build_network(name, image_size=size, pool=pool)[0].eval()  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "size", "patch"), TRANSFORMERS)
def test_a_transformer_takes_one_channel_at_a_size_of_whole_patches(
    name: str, size: int, patch: int
) -> None:
    network = build(name, size)
    assert network(torch.rand(2, 1, size, size)).ndim == 2
    assert patch_side(network) == patch


@pytest.mark.parametrize(
    ("name", "size", "told"),
    [
        ("test_vit", 40, "set it to 32 or 48"),
        ("vit_small_patch14_dinov2", 64, "set it to 56 or 70"),
        ("vit_small_patch14_dinov2", 20, "set it to 28 or 42"),
    ],
)
def test_a_size_of_no_whole_patches_is_refused_with_the_nearest(
    name: str, size: int, told: str
) -> None:
    with pytest.raises(BrainsslError, match=rf"encoder\.image_size: {name} .*{told}"):
        build(name, size)


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_byobnet", "test_maxvit"])
def test_other_networks_are_built_as_timm_builds_them(name: str) -> None:
    torch.manual_seed(0)
    expected = timm.create_model(name, in_chans=1, num_classes=0).state_dict()
    torch.manual_seed(0)
    network, arguments = build_network(name, image_size=64)
    assert arguments == {}
    found = network.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[key], own) for key, own in expected.items())
    assert patch_side(network) == 1
    assert patch_projection(network) is None
    assert last_tokens(network) is None


@pytest.mark.parametrize("name", ["test_vit", "test_vit4", "vit_small_patch16_dinov3"])
def test_at_its_own_size_it_is_the_network_of_timm_and_takes_others_too(name: str) -> None:
    network = build(name, 64)
    plain = timm.create_model(name, in_chans=1, num_classes=0, img_size=64).eval()
    plain.load_state_dict(network.state_dict())
    images = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(network(images), plain(images), rtol=1e-5, atol=1e-6)
    assert network(images[..., :32, :32]).shape == network(images).shape


@pytest.mark.parametrize("name", ["test_vit", "vit_small_patch14_reg4_dinov2"])
def test_pooling_takes_the_class_token_or_the_mean_of_the_patches(name: str) -> None:
    size = 56 if "14" in name else 64
    networks = {pool: build(name, size, pool) for pool in ("auto", "token", "avg")}
    images = torch.rand(2, 1, size, size)
    # One layout of the tensors, whatever the pooling: weights are taken by any of them.
    assert len({tuple(network.state_dict()) for network in networks.values()}) == 1
    tokens = networks["auto"].forward_features(images)  # type: ignore[operator]
    patches = tokens[:, -((size // patch_side(networks["auto"])) ** 2) :]
    torch.testing.assert_close(networks["token"](images), tokens[:, 0])
    torch.testing.assert_close(networks["auto"](images), tokens[:, 0])
    torch.testing.assert_close(networks["avg"](images), patches.mean(1))


@pytest.mark.parametrize("pool", ["auto", "token", "avg"])
def test_the_arguments_build_the_same_network_in_timm(pool: str) -> None:
    torch.manual_seed(0)
    network, arguments = build_network("test_vit", image_size=32, pool=pool)  # type: ignore[arg-type]
    again = timm.create_model("test_vit", in_chans=1, num_classes=0, **arguments).eval()
    again.load_state_dict(network.state_dict())
    images = torch.rand(2, 1, 32, 32)
    assert torch.equal(again(images), network.eval()(images))


def test_average_pooling_of_a_cnn_is_what_it_does_anyway() -> None:
    images = torch.rand(2, 1, 32, 32)
    networks = [build("test_resnet", 32, pool) for pool in ("auto", "avg")]
    assert torch.equal(networks[0](images), networks[1](images))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit2"])
def test_a_class_token_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(BrainsslError, match=rf"encoder\.pool: {name} has no class token"):
        build(name, 32, "token")


@pytest.mark.parametrize(("name", "size", "patch"), TRANSFORMERS)
def test_tokens_lie_where_their_patches_are(name: str, size: int, patch: int) -> None:
    """Before attention mixes them, a change of one patch changes one token."""
    network, side = build(name, size), size // patch
    kept: list[Tensor] = []
    network.get_submodule("blocks.0.norm1").register_forward_hook(lambda *a: kept.append(a[2]))
    for row, column in ((0, side - 1), (side - 1, 0)):
        images = torch.zeros(2, 1, size, size)
        y, x = row * patch, column * patch
        images[1, 0, y : y + patch, x : x + patch] = torch.rand(patch, patch)
        with torch.no_grad():
            network(images)
        laid = on_grid(network, kept.pop())
        assert laid.shape == (2, laid.shape[1], side, side)
        changed = (laid[0] - laid[1]).abs().amax(0) > 1e-6
        assert torch.nonzero(changed).tolist() == [[row, column]]


def test_tokens_that_make_no_square_are_refused() -> None:
    with pytest.raises(BrainsslError, match="11 tokens of patches, which make no square"):
        on_grid(build("test_vit", 32), torch.zeros(1, 12, 4))


@pytest.mark.parametrize("name", ["test_vit", "vit_small_patch14_reg4_dinov2"])
def test_position_embeddings_of_another_size_are_resampled(name: str) -> None:
    """What timm does as it loads weights: constants and slopes stay, prefix tokens are kept."""
    patch = 14 if "14" in name else 16
    large, small = build(name, 16 * patch), build(name, 8 * patch)
    positions = large.pos_embed.data  # type: ignore[union-attr]
    prefix = positions.shape[1] - 256
    slope = (torch.arange(16.0) + 0.5) / 16
    positions[:, prefix:, 0] = 3.0
    positions[:, prefix:, 1] = slope.repeat_interleave(16)
    positions[:, prefix:, 2] = slope.repeat(16)
    found = checkpoint_filter_fn(large.state_dict(), small)["pos_embed"]
    assert found.shape == small.pos_embed.shape  # type: ignore[union-attr]
    torch.testing.assert_close(found[:, :prefix], positions[:, :prefix])
    laid = found[0, prefix:].unflatten(0, (8, 8))
    torch.testing.assert_close(laid[..., 0], torch.full((8, 8), 3.0))
    expected = (torch.arange(8.0) + 0.5) / 8
    inner = slice(2, 6)  # at the border a slope ends, and smoothing tells
    torch.testing.assert_close(laid[inner, :, 1], expected[inner, None].expand(4, 8))
    torch.testing.assert_close(laid[:, inner, 2], expected[None, inner].expand(8, 4))


@pytest.mark.parametrize("name", ["test_vit", "vit_small_patch16_dinov3"])
def test_the_patch_projection_is_the_layer_that_sees_the_pixels(name: str) -> None:
    network = build(name, 32)
    projection = patch_projection(network)
    assert isinstance(projection, nn.Conv2d)
    assert projection.in_channels == 1
    assert projection.kernel_size == (16, 16)
