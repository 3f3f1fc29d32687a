"""Attention rollout against its definition in NumPy; the network is left as it was."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from brainssl.explanation.activations import activations
from brainssl.explanation.cam import attention_rollout
from brainssl.explanation.rollout import has_attention, joined, rolled_out
from brainssl.foundation.errors import BrainsslError
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder


def make(name: str = "test_vit", size: int = 64, pool: str = "auto") -> Classifier:
    encoder = build_encoder(name, image_size=size, pool=pool, seed=0)  # type: ignore[arg-type]
    with torch.no_grad():  # as after training: attention that is not even
        for parameter in encoder.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    return Classifier(encoder, nn.Linear(encoder.dim, 3), ("a", "b", "c"), {}).eval()


def slices(n: int = 3, size: int = 64) -> Tensor:
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(1))


def by_numpy(classifier: Classifier, images: Tensor) -> np.ndarray:
    """Rollout in float64 from what each block's attention is given, and its weights."""
    network: Any = classifier.encoder.network
    given: list[Tensor] = []
    hooks = [
        block.attn.register_forward_pre_hook(lambda _m, args: given.append(args[0]))
        for block in network.blocks
    ]
    with torch.no_grad():
        classifier(images)
    for hook in hooks:
        hook.remove()
    n, t, _ = given[0].shape
    all_of_it = np.broadcast_to(np.eye(t), (n, t, t))
    for block, tokens in zip(network.blocks, given, strict=True):
        heads, dim = block.attn.num_heads, tokens.shape[2]
        weight = block.attn.qkv.weight.detach().double().numpy()
        bias = block.attn.qkv.bias.detach().double().numpy()
        made = tokens.double().numpy() @ weight.T + bias
        query, key, _ = np.split(made, 3, axis=2)
        mean = np.zeros((n, t, t))
        for head in range(heads):
            own = slice(head * dim // heads, (head + 1) * dim // heads)
            alike = query[..., own] @ key[..., own].transpose(0, 2, 1) / np.sqrt(dim // heads)
            exp = np.exp(alike - alike.max(2, keepdims=True))
            mean += exp / exp.sum(2, keepdims=True) / heads
        mixed = mean + np.eye(t)
        all_of_it = mixed / mixed.sum(2, keepdims=True) @ all_of_it
    return all_of_it


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_rollout_is_its_definition(pool: str) -> None:
    classifier, images = make(pool=pool), slices()
    found = activations(classifier, images, "all", attention=True)
    rolled = by_numpy(classifier, images)
    row = rolled[:, 0] if pool == "token" else rolled[:, 1:].mean(1)
    expected = row[:, 1:].reshape(3, 1, 4, 4)
    assert expected.std() / expected.mean() > 0.01  # there is something to be told apart
    assert found.attended is not None
    np.testing.assert_allclose(found.attended.numpy(), expected, rtol=1e-4)
    maps = attention_rollout(found)
    assert maps.shape == (3, 3, 4, 4)
    assert torch.equal(maps[:, 0], maps[:, 2])


def test_each_row_says_of_what_a_token_is_made() -> None:
    draw = torch.Generator().manual_seed(0)
    before = None
    for _ in range(4):
        attention = torch.randn(2, 3, 7, 7, generator=draw).softmax(-1)
        before = joined(attention, before)
        torch.testing.assert_close(before.sum(-1), torch.ones(2, 7))
    still = torch.eye(7).expand(2, 3, 7, 7)  # who attends to itself alone stays what it is
    torch.testing.assert_close(joined(still, before), before)


@pytest.mark.parametrize("name", ["test_vit", "vit_small_patch16_dinov3"])
def test_a_batch_is_the_same_images_one_by_one(name: str) -> None:
    classifier, images = make(name, 32), slices(size=32)
    maps = [
        attention_rollout(activations(classifier, some, attention=True))
        for some in (images, *images[:, None])
    ]
    torch.testing.assert_close(maps[0], torch.cat(maps[1:]), rtol=1e-4, atol=1e-6)


def test_the_network_is_left_as_it_was_even_after_a_failure() -> None:
    classifier = make()
    network: Any = classifier.encoder.network
    fused = [block.attn.fused_attn for block in network.blocks]
    with torch.no_grad():
        before = classifier(slices())
    activations(classifier, slices(), attention=True)
    with pytest.raises(RuntimeError), rolled_out(classifier.encoder):
        classifier(torch.rand(1, 2, 64, 64))
    assert [block.attn.fused_attn for block in network.blocks] == fused
    assert not [m for m in classifier.modules() if m._forward_pre_hooks or m._forward_hooks]
    with torch.no_grad():
        assert torch.equal(classifier(slices()), before)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit3"])
def test_a_network_that_shows_no_attention_is_refused(name: str) -> None:
    """A CNN has none; the other one pools by an attention of its own, which nothing shows."""
    classifier = make(name)
    assert not has_attention(classifier.encoder)
    with pytest.raises(BrainsslError, match=f"rollout needs the attention .* which {name} does"):
        activations(classifier, slices(), attention=True)
    with pytest.raises(ValueError, match="attention=True"):
        attention_rollout(activations(classifier, slices()))
