"""Encoders: one channel, seeded weights, safetensors that timm takes and nothing unsafe."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from brainssl.foundation.errors import BrainsslError
from brainssl.models import encoder as encoders
from brainssl.models.encoder import Encoder, build_encoder, load_encoder, save_encoder
from brainssl.models.tokens import Pool


def tiny(seed: int = 0) -> Encoder:
    return build_encoder("test_resnet", image_size=32, seed=seed)


# Among them networks whose pooled features are wider than timm's num_features says.
@pytest.mark.parametrize(
    "name", ["test_resnet", "test_efficientnet", "resnet18", "mobilenetv3_small_050", "vgg11"]
)
def test_any_cnn_takes_one_channel_and_gives_pooled_features(name: str) -> None:
    encoder = Encoder(name, image_size=32).eval()
    assert encoder(torch.rand(2, 1, 32, 32)).shape == (2, encoder.dim)


def test_weights_depend_on_the_seed_and_leave_the_global_state_alone() -> None:
    before = torch.random.get_rng_state()
    first, again, other = tiny(0), tiny(0), tiny(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [next(encoder.parameters()) for encoder in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_images_are_normalised_inside() -> None:
    encoder = tiny().eval()
    images = torch.rand(2, 1, 32, 32)
    expected = encoder.network((images - 0.449) / 0.226)
    assert torch.equal(encoder(images), expected)
    encoder.mean, encoder.std = 0.5, 0.25
    assert torch.equal(encoder(images), encoder.network((images - 0.5) / 0.25))
    assert torch.equal(encoder.pool(encoder.last_map(images)), encoder(images))


def test_the_normalisation_is_kept_and_another_one_makes_a_newer_file(tmp_path: Path) -> None:
    """Earlier versions of brainssl would take the constants, so they must not read it."""
    images, encoder = torch.rand(2, 1, 32, 32), tiny().eval()
    for mean, std, version in ((0.449, 0.226, "1"), (0.5, 0.25, "2")):
        encoder.mean, encoder.std = mean, std
        save_encoder(encoder, tmp_path / "encoder.safetensors")
        with safe_open(tmp_path / "encoder.safetensors", framework="pt") as file:
            assert file.metadata()["version"] == version
        again = load_encoder(tmp_path).eval()
        assert (again.mean, again.std) == (mean, std)
        assert torch.equal(again(images), encoder(images))
        assert again.start is None


def test_saved_encoder_comes_back_and_timm_takes_it(tmp_path: Path) -> None:
    encoder = tiny().eval()
    encoder.facts = {"method": "simclr", "seed": 0}
    file = tmp_path / "encoder.safetensors"
    save_encoder(encoder, file)
    again = load_encoder(tmp_path).eval()
    images = torch.rand(3, 1, 32, 32)
    assert torch.equal(encoder(images), again(images))
    assert again.facts == encoder.facts
    assert again.image_size == 32
    network = timm.create_model("test_resnet", in_chans=1, num_classes=0)
    network.load_state_dict(load_file(file))
    bare = network.eval()((images - 0.449) / 0.226)
    torch.testing.assert_close(bare, encoder(images))


def test_marks_of_the_training_images_come_back_and_timm_takes_it_still(tmp_path: Path) -> None:
    encoder = tiny().eval()
    file = tmp_path / "encoder.safetensors"
    save_encoder(encoder, file)
    assert load_encoder(file).learnt is None
    encoder.learnt = np.random.default_rng(0).integers(0, 256, (5, 32), dtype=np.uint8)
    save_encoder(encoder, file)
    assert np.array_equal(load_encoder(file).learnt, encoder.learnt)
    network = timm.create_model("test_resnet", in_chans=1, num_classes=0)
    network.load_state_dict(load_file(file))
    with safe_open(file, framework="pt") as opened:
        assert opened.metadata()["version"] == "3"


def test_a_network_that_takes_no_such_images_is_refused() -> None:
    with pytest.raises(BrainsslError, match=r"encoder\.image_size"):
        Encoder("levit_128s", image_size=32)


@pytest.mark.parametrize("pool", ["auto", "avg"])
def test_a_saved_transformer_comes_back_with_its_size_and_pooling(
    tmp_path: Path, pool: Pool
) -> None:
    encoder = build_encoder("test_vit", image_size=48, pool=pool, seed=0).eval()
    save_encoder(encoder, tmp_path / "encoder.safetensors")
    with safe_open(tmp_path / "encoder.safetensors", framework="pt") as file:
        assert file.metadata()["version"] == ("1" if pool == "auto" else "2")
    again = load_encoder(tmp_path).eval()
    images = torch.rand(3, 1, 48, 48)
    assert torch.equal(encoder(images), again(images))
    assert (again.pooling, again.image_size, again.patch) == (pool, 48, 16)


def test_what_is_before_pooling_and_pooling_are_the_whole_of_a_transformer() -> None:
    encoder = build_encoder("test_vit", image_size=32, seed=0).eval()
    images = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(encoder.pool(encoder.last_map(images)), encoder(images))


def test_unknown_architecture_is_named_with_near_ones() -> None:
    with pytest.raises(BrainsslError, match=r"encoder\.name.*resnet51"):
        Encoder("resnet51", image_size=32)


def test_damaged_foreign_and_newer_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "encoder.safetensors"
    with pytest.raises(BrainsslError, match="missing"):
        load_encoder(file)
    file.write_bytes(b"\x80\x04cpickle")
    with pytest.raises(BrainsslError, match="damaged"):
        load_encoder(file)
    save_file({"a": torch.zeros(1)}, file)
    with pytest.raises(BrainsslError, match="holds weights that brainssl did not write"):
        load_encoder(file)
    encoders.write_tensors(file, {}, "brainssl-encoder", encoders.VERSION + 1, {})
    with pytest.raises(BrainsslError, match="upgrade"):
        load_encoder(file)
    save_encoder(tiny(), file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BrainsslError, match="damaged"):
        load_encoder(file)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("timm/resnet18.a1_in1k", "give its name alone, such as resnet18"),
        ("./my.pth", "is no architecture of timm: give its name alone; weights"),
        ("hf-hub:somebody/model", "is no architecture of timm"),
    ],
)
def test_files_and_names_of_hubs_are_no_architectures(name: str, told: str) -> None:
    with pytest.raises(BrainsslError, match=told):
        build_encoder(name, image_size=32, seed=0)
