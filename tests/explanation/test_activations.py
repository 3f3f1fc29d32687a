"""The closed form is what autograd says, and the model stays as it was."""

import pytest
import torch
from torch import Tensor, nn

from brainssl.explanation.activations import activations
from brainssl.foundation.errors import BrainsslError
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder

CLASSES = ("Glioma T1", "Glioma T2", "Normal T1")


def make(name: str = "test_resnet", size: int = 64) -> Classifier:
    torch.manual_seed(0)
    encoder = build_encoder(name, image_size=size, seed=0)
    classifier = Classifier(encoder, nn.Linear(encoder.dim, 3), CLASSES, {})
    for module in classifier.modules():  # as after training, so that nothing is trivially 0
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return classifier.eval()


def slices(n: int = 4, size: int = 64) -> Tensor:
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(1))


def by_hand(classifier: Classifier, images: Tensor, target: int) -> Tensor:
    """The gradient of a logit at the last feature map, the plain way."""
    values = classifier.encoder.last_map(images).detach().requires_grad_()
    logit = classifier.head(classifier.encoder.pool(values))[:, target].sum()
    return torch.autograd.grad(logit, values)[0]


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "mobilenetv3_small_050"])
def test_logits_are_those_of_the_classifier_and_gradients_those_of_autograd(name: str) -> None:
    """The first has average pooling and a linear head, the others more behind the last map."""
    classifier, images = make(name), slices()
    found = activations(classifier, images, "all")
    with torch.no_grad():
        torch.testing.assert_close(found.logits, classifier(images))
    assert found.targets.tolist() == [[0, 1, 2]] * 4
    shared = found.gradients.shape[-2:] == (1, 1)
    assert shared == (name == "test_resnet")
    for target in range(3):
        expected = by_hand(classifier, images, target)
        gradient = found.gradients[:, target].expand_as(expected)
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-7)


def test_a_layer_within_is_differentiated_where_it_is() -> None:
    classifier, images = make(), slices()
    found = activations(classifier, images, torch.tensor([0, 1, 2, 0]), layer="layer3")
    kept: list[Tensor] = []
    network = classifier.encoder.network
    hook = network.layer3.register_forward_hook(lambda *args: kept.append(args[-1]))  # type: ignore[union-attr,operator]
    logits = classifier(images)
    hook.remove()
    picked = logits[torch.arange(4), torch.tensor([0, 1, 2, 0])].sum()
    torch.testing.assert_close(found.features, kept[0].detach())
    torch.testing.assert_close(found.gradients[:, 0], torch.autograd.grad(picked, kept[0])[0])
    torch.testing.assert_close(found.logits, logits.detach())


def test_the_last_layer_by_name_is_the_layer_found_by_itself() -> None:
    classifier, images = make(), slices()
    named, found = (activations(classifier, images, "all", layer=x) for x in ("layer4", None))
    torch.testing.assert_close(named.features, found.features)
    expected = found.gradients.expand_as(named.gradients)
    torch.testing.assert_close(named.gradients, expected, rtol=1e-4, atol=1e-8)


def test_the_class_that_is_predicted_is_the_default() -> None:
    classifier, images = make(), slices()
    found, every = activations(classifier, images), activations(classifier, images, "all")
    assert torch.equal(found.targets[:, 0], every.logits.argmax(1))
    picked = every.gradients.expand(4, -1, -1, -1, -1)[torch.arange(4), found.targets[:, 0]]
    torch.testing.assert_close(found.gradients[:, 0], picked)


@pytest.mark.parametrize("layer", [None, "layer2"])
def test_the_model_is_left_as_it_was(layer: str | None) -> None:
    classifier = make().train()
    for parameter in classifier.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    activations(classifier, slices(), "all", layer=layer)
    assert classifier.training
    assert all(bool((p.grad == 7).all()) for p in classifier.parameters() if p.grad is not None)
    after = classifier.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not [m for m in classifier.modules() if m._forward_hooks or m._backward_hooks]


def test_modules_that_were_frozen_in_evaluation_stay_so() -> None:
    classifier = make().train()
    classifier.encoder.eval()
    activations(classifier, slices())
    assert classifier.training
    assert not any(module.training for module in classifier.encoder.modules())


def test_a_layer_whose_output_is_changed_in_place_is_explained() -> None:
    classifier, images = make(), slices()  # bn1 of a ResNet: the activation behind it is in place
    of = activations(classifier, images, layer="bn1")
    torch.testing.assert_close(of.logits, classifier(images).detach())
    assert (of.features < 0).any()


def test_a_hook_does_not_stay_when_the_run_fails() -> None:
    classifier = make()
    with pytest.raises(RuntimeError):
        activations(classifier, torch.rand(1, 2, 64, 64), layer="layer2")
    assert not [m for m in classifier.modules() if m._forward_hooks]


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext"])
@pytest.mark.parametrize("layer", [None, "early"])
def test_frozen_without_gradients_and_under_autocast_it_is_the_same(
    name: str, layer: str | None
) -> None:
    classifier, images = make(name), slices()
    if layer:
        layer = "layer3" if name == "test_resnet" else "stages.2"
    expected = activations(classifier, images, "all", layer=layer)
    classifier.requires_grad_(False)
    autocast = torch.autocast("cpu", dtype=torch.bfloat16)
    for surroundings in (torch.no_grad(), torch.inference_mode(), autocast):
        with surroundings:
            found = activations(classifier, slices(), "all", layer=layer)
        assert found.features.dtype == found.gradients.dtype == torch.float32
        torch.testing.assert_close(found.features, expected.features, rtol=0, atol=0)
        torch.testing.assert_close(found.gradients, expected.gradients, rtol=0, atol=0)


def test_images_made_under_inference_mode_are_taken() -> None:
    with torch.inference_mode():
        images = slices()
    assert activations(make("test_convnext"), images).gradients.abs().max() > 0


def test_layers_of_no_use_are_refused() -> None:
    classifier, images = make(), slices()
    with pytest.raises(BrainsslError, match="no such layer; the first ones are conv1, bn1"):
        activations(classifier, images, layer="layer9")
    with pytest.raises(BrainsslError, match=r"layer global_pool gives \(4, 96\), no feature map"):
        activations(classifier, images, layer="global_pool")


def test_an_encoder_without_feature_maps_is_refused() -> None:
    with pytest.raises(BrainsslError, match=r"levit_128s gives .* no feature map"):
        activations(make("levit_128s", 224), slices(1, size=224))


@pytest.mark.parametrize("name", ["test_vit", "test_vit2", "test_vit3"])
def test_of_tokens_it_is_what_autograd_says_before_the_last_attention(name: str) -> None:
    """A class token, an average of patches, and a pooling by attention."""
    classifier, images = make(name), slices()
    found = activations(classifier, images, "all")
    kept: list[Tensor] = []
    norm = classifier.encoder.network.blocks[-1].norm1  # type: ignore[union-attr,index]
    hook = norm.register_forward_hook(lambda *args: kept.append(args[-1]))
    logits = classifier(images)
    hook.remove()
    torch.testing.assert_close(found.logits, logits.detach())
    assert found.of_tokens

    def laid(tokens: Tensor) -> Tensor:
        return tokens[:, 1:].transpose(1, 2).reshape(4, -1, 4, 4)

    torch.testing.assert_close(found.features, laid(kept[0]).detach())
    for target in range(3):
        gradient = torch.autograd.grad(logits[:, target].sum(), kept[0], retain_graph=True)[0]
        assert gradient.abs().max() > 0
        torch.testing.assert_close(found.gradients[:, target], laid(gradient))


@pytest.mark.parametrize("layer", [None, "blocks.2", "patch_embed", "patch_embed.proj"])
def test_a_transformer_is_left_as_it_was_and_is_the_same_frozen_and_under_autocast(
    layer: str | None,
) -> None:
    classifier, images = make("test_vit").train(), slices()
    expected = activations(classifier, images, "all", layer=layer)
    assert expected.features.shape[2:] == (4, 4)
    assert classifier.training
    assert all(p.grad is None for p in classifier.parameters())
    assert not [m for m in classifier.modules() if m._forward_hooks]
    classifier.requires_grad_(False)
    for surroundings in (torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16)):
        with surroundings:
            found = activations(classifier, images, "all", layer=layer)
        torch.testing.assert_close(found.gradients, expected.gradients, rtol=0, atol=0)


def test_channels_that_come_last_are_told_from_rows_and_columns() -> None:
    classifier, images = make("test_vit"), slices()
    found, expected = (
        activations(classifier, images, layer=name) for name in ("patch_embed", "patch_embed.proj")
    )
    torch.testing.assert_close(found.features, expected.features)
    torch.testing.assert_close(found.gradients, expected.gradients)
