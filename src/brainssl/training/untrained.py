"""An encoder that has learnt nothing, as a control."""

from brainssl.data.dataset import Data
from brainssl.hardware.device import device_of
from brainssl.models.encoder import Encoder, build_encoder
from brainssl.settings import Settings
from brainssl.settings.starts import RANDOM
from brainssl.training.batchnorm import estimate_statistics
from brainssl.training.starting import refuse_seen_start


def untrained_encoder(data: Data, settings: Settings, seed: int) -> Encoder:
    """Return an encoder with its initial weights, fit to be measured.

    Drawn weights come with BatchNorm statistics of 0 and 1, under which an encoder is a poorer one
    than its weights make it: a floor too low. So they are estimated on the images that pretraining
    may see, without learning. Weights that were trained keep theirs.

    Args:
        data: store and split; of the images only those of `Split.pretraining` are looked at.
        settings: which encoder, and where to compute.
        seed: of the weights.
    """
    encoder = build_encoder(**settings.encoder.model_dump(), seed=seed)
    refuse_seen_start(encoder, data.store, data.split)
    if settings.encoder.weights == RANDOM:
        rows = data.split.pretraining(data.store.manifest)
        estimate_statistics(encoder.to(device_of(settings.run)), data.store.images, rows)
    return encoder
