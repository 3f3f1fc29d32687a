"""What a classifier is told of itself when it is saved."""

import numpy as np
from torch import nn

from brainssl.evaluation.predictions import Predictions
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder
from brainssl.training.limits import _untaught

CLASSES = ("Glioma", "Meningioma", "Normal")


def said(labels: list[int]) -> Predictions:
    return Predictions.build(
        image_ids=[f"{at:016x}" for at in range(len(labels))],
        groups=np.arange(len(labels)),
        splits=["train"] * len(labels),
        labels=np.array(labels),
        logits=np.zeros((len(labels), 3), np.float32),
        classes=CLASSES,
    )


def test_classes_without_a_training_image_are_named() -> None:
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    classifier = Classifier(encoder, nn.Linear(encoder.dim, 3), CLASSES, {})
    assert _untaught(classifier, said([0, 1, 2, 2])) is None
    told = _untaught(classifier, said([1, 1]))
    assert told == "It cannot recognise Glioma, Normal: no training image was of that class."
