"""The seam: what the service learns of a classifier."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles.pictures import picture
from torch import nn

from brainssl.data.read import UnreadableImage
from brainssl.foundation.errors import BrainsslError
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder
from brainssl.serving.engine import Engine, read_upload


def test_no_folder_of_the_training_is_told(engine: Engine) -> None:
    engine = Engine(engine.classifier)
    own = engine.classifier.facts
    try:
        engine.classifier.facts = {
            "a": "/home/x/y.csv",
            "b": ["C:\\x\\y", 3, None],
            "c": {"d": "x/y"},
            "e": 0.5,
        }
        assert engine.facts == {"a": "y.csv", "b": ["y", 3, None], "c": {"d": "y"}, "e": 0.5}
    finally:
        engine.classifier.facts = own


def test_answers_are_those_of_the_classifier_and_shares_their_softmax(engine: Engine) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)
    seen = engine.seen(images)
    np.testing.assert_array_equal(seen[:, :3], engine.classifier.logits(images))
    answers = engine.answers(images, seen)
    for one, logits in zip(answers, seen[:, :3], strict=True):
        expected = torch.from_numpy(logits).double().softmax(0).numpy()
        assert list(one["softmax"]) == list(engine.classes)
        np.testing.assert_allclose(list(one["softmax"].values()), expected, atol=1e-12)
    assert engine.knows == dict.fromkeys(
        ("calibration", "conformal", "familiarity", "neighbours"), False
    )
    assert "earlier version" in engine.caveats[-1]


@pytest.mark.parametrize("name", ["test_resnet", "vit_tiny_patch16_224"])
def test_maps_that_are_named_can_be_made_and_no_other(name: str) -> None:
    encoder = build_encoder(name, image_size=32, seed=0)
    engine = Engine(Classifier(encoder, nn.Linear(encoder.dim, 2), ("a", "b"), {}).eval())
    image = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    for kind in ("gradcam", "gradcampp", "eigencam", "layercam", "rollout"):
        if kind in engine.methods:
            assert engine.explain(image, kind, "b").label == "b"
        else:
            with pytest.raises(BrainsslError):
                engine.explain(image, kind, "b")


def test_limits_of_a_file_are_those_that_are_given() -> None:
    given = {"reader": 2, "size": 32}
    data = picture(0)
    [seen] = read_upload(data, ".jpg", **given, max_bytes=len(data), max_pixels=1200)
    assert seen.flags == ("suffix differs",)
    with pytest.raises(UnreadableImage, match="bytes"):
        read_upload(data, "", **given, max_bytes=len(data) - 1, max_pixels=1200)
    with pytest.raises(UnreadableImage, match="pixels"):
        read_upload(data, "", **given, max_bytes=len(data), max_pixels=1199)


def test_a_classifier_that_there_is_not_is_told(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match="classifier"):
        Engine.load(tmp_path)


@pytest.mark.thorough
def test_threads_of_the_network_begin_where_it_computes(tuned: Path) -> None:
    """Those of a team that nobody uses would cost each layer its sleep."""
    script = (
        "import sys, psutil; from pathlib import Path\n"
        "from brainssl.serving.engine import Engine\n"
        "import brainssl.models.classifier, brainssl.inference.judgement, torch\n"
        "before = psutil.Process().num_threads(); engine = Engine.load(Path(sys.argv[1]))\n"
        "after = psutil.Process().num_threads(); engine.warm()\n"
        "print(after - before, psutil.Process().num_threads() - after, torch.get_num_threads())"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, str(tuned)],
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["0", "1", "2"]
