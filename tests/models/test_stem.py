"""A stem for three channels as one: grey images come out alike, wherever that can be."""

import pytest
import timm
import torch
from timm.layers import StdConv2d
from torch import Tensor, nn

from brainssl.models.stem import IMAGENET, MEAN, PLAIN, STD, Normalisation, collapse, stems_of

ALIKE = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
SIZE = 32


class Small(nn.Module):
    """A convolution that reads the image, and what comes behind it."""

    def __init__(self, conv: nn.Module, *behind: nn.Module) -> None:
        super().__init__()
        self.stem, self.behind = conv, nn.Sequential(*behind)
        self.pretrained_cfg = {"first_conv": "stem"}

    def forward(self, images: Tensor) -> Tensor:
        return self.behind(self.stem(images))


def shaken(network: nn.Module) -> nn.Module:
    """Give every tensor, statistics too, values that no initialisation has."""
    generator = torch.Generator().manual_seed(0)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.5 + 0.1 - 0.2)
            tensor.abs_() if tensor.ndim == 1 else None
    return network.eval()


def both(three: nn.Module, one: nn.Module, known: Normalisation) -> tuple[Tensor, Tensor, str]:
    """Return what a network for three channels and its collapsed one give for grey images."""
    tensors = {name: value.clone() for name, value in three.state_dict().items()}
    told = collapse(one, tensors, known, SIZE)
    one.load_state_dict(tensors)
    images = torch.rand(3, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (known.mean, known.std))
    grey_mean, grey_std = known.grey
    with torch.no_grad():
        expected = three((images.expand(-1, 3, -1, -1) - mean) / std)
        return expected, one.eval()((images - grey_mean) / grey_std), told


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def test_the_constants_are_those_of_imagenet_in_the_mean() -> None:
    assert IMAGENET.grey == PLAIN.grey == (MEAN, STD) == (0.449, 0.226)
    assert PLAIN.is_alike
    assert ALIKE.is_alike
    assert not IMAGENET.is_alike


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext"])
def test_channels_that_were_normalised_alike_are_one_exactly(name: str) -> None:
    three = shaken(timm.create_model(name, num_classes=0))
    expected, found, told = both(three, timm.create_model(name, in_chans=1, num_classes=0), ALIKE)
    assert relative(found, expected) < 1e-5
    assert told.endswith("exactly")


def test_then_the_stem_is_the_plain_sum_as_timm_has_it() -> None:
    three = Small(nn.Conv2d(3, 4, 3, bias=False))
    tensors = dict(three.state_dict())
    collapse(Small(nn.Conv2d(1, 4, 3, bias=False)), tensors, ALIKE, SIZE)
    summed = three.stem.weight.sum(dim=1, keepdim=True)
    torch.testing.assert_close(tensors["stem.weight"], summed.detach())


def test_without_padding_every_normalisation_is_one_exactly() -> None:
    """ConvNeXt's stem has patches side by side and a bias."""
    three = shaken(timm.create_model("test_convnext", num_classes=0))
    one = timm.create_model("test_convnext", in_chans=1, num_classes=0)
    expected, found, told = both(three, one, IMAGENET)
    assert relative(found, expected) < 1e-5
    assert told.endswith("exactly")


def test_with_padding_other_normalisations_are_exact_but_at_the_border() -> None:
    def stem(channels: int) -> nn.Module:
        conv = nn.Conv2d(channels, 8, 7, stride=2, padding=3, bias=False)
        return Small(conv, nn.BatchNorm2d(8), nn.ReLU())

    expected, found, told = both(shaken(stem(3)), stem(1), IMAGENET)
    inside = (..., slice(2, -2), slice(2, -2))
    assert relative(found[inside], expected[inside]) < 1e-5
    assert relative(found, expected) > 1e-3
    assert told.endswith("exactly but at the border")


def test_in_training_the_constant_has_no_part() -> None:
    """BatchNorm takes the mean of the batch away, so that the constant must not add to it."""
    torch.manual_seed(0)
    three = Small(nn.Conv2d(3, 8, 4, stride=4, bias=False), nn.BatchNorm2d(8))
    one = Small(nn.Conv2d(1, 8, 4, stride=4, bias=False), nn.BatchNorm2d(8))
    tensors = {name: value.clone() for name, value in three.state_dict().items()}
    collapse(one, tensors, IMAGENET, SIZE)
    one.load_state_dict(tensors)
    images = torch.rand(5, 1, SIZE, SIZE)
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (IMAGENET.mean, IMAGENET.std))
    expected = three.train()((images.expand(-1, 3, -1, -1) - mean) / std)
    torch.testing.assert_close(one.train()((images - MEAN) / STD), expected, atol=1e-5, rtol=0)
    # The running statistics move as those of the three channels, less the same constant.
    unmoved = three.behind[0].running_mean - one.behind[0].running_mean
    kept = torch.zeros(8) - tensors["behind.0.running_mean"]
    torch.testing.assert_close(unmoved, kept, atol=1e-5, rtol=0)


def test_what_cannot_be_one_exactly_is_told() -> None:
    bare = Small(nn.Conv2d(3, 4, 3, bias=False), nn.GroupNorm(2, 4))
    one = Small(nn.Conv2d(1, 4, 3, bias=False), nn.GroupNorm(2, 4))
    assert "finds no place" in both(bare, one, IMAGENET)[2]
    # GroupNorm is no bar where there is no constant.
    expected, found, told = both(bare, one, ALIKE)
    assert relative(found, expected) < 1e-5
    assert told.endswith("exactly")
    told = both(Small(StdConv2d(3, 4, 3)), Small(StdConv2d(1, 4, 3)), ALIKE)[2]
    assert "near, for the stem standardises" in told


def test_a_stem_for_one_channel_stays() -> None:
    one = timm.create_model("test_resnet", in_chans=1, num_classes=0)
    tensors = {name: value.clone() for name, value in one.state_dict().items()}
    assert collapse(one, tensors, IMAGENET, SIZE) == ""
    assert all(torch.equal(value, tensors[name]) for name, value in one.state_dict().items())


def test_colours_of_a_stem_that_folds_pixels_into_channels_come_together() -> None:
    """As timm sums them: three in a row are the colours of one pixel."""
    three, one = Small(nn.Conv2d(12, 4, 1, bias=False)), Small(nn.Conv2d(4, 4, 1, bias=False))
    tensors = dict(three.state_dict())
    collapse(one, tensors, ALIKE, SIZE)
    pixels = torch.rand(2, 4, 5, 5)
    expected = three(pixels.repeat_interleave(3, dim=1))
    one.load_state_dict(tensors)
    torch.testing.assert_close(one(pixels), expected)


def test_convolutions_that_read_the_image_are_known() -> None:
    assert stems_of(timm.create_model("test_resnet", in_chans=1)) == ("conv1.0",)
    assert stems_of(nn.Conv2d(1, 1, 1)) == ()
