"""Sources of weights: the hub, timm, folders and files, each with what it says of itself."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import timm
import torch
from oracles.hub import hub
from safetensors.torch import save_file
from timm.models import save_for_hf
from torch import nn

from brainssl.foundation.errors import BrainsslError
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder, save_encoder
from brainssl.models.sources import Source, fetched, find_source
from brainssl.models.stem import IMAGENET, PLAIN, Normalisation

NAME, TAGGED = "test_resnet", "timm/test_resnet.r160_in1k"
HALF = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(NAME)


@pytest.fixture(scope="module")
def folder(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As timm writes it for the hub."""
    made = tmp_path_factory.mktemp("hub") / "test"
    save_for_hf(network, made, safe_serialization=True)
    return made


@pytest.fixture
def cache(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A computer without network, with one model in its cache of the hub."""
    model = tmp_path / f"models--{TAGGED.replace('/', '--')}"
    shutil.copytree(folder, model / "snapshots" / ("0" * 40))
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def assert_holds(source: Source, network: nn.Module) -> None:
    [table] = source.tables
    for name, value in table.tensors.items():
        assert torch.equal(value, network.state_dict()[name]), name
    assert set(table.tensors) >= {name for name, _ in network.named_parameters()} - {
        "fc.weight",
        "fc.bias",
    }


@pytest.mark.usefixtures("cache")
def test_published_weights_come_with_their_normalisation(network: nn.Module) -> None:
    for weights, title in (("imagenet", f"timm's {NAME}.r160_in1k"), (f"hub:{TAGGED}", TAGGED)):
        source = find_source(weights, NAME)
        assert_holds(source, network)
        assert source.normalisation == HALF
        assert source.title == title
        assert source.trained_on is None


def test_what_would_be_fetched_is_told_without_fetching(tmp_path: Path) -> None:
    assert fetched("imagenet", "resnet18") == "the imagenet weights of resnet18"
    assert fetched("hub:timm/resnet18.a1_in1k", "resnet18") == "hub:timm/resnet18.a1_in1k"
    assert fetched("random", "resnet18") is fetched(str(tmp_path / "a.pth"), "resnet18") is None
    with pytest.raises(BrainsslError, match="timm has no pretrained weights of darknet17"):
        fetched("imagenet", "darknet17")


@pytest.mark.usefixtures("cache")
def test_what_cannot_be_had_offline_is_one_line_with_the_mend() -> None:
    for weights, name in (("imagenet", "resnet18"), ("hub:timm/resnet18.a1_in1k", "resnet18")):
        with pytest.raises(BrainsslError, match="a file that was downloaded elsewhere") as caught:
            find_source(weights, name)
        assert "\n" not in str(caught.value)
    with pytest.raises(BrainsslError, match=r"set encoder\.name to test_resnet$"):
        find_source(f"hub:{TAGGED}", "resnet18")
    with pytest.raises(BrainsslError, match="timm has no pretrained weights of darknet17"):
        find_source("imagenet", "darknet17")


def test_the_hub_is_asked_when_told_to(folder: Path, network: nn.Module, tmp_path: Path) -> None:
    """In a process of its own: the library reads the hub's address when it is imported."""
    script = (
        "import sys; from brainssl.models.encoder import build_encoder, save_encoder;"
        "from pathlib import Path;"
        "e = build_encoder('test_resnet', image_size=32, weights=sys.argv[1], seed=0);"
        "save_encoder(e, Path(sys.argv[2])); print(e.start)"
    )
    with hub("somebody/test", folder) as (address, asked):
        own = {"HF_ENDPOINT": address, "HF_HUB_CACHE": str(tmp_path / "cache")}
        out = tmp_path / "encoder.safetensors"
        told = subprocess.run(
            [sys.executable, "-c", script, "hub:somebody/test", str(out)],
            env=os.environ | own | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    assert {path.rsplit("/", 1)[-1] for path in asked} == {"config.json", "model.safetensors"}
    assert "tensors from somebody/test, left out: 2 of fc" in told
    assert "mean 0.5 and deviation 0.5, as the weights say" in told
    source = find_source(str(out), NAME)
    assert source.normalisation == Normalisation((0.5,), (0.5,))
    kept = source.tables[0].tensors["layer4.0.conv1.weight"]
    assert torch.equal(kept, network.state_dict()["layer4.0.conv1.weight"])


def test_a_folder_of_the_hub_is_taken_as_it_is(folder: Path, network: nn.Module) -> None:
    source = find_source(str(folder), NAME)
    assert_holds(source, network)
    assert source.normalisation == HALF
    with pytest.raises(BrainsslError, match=r"is of test_resnet.*set encoder\.name"):
        find_source(str(folder), "resnet18")


def changed(folder: Path, into: Path, **keys: Any) -> Path:
    """Copy a folder of the hub with another configuration."""
    shutil.copytree(folder, into)
    said = json.loads((into / "config.json").read_text())
    (into / "config.json").write_text(json.dumps(said | keys))
    return into


def test_networks_that_are_built_otherwise_are_refused(folder: Path, tmp_path: Path) -> None:
    other = changed(folder, tmp_path / "other", model_args={"act_layer": "silu"})
    with pytest.raises(BrainsslError, match=r"built otherwise \(act_layer=silu\)"):
        find_source(str(other), NAME)
    same = changed(folder, tmp_path / "same", model_args={"in_chans": 3, "num_classes": 7})
    assert find_source(str(same), NAME).normalisation == HALF


def test_folders_without_what_is_needed_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match=r"holds neither classifier.* nor config\.json"):
        find_source(str(tmp_path), NAME)
    shutil.copy(folder / "config.json", tmp_path)
    with pytest.raises(BrainsslError, match="is no folder of timm's"):
        find_source(str(tmp_path), NAME)


def test_a_file_has_the_normalisation_of_its_header_or_of_the_configuration_beside_it(
    folder: Path, network: nn.Module, tmp_path: Path
) -> None:
    tensors = {name: value.clone() for name, value in network.state_dict().items()}
    header = {"mean": "[0.1, 0.2, 0.3]", "std": "0.5", "architecture": NAME}
    save_file(tensors, tmp_path / "a.safetensors", metadata=header)
    told = Normalisation((0.1, 0.2, 0.3), (0.5,))
    assert find_source(str(tmp_path / "a.safetensors"), NAME).normalisation == told
    with pytest.raises(BrainsslError, match=r"set encoder\.name to test_resnet"):
        find_source(str(tmp_path / "a.safetensors"), "resnet18")
    torch.save(tensors, tmp_path / "b.pth")
    assert find_source(str(tmp_path / "b.pth"), NAME).normalisation is None
    shutil.copy(folder / "config.json", tmp_path)
    assert find_source(str(tmp_path / "b.pth"), NAME).normalisation == HALF
    # Of another network: it may lie there by chance, and the tensors tell what they are.
    changed(folder, tmp_path / "other", architecture="resnet50")
    torch.save(tensors, tmp_path / "other" / "b.pth")
    assert find_source(str(tmp_path / "other" / "b.pth"), NAME).normalisation is None


@pytest.mark.parametrize("wrong", ["half", "[0.5, 0.5]", "[0.5, null, 0.5]"])
def test_a_header_that_says_no_numbers_is_refused(wrong: str, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(1)}, file, metadata={"mean": wrong, "std": "0.5"})
    with pytest.raises(BrainsslError, match="mean and std of its header"):
        find_source(str(file), NAME)


def test_models_of_ours_say_what_they_are_and_where_they_learnt(tmp_path: Path) -> None:
    encoder = build_encoder(NAME, image_size=32, mean=0.3, std=0.2, seed=0)
    encoder.facts = {"method": "byol", "store": "s", "split_digest": "d", "seed": 3}
    encoder.learnt = np.random.default_rng(0).integers(0, 256, (5, 32), dtype=np.uint8)
    save_encoder(encoder, tmp_path / "encoder.safetensors")
    classifier = Classifier(encoder, nn.Linear(encoder.dim, 2), ("a", "b"), encoder.facts)
    classifier.learnt = encoder.learnt
    classifier.save(tmp_path / "classifier.safetensors")
    for name in ("encoder", "classifier"):
        file = str(tmp_path / f"{name}.safetensors")
        source = find_source(file, NAME)
        assert source.normalisation == Normalisation((0.3,), (0.2,))
        assert source.trained_on == encoder.facts
        assert np.array_equal(source.learnt, encoder.learnt)
        assert "learnt" not in source.tables[0].tensors
        with pytest.raises(BrainsslError, match=r"is of test_resnet.*set encoder\.name"):
            find_source(file, "resnet18")


def test_a_folder_of_ours_is_the_model_in_it(tmp_path: Path) -> None:
    """That of a pretraining, and that of a probe or a fine-tuning."""
    encoder = build_encoder(NAME, image_size=32, seed=0)
    encoder.facts = {"method": "byol"}
    save_encoder(encoder, tmp_path / "a" / "encoder.safetensors")
    classifier = Classifier(encoder, nn.Linear(encoder.dim, 2), ("a", "b"), {"method": "simclr"})
    classifier.save(tmp_path / "b" / "classifier.safetensors")
    for folder, method in (("a", "byol"), ("b", "simclr")):
        assert find_source(str(tmp_path / folder), NAME).trained_on == {"method": method}


def test_models_of_earlier_versions_have_the_constants(tmp_path: Path) -> None:
    file = tmp_path / "encoder.safetensors"
    said = {"name": NAME, "image_size": 32, "facts": {}}
    header = {"format": "brainssl-encoder", "version": "1", "json": json.dumps(said)}
    save_file({"a": torch.ones(1)}, file, metadata=header)
    assert find_source(str(file), NAME).normalisation == PLAIN != IMAGENET
    save_file({"a": torch.ones(1)}, file, metadata=header | {"version": "99"})
    with pytest.raises(BrainsslError, match="upgrade"):
        find_source(str(file), NAME)


def test_files_that_are_absent_or_of_no_known_form_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match=r"there is no file .*a\.pth: give random, imagenet"):
        find_source(str(tmp_path / "a.pth"), NAME)
    (tmp_path / "a.h5").write_bytes(b"")
    with pytest.raises(BrainsslError, match=r"has no known suffix: \.safetensors, \.pth"):
        find_source(str(tmp_path / "a.h5"), NAME)
    (tmp_path / "a.safetensors").write_bytes(b"PK")
    with pytest.raises(BrainsslError, match="damaged or no safetensors"):
        find_source(str(tmp_path / "a.safetensors"), NAME)
