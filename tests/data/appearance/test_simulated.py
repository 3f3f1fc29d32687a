"""What simulated slices teach: a small table that is what its benchmark would write."""

from importlib import resources

import numpy as np

from brainssl.data.appearance import simulated
from brainssl.data.appearance.features import GREYS, WIDTH


def test_the_table_is_small_and_holds_both_models() -> None:
    file = resources.files("brainssl.data.appearance") / simulated.TABLE
    assert len(file.read_bytes()) < 200_000
    held = simulated.tables()
    assert held["sequence"].classes == ("T1", "T2")
    assert held["plane"].classes == ("axial", "coronal", "sagittal")
    assert held["sequence"].weights.shape == (2, GREYS.stop)
    assert held["plane"].weights.shape == (3, WIDTH)


def test_a_learnt_table_tells_its_own_slices() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(90, WIDTH)).astype(np.float32)
    sequences = ["T1", "T1C+", "T2"] * 30
    planes = ["axial"] * 30 + ["coronal"] * 30 + ["sagittal"] * 30
    features[:, 0] += [9 * (name == "T2") for name in sequences]
    features[:, -1] += np.repeat([0, 9, 18], 30)
    models = simulated.learnt(features, sequences, planes)
    found = models["sequence"].probabilities(features[:, GREYS]).argmax(axis=1)
    assert found.tolist() == [int(name == "T2") for name in sequences]
    seen = models["plane"].probabilities(features).argmax(axis=1)
    assert (seen == np.repeat([0, 1, 2], 30)).mean() > 0.95
