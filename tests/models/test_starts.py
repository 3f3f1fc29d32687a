"""Starts: what an encoder begins with, what is told of it, and what is refused."""

from pathlib import Path

import pytest
import timm
import torch
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import nn

from brainssl.foundation.errors import BrainsslError
from brainssl.models import architectures
from brainssl.models.encoder import Encoder, build_encoder, save_encoder
from brainssl.models.lineage import FACTS
from brainssl.models.starts import digest_of

NAME = "test_resnet"


@pytest.fixture(scope="module")
def colour() -> nn.Module:
    """A network of timm's for three channels, with statistics of images."""
    torch.manual_seed(0)
    network = timm.create_model(NAME)
    with torch.no_grad():
        network.train()(torch.rand(8, 3, 32, 32))
    return network.eval()


@pytest.fixture
def file(colour: nn.Module, tmp_path: Path) -> Path:
    wrapped = {f"module.encoder.{k}": v for k, v in colour.state_dict().items()}
    torch.save({"state_dict": wrapped, "epoch": 3}, tmp_path / "my.pth")
    return tmp_path / "my.pth"


def begun(weights: object = "random", **options: float) -> Encoder:
    return build_encoder(NAME, image_size=32, weights=str(weights), seed=0, **options).eval()


def features(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network.forward_head(network.forward_features(images), pre_logits=True)


def test_grey_images_give_the_features_of_the_three_channels(colour: nn.Module, file: Path) -> None:
    encoder, images = begun(file, mean=0.4, std=0.3), torch.rand(3, 1, 32, 32)
    expected = features(colour, (images.expand(-1, 3, -1, -1) - 0.4) / 0.3)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), expected, atol=1e-5, rtol=0)
        found = encoder.pool(encoder.last_map(images))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_record_says_what_was_taken_and_what_not(colour: nn.Module, file: Path) -> None:
    start = begun(file, mean=0.4, std=0.3).start
    assert start is not None
    counters = sum("num_batches" in name for name in colour.state_dict())
    taken = len(colour.state_dict()) - counters - 2
    assert str(start) == (
        f"starting weights: {taken} of {taken} tensors from my.pth (state_dict, module.encoder.), "
        "left out: 2 of module.encoder.fc; its three channels are taken as one, exactly; "
        "mean 0.4 and deviation 0.3, as set by encoder.mean and encoder.std"
    )
    facts = start.facts()
    assert facts["name"] == "my"
    assert str(file.parent) not in repr(facts)
    assert (facts["mean"], facts["std"], facts["taken"]) == (0.4, 0.3, taken)
    assert len(facts["digest"]) == 64


def test_what_nothing_is_said_of_has_the_constants_and_is_told_so(file: Path) -> None:
    for encoder in (begun(), begun(file)):
        assert (encoder.mean, encoder.std) == (0.449, 0.226)
        assert "ImageNet's, as nothing says another" in str(encoder.start)
    assert "exactly but at the border" in str(begun(file).start)
    assert begun().start.facts().keys() == {"name", "mean", "std", "normalised_by"}


def test_random_weights_are_those_of_before() -> None:
    torch.manual_seed(0)
    fresh = timm.create_model(NAME, in_chans=1, num_classes=0)
    for name, value in begun().network.state_dict().items():
        assert torch.equal(value, fresh.state_dict()[name])


def test_one_of_both_may_be_set(file: Path) -> None:
    encoder = begun(file, mean=0.2)
    assert (encoder.mean, encoder.std) == (0.2, 0.226)


def test_an_encoder_of_ours_goes_on_as_it_was(file: Path, tmp_path: Path) -> None:
    before = begun(file, mean=0.2, std=0.3)
    before.facts = {"method": "byol", "store": "s", "split_digest": "d"} | before.starting_weights
    save_encoder(before, tmp_path / "encoder.safetensors")
    after = begun(tmp_path / "encoder.safetensors")
    images = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(before(images), after(images))
    assert after.digest == before.digest
    assert after.start.facts()["trained_on"]["method"] == "byol"
    assert after.start.stem == ""
    assert after.starting_weights[FACTS]["name"] == tmp_path.name


def test_the_digest_is_of_weights_and_normalisation(file: Path) -> None:
    one, again, other = begun(file), begun(file), begun(file, mean=0.3)
    assert one.digest == again.digest == one.start.facts()["digest"] != other.digest
    with torch.no_grad():
        next(again.parameters()).add_(1e-3)
    assert again.digest != one.digest
    assert digest_of(one.network, 0.449, 0.227) != digest_of(one.network, 0.449, 0.226)


def test_the_content_is_of_the_tensors_as_they_came(file: Path) -> None:
    """Whatever becomes of their stem, and by which normalisation."""
    one, other = begun(file).start, begun(file, mean=0.2, std=0.3).start
    assert one.content == other.content != ""
    assert one.digest != other.digest
    assert begun("random").start.content == ""


def test_weights_of_another_architecture_are_refused_with_its_name(
    colour: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(architectures, "_USUAL", ((NAME, "resnet10t"),))
    state = colour.state_dict()
    torch.save(state, tmp_path / "a.pth")
    told = r"a\.pth holds nothing like resnet10t; these look like test_resnet: set encoder\.name"
    with pytest.raises(BrainsslError, match=told) as caught:
        build_encoder("resnet10t", image_size=32, weights=str(tmp_path / "a.pth"), seed=0)
    assert "\n" not in str(caught.value)
    torch.save({k: v for k, v in state.items() if k != "layer1.0.bn1.bias"}, tmp_path / "b.pth")
    with pytest.raises(BrainsslError, match=r"\(layer1\.0\.bn1\.bias is missing\); the nearest"):
        begun(tmp_path / "b.pth")
    torch.save(state | {"layer1.9.weight": torch.ones(1)}, tmp_path / "c.pth")
    with pytest.raises(BrainsslError, match=r"\(layer1\.9\.weight is of no layer of it\)"):
        begun(tmp_path / "c.pth")
    torch.save(state | {"layer1.0.bn1.bias": torch.ones(9)}, tmp_path / "d.pth")
    with pytest.raises(BrainsslError, match=r"\(layer1\.0\.bn1\.bias is 9 and not \d+\)"):
        begun(tmp_path / "d.pth")
    torch.save({"epoch": 3}, tmp_path / "e.pth")
    with pytest.raises(BrainsslError, match=r"e\.pth holds nothing like test_resnet"):
        begun(tmp_path / "e.pth")


@pytest.mark.parametrize("size", [160, 80])
@pytest.mark.parametrize("pool", ["token", "avg"])
def test_a_transformer_takes_weights_of_another_size_as_timm_does(
    size: int, pool: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    native = timm.create_model("test_vit", num_classes=0)  # 160 px, three channels
    nn.init.normal_(native.pos_embed)
    torch.save(native.state_dict(), tmp_path / "vit.pth")
    encoder = build_encoder(
        "test_vit",
        image_size=size,
        pool=pool,  # type: ignore[arg-type]
        weights=str(tmp_path / "vit.pth"),
        mean=0.5,
        std=0.5,
        seed=1,
    ).eval()
    theirs = timm.create_model("test_vit", num_classes=0, img_size=size).eval()
    theirs.load_state_dict(checkpoint_filter_fn(native.state_dict(), theirs))
    images = torch.rand(2, 1, size, size)
    with torch.inference_mode():
        tokens = theirs.forward_features((images.repeat(1, 3, 1, 1) - 0.5) / 0.5)
        expected = tokens[:, 0] if pool == "token" else tokens[:, 1:].mean(dim=1)
        found = encoder(images)
    scale = float(expected.abs().max())
    assert float((found - expected).abs().max()) < 1e-4 * scale
