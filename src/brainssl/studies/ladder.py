"""The ladder of a budget: sensible studies, each larger than the one before."""

from dataclasses import dataclass
from typing import Any

from brainssl.data.shots import LabelFraction
from brainssl.studies.workload import Images

_MOST_PRETRAINING, _MOST_TRAINING = 200, 60  # epochs; more bring little


@dataclass(frozen=True)
class Rung:
    """A study whose parts fit together.

    Attributes:
        encoder: name of the network.
        image_size: in pixels.
        pretraining: images that a pretraining goes through, over all its epochs.
        training: images that a fine-tuning and a supervised training with all labels go through.
        label_fractions: shares of the training labels, or shots.
        trainings: of everything; more than one are folds, or seeds where one split was asked for.
        explained: test slices that show where a classifier looks.
        head_factor: how many times faster than the encoder a new classifier learns. Within few
            steps a fast one only grows sure of itself, by the validation loss of short trainings
            on the phantom.
    """

    encoder: str
    image_size: int
    pretraining: int
    training: int
    label_fractions: tuple[LabelFraction, ...]
    trainings: int
    explained: int
    head_factor: float = 10.0

    def overrides(self, images: Images) -> dict[str, Any]:
        """Return the settings that it stands for, on so many images."""
        pretraining = _epochs(self.pretraining, images.train + images.unlabelled, _MOST_PRETRAINING)
        training = _epochs(self.training, images.train, _MOST_TRAINING)
        return {
            "encoder.name": self.encoder,
            "encoder.image_size": self.image_size,
            "pretrain.epochs": pretraining,
            "pretrain.warmup_epochs": round(min(2.0, pretraining / 10), 2),
            "finetune.epochs": training,
            "finetune.head_factor": self.head_factor,
            "finetune.warmup_epochs": round(min(1.0, training / 10), 2),
            "finetune.patience": training,
        }


_ALL, _TWO = (1.0,), (0.1, 1.0)

# The foot was settled on validation slices of other simulated patients, which it learns to tell
# apart better than by their most frequent class; below it nothing was tried. The last has the
# encoder and the image size of the study.
LADDER = (
    Rung("resnet10t", 32, 5_000, 6_000, _ALL, 1, 6, 1.0),
    Rung("resnet10t", 32, 8_000, 9_000, _ALL, 1, 6, 1.0),
    Rung("resnet10t", 48, 6_000, 10_000, _ALL, 1, 6, 1.0),
    Rung("resnet10t", 48, 10_000, 12_000, _ALL, 1, 8, 1.0),
    Rung("resnet10t", 48, 16_000, 16_000, _ALL, 1, 12, 1.0),
    Rung("resnet10t", 48, 20_000, 16_000, _TWO, 1, 16, 1.0),
    Rung("resnet10t", 48, 40_000, 20_000, _TWO, 1, 20, 1.0),
    Rung("resnet10t", 64, 60_000, 30_000, _TWO, 1, 24),
    Rung("resnet18", 64, 80_000, 40_000, _TWO, 1, 32),
    Rung("resnet18", 64, 120_000, 60_000, _TWO, 3, 40),
    Rung("resnet18", 96, 240_000, 80_000, _TWO, 3, 40),
    Rung("resnet18", 128, 400_000, 120_000, _TWO, 5, 40),
    Rung("resnet50", 224, 400_000, 160_000, _TWO, 5, 40),
)
SMALLEST = LADDER[0].encoder, LADDER[0].image_size


def _epochs(seen: int, images: float, most: int) -> int:
    return max(1, min(most, round(seen / max(1.0, images))))
