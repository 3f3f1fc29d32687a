"""A MONAI bundle: MONAI's own verifiers accept it, and running it gives our probabilities."""

import csv
import json
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
from monai.bundle import ConfigWorkflow
from PIL import Image

from brainssl.data.read import read_slice
from brainssl.data.store import letterbox
from brainssl.foundation.errors import BrainsslError
from brainssl.inference.monai_bundle import export_monai
from brainssl.models.classifier import Classifier

from .test_hub import CLASSES, classifier, trained

# What MONAI's schema of 2024-07-25 asks of metadata.json, in our words.
_TEXT = {"type": "string"}
_TENSOR = {
    "type": "object",
    "properties": {
        "num_channels": {"type": "integer"},
        "spatial_shape": {"type": "array", "items": {"type": ["string", "integer"]}},
        "value_range": {"type": "array", "items": {"type": "number"}},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {"type": "object"},
    },
    "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range"],
}
_TEXTS = (
    "schema version monai_version pytorch_version numpy_version task description authors copyright"
)
SCHEMA = {
    "type": "object",
    "properties": {
        **dict.fromkeys(_TEXTS.split(), _TEXT),
        "changelog": {"type": "object"},
        "required_packages_version": {"type": "object"},
        "network_data_format": {
            "type": "object",
            "properties": {
                side: {"type": "object", "additionalProperties": _TENSOR}
                for side in ("inputs", "outputs")
            },
            "required": ["inputs", "outputs"],
        },
    },
    "required": [*_TEXTS.split(), "required_packages_version", "network_data_format"],
}
ABOUT = {"authors": "A. Author", "model_licence": "apache-2.0", "intended_use": "Research"}


@pytest.fixture(scope="module")
def model() -> Classifier:
    return classifier()


@pytest.fixture(scope="module")
def bundle(model: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("monai") / "bundle"
    export_monai(model, folder, card="# A card\n", about=ABOUT)
    return folder


@pytest.mark.filterwarnings("ignore:No hash value provided")
def test_monai_verifies_the_metadata(bundle: Path, tmp_path: Path) -> None:
    written = bundle / "configs" / "metadata.json"
    schema = tmp_path / "schema.json"  # where one is, MONAI downloads none
    schema.write_text(json.dumps(SCHEMA))
    monai.bundle.verify_metadata(meta_file=str(written), filepath=str(schema))
    metadata = json.loads(written.read_text())
    schema.write_text(json.dumps({**SCHEMA, "required": ["what nobody wrote"]}))
    with pytest.raises(ValueError, match=r"(?i)failed validating"):
        monai.bundle.verify_metadata(meta_file=str(written), filepath=str(schema))
    assert metadata["authors"] == "A. Author"
    image = metadata["network_data_format"]["inputs"]["image"]
    np.testing.assert_allclose(image["value_range"], [-0.4 / 0.3, 0.6 / 0.3])
    assert list(metadata["network_data_format"]["outputs"]["pred"]["channel_def"].values()) == list(
        CLASSES
    )


@pytest.mark.parametrize("views", [1, 4])
def test_metadata_say_where_the_network_does_not_answer_as_its_classifier(
    views: int, tmp_path: Path
) -> None:
    model = classifier()
    model.facts["test_views"] = views
    metadata = export_monai(model, tmp_path / "bundle", card="", about=ABOUT)
    assert ("averages 4 views" in metadata["description"]) == (views == 4)


def test_monai_verifies_the_networks_input_and_output(bundle: Path) -> None:
    monai.bundle.verify_net_in_out(
        net_id="network_def",
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=str(bundle / "configs" / "inference.json"),
        device="cpu",
    )


def test_monai_reads_images_as_training_did_and_gives_our_probabilities(
    bundle: Path, model: Classifier, tmp_path: Path
) -> None:
    draw = np.random.default_rng(0)
    for number, shape in enumerate([(40, 30), (32, 32), (20, 50)]):
        pixels = draw.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    workflow = ConfigWorkflow(
        workflow_type="infer",
        config_file=str(bundle / "configs" / "inference.json"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        bundle_root=str(bundle),
        dataset_dir=str(tmp_path),
        output_dir=str(tmp_path / "eval"),
        device="cpu",
    )
    workflow.initialize()
    assert workflow.check_properties() in (None, [])
    workflow.run()
    workflow.finalize()
    with (tmp_path / "eval" / "predictions.csv").open() as stream:
        found = {Path(name).name: list(map(float, own)) for name, *own in csv.reader(stream)}
    files = sorted(tmp_path.glob("*.png"))
    stored = np.stack(
        [letterbox(read_slice(file, reader=model.reader).pixels, 32) for file in files]
    )
    logits = model.logits(stored).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert [file.name for file in files] == sorted(found)
    np.testing.assert_allclose([found[file.name] for file in files], expected, atol=1e-5)


def test_licences_are_stated_or_said_to_be_missing(bundle: Path) -> None:
    assert "apache-2.0" in (bundle / "LICENSE").read_text()
    assert "No licence of the images" in (bundle / "docs" / "data_license.txt").read_text()


def test_an_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match="give a classifier"):
        export_monai(trained(), tmp_path / "bundle", card="", about={})
