"""Small, fast data that every test may use, and the way to `tests/oracles`.

Fixtures:
    image_folder: 24 PNG files of 20 x 24 px in class folders, beside no tables.
    store: an ImageStore of 60 images of 32 px in three classes.
    shared_folder, shared_store: the same, made once, for tests that only read.
    archives: simulated archives of whole series by format, made once, for tests that only read.
    hasty: speeds are measured in a moment, not in seconds; for tests that ask for no figure.
    float64: a test with it computes in float64 what is float32 elsewhere.
    two_ranks: what each of two processes got from `oracles.joint_batch`, and what they told.

All images are made of noise with a bright square whose place tells the class, so that a network can
learn them.
"""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from brainssl.data.prepare import write_store
from brainssl.data.store import ImageStore

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can import `oracles`

# On a busy machine an example may take long: no test is of its time. HYPOTHESIS_PROFILE=thorough
# draws as many examples as Hypothesis does by itself.
hypothesis.settings.register_profile(
    "thorough", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile(
    "busy", hypothesis.settings.get_profile("thorough"), max_examples=25
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "busy"))

# Where files share what is slow to make, one process gets them all; the longest begin first.
_TOGETHER = {
    "tests/reporting/": "reporting",
    "tests/methods/test_gathering.py": "two ranks",
    "tests/training/test_batchnorm.py": "two ranks",
    "tests/training/test_processes.py": "two ranks",
}
_LONGEST = ("tests/reporting/", "tests/studies/", "tests/training/", "tests/test_cli.py")
CLASSES = ("Glioma T1", "Glioma T2", "Normal T1")


def pytest_collection_finish() -> None:
    """Let the collector of garbage pass over what stays, which costs it most of its time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process has it left when others are done."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONGEST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each file to one process, so that what its tests share is made once."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return next((name for path, name in _TOGETHER.items() if file.startswith(path)), file)

    config.option.loadscopereorder = False
    return ByFile(config, log)


def picture(kind: int, generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Noise with a bright square in one of four quarters, uint8."""
    pixels = generator.integers(0, 120, (height, width), dtype=np.uint8)
    top, left = (kind // 2) * height // 2, (kind % 2) * width // 2
    pixels[top + 2 : top + height // 2 - 2, left + 2 : left + width // 2 - 2] += 100
    return pixels


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from oracles.simulated_archives import Archives

    return Archives(tmp_path_factory.mktemp("archives"))


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Class folders `Glioma T1`, `Glioma T2`, `Normal T1` with eight different grey PNGs each."""
    return make_image_folder(tmp_path)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same folder for every test: not to be written to."""
    return make_image_folder(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """A store of 60 images of 32 px: 54 labelled in three classes, 6 without label."""
    return make_store(tmp_path)


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    """The same store for every test: not to be written to."""
    return make_store(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimates are of this machine, but as rough as they may be."""
    monkeypatch.setattr("brainssl.hardware.speed._SECONDS", 0.02)


@pytest.fixture
def float64() -> Iterator[None]:
    """Compute as `oracles.float64` says."""
    from oracles.float64 import in_float64

    with in_float64():
        yield


@pytest.fixture(scope="session")
def two_ranks(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[list[dict[str, Any]], list[tuple[int, int]]]:
    """Results and notes of `oracles.joint_batch.everything`, run once: processes start slowly."""
    from oracles.fork_server import start_forked
    from oracles.joint_batch import everything

    from brainssl.training.processes import run_on_ranks

    folder, notes = tmp_path_factory.mktemp("ranks"), []
    told = {"note": lambda *values: notes.append(values)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("brainssl.training.processes.start_processes", start_forked)
        run_on_ranks(2, torch.device("cpu"), everything, (folder,), told)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)], notes


def make_image_folder(folder: Path) -> Path:
    """Write the class folders."""
    root = folder / "images of patients"
    generator = np.random.default_rng(0)
    for kind, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for number in range(8):
            pixels = picture(kind, generator, 24, 20)
            Image.fromarray(pixels).save(root / name / f"slice {number}.png")
    return root


def make_store(folder: Path) -> ImageStore:
    """Write the store.

    20 groups of 3 images. Most groups span two classes, and each unlabelled image shares its
    group with labelled ones, so that every shortcut across groups shows. No set is given.
    """
    generator = np.random.default_rng(0)
    group = np.repeat(np.arange(20), 3)
    kind = (group + np.tile([0, 0, 1], 20)) % 3
    unlabelled = np.zeros(60, bool)
    unlabelled[::10] = True
    labels = [None if blank else CLASSES[k] for k, blank in zip(kind, unlabelled, strict=True)]
    sequence = [None if label is None else label.split()[-1] for label in labels]
    manifest = pd.DataFrame(
        {
            "image_id": [f"{number:016x}" for number in range(60)],
            "path": [f"slice {number}.png" for number in range(60)],
            "label": pd.Series(labels, dtype=object),
            "sequence": pd.Series(sequence, dtype=object),
            "patient": [f"patient {number}" for number in group],
            "group": group.astype(np.int64),
            "width": np.full(60, 32, np.int64),
            "height": np.full(60, 32, np.int64),
            "source_bits": np.full(60, 8, np.int64),
            "flags": "",
            "given": pd.Series([None] * 60, dtype=object),
            "pixels": [f"{number:064x}" for number in range(60)],
        }
    )
    pictures = (picture(k, generator, 32, 32) for k in kind)
    return write_store(folder / "store", manifest, pictures, size=32, facts={})
