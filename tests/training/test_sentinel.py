"""The sentinel in real pretrainings: quiet for what learns, and not for what is sabotaged."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles.gratings import all_of, small_settings, with_gratings
from oracles.some_often import some_often
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor
from torch.nn import functional

from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import working_folder
from brainssl.methods import METHODS
from brainssl.methods.byol import BYOL
from brainssl.models.encoder import load_encoder
from brainssl.settings import LABELLED_METHODS
from brainssl.training.collapse import SETTLED
from brainssl.training.pretrain import pretrain
from brainssl.training.sentinel import COLLAPSE, Watched
from brainssl.views.recipes import to_unit

EPOCHS, STEPS = 6, 10  # the fifth epoch is the first to be judged, the sixth may speak


class Sabotaged(BYOL):
    """Neither predictor nor stop-gradient nor teacher."""

    def loss(self, views: list[Tensor]) -> Tensor:
        first, second = (self.embed(view).float() for view in views)
        return 2 * (2 - 2 * functional.cosine_similarity(first, second, dim=1)).mean()


def watch(
    store: ImageStore, out: Path, method: str, *overrides: str, **options: Any
) -> list[dict[str, Any]]:
    """Pretrain on gratings; return the rows of the epochs that are judged, and check the file."""
    settings = small_settings(
        f"pretrain.epochs={EPOCHS}",
        f"pretrain.batch_size={len(store.images) // STEPS}",
        "pretrain.learning_rate=3e-3",
        "pretrain.warmup_epochs=0.5",
        "run.precision=32-true",
        *overrides,
    )
    pretrain(with_gratings(store), all_of(store), out, method=method, settings=settings, **options)
    return judged(out, method)


def judged(folder: Path, method: str) -> list[dict[str, Any]]:
    seen = json.loads((folder / COLLAPSE).read_text())
    assert seen["method"] == method
    assert [row["epoch"] for row in seen["epochs"]] == list(range(EPOCHS + 1))
    assert [row["step"] for row in seen["epochs"]] == list(range(0, EPOCHS * STEPS + 1, STEPS))
    return [row | {"verdict": seen["verdict"]} for row in seen["epochs"] if row["step"] >= SETTLED]


LEARNERS = some_often(
    [name for name in METHODS if name not in LABELLED_METHODS], ("simclr", "dino")
)


@pytest.mark.parametrize("method", LEARNERS)
def test_it_is_quiet_while_a_method_learns(
    method: str, shared_store: ImageStore, tmp_path: Path
) -> None:
    """And what it sees is far from what it would speak of."""
    said: list[str] = []
    rows = watch(shared_store, tmp_path / "run", method, stop_on_collapse=True, say=said.append)
    assert not [line for line in said if "warning" in line]
    assert len(rows) == 2
    for row in rows:
        assert row["verdict"] is None
        assert row["spread"] > 0.5
        assert row["similarity_gap"] > 0.1
        assert (row["teacher_information"] is not None) == (method == "dino")
        if method == "dino":
            assert row["teacher_information"] > 0.1
            assert np.exp(row["teacher_entropy"] + row["teacher_information"]) > 16
    # The loss has a sentinel of its own for what it cannot do without.
    assert rows[-1]["knn_accuracy"] is None, "there is no validation set"


def test_it_is_quiet_while_classes_are_learnt(shared_store: ImageStore, tmp_path: Path) -> None:
    """Of stripes whose width tells the class: the labels of gratings mean nothing."""
    waves = np.array([2, 5, 10])[shared_store.labels % 3]
    stripes = np.sin(2 * np.pi * waves[:, None, None] * np.arange(32) / 32)
    noise = np.random.default_rng(0).normal(0, 10, (60, 32, 32))
    images = np.clip(127 + 100 * stripes + noise, 0, 255).astype(np.uint8)
    settings = small_settings(
        f"pretrain.epochs={EPOCHS}",
        f"pretrain.batch_size={60 // STEPS}",
        "pretrain.learning_rate=3e-3",
        "run.precision=32-true",
    )
    out, store = tmp_path / "run", replace(shared_store, images=images)
    options = {"settings": settings, "stop_on_collapse": True}
    pretrain(store, all_of(store), out, method="supcon", **options)
    for row in judged(out, "supcon"):
        assert row["verdict"] is None
        assert row["similarity_gap"] > 0.1


def caught(store: ImageStore, out: Path, method: str, *overrides: str) -> dict[str, Any]:
    """Return the last row of a pretraining that is stopped for its collapse."""
    with pytest.raises(BrainsslError, match=f"^stopped, as asked: {method}: since epoch 5, "):
        watch(store, out, method, *overrides, stop_on_collapse=True)
    assert not out.exists()
    assert not (working_folder(out) / "encoder.safetensors").exists()
    return judged(working_folder(out), method)[-1]


def test_byol_without_predictor_and_stop_gradient_is_caught(
    shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "byol", Sabotaged)
    row = caught(shared_store, tmp_path / "run", "byol")
    assert "all images get nearly the same embedding" in row["verdict"]
    assert row["spread"] < 0.2


def test_dino_with_a_hot_teacher_is_caught(shared_store: ImageStore, tmp_path: Path) -> None:
    hot = ["dino.teacher_temperature=1.0", "dino.teacher_warmup_temperature=1.0"]
    row = caught(shared_store, tmp_path / "run", "dino", *hot)
    assert "the teacher is undecided about every image" in row["verdict"]
    assert row["teacher_information"] < 0.005
    assert row["teacher_entropy"] > 0.99 * np.log(row["answers"])


def test_dino_without_centring_is_caught_and_told_of_once(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    """Nobody asked to stop, so it goes on to the end."""
    said: list[str] = []
    row = watch(shared_store, tmp_path / "run", "dino", "dino.centre_momentum=1", say=said.append)[
        -1
    ]
    assert "the teacher gives nearly the same answer for every image" in row["verdict"]
    assert "lower dino.centre_momentum" in row["verdict"]
    assert np.exp(row["teacher_entropy"] + row["teacher_information"]) < 3
    assert [line for line in said if "warning" in line] == [f"warning: {row['verdict']}"]
    assert (tmp_path / "run" / "encoder.safetensors").is_file()


def test_loggers_get_what_the_file_gets_after_each_epoch(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    split = make_split(shared_store.manifest, val_fraction=0.2, test_fraction=0.2)
    run: dict[str, Any] = {"settings": small_settings("pretrain.epochs=2"), "method": "dino"}
    pretrain(shared_store, split, tmp_path / "run", loggers=["tensorboard"], **run)
    rows = json.loads((tmp_path / "run" / COLLAPSE).read_text())["epochs"][1:]
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    logged = {tag for tag in events.Tags()["scalars"] if tag.startswith("watch/")}
    assert logged == {f"watch/{name}" for name in rows[0]}
    assert {"watch/knn_accuracy", "watch/teacher_information"} <= logged
    for name in rows[0]:
        values = [event.value for event in events.Scalars(f"watch/{name}")]
        assert values == pytest.approx([row[name] for row in rows], rel=1e-6, abs=1e-9), name


def test_the_test_set_is_not_looked_at(shared_store: ImageStore) -> None:
    split = make_split(shared_store.manifest, val_fraction=0.2, test_fraction=0.2)
    parts = {
        part: set(split.indices(shared_store.manifest, part)) for part in ("train", "val", "test")
    }
    watched = Watched.of(shared_store, split, images=256, seed=0)
    assert set(watched.rows) == set(split.pretraining(shared_store.manifest))
    assert parts["train"] < set(watched.rows), "the unlabelled images are missing"
    assert [set(rows) for rows in watched.labelled] == [parts["train"], parts["val"]]
    assert not parts["test"] & {*watched.rows, *watched.labelled[0], *watched.labelled[1]}


def test_no_more_images_are_looked_at_than_asked_for(shared_store: ImageStore) -> None:
    split = make_split(shared_store.manifest, val_fraction=0.2, test_fraction=0.2)
    few, same, other = (Watched.of(shared_store, split, images=9, seed=seed) for seed in (0, 0, 1))
    for rows in (few.rows, *few.labelled):
        assert len(rows) == len(set(rows)) == 9
    assert np.array_equal(few.rows, same.rows)
    assert not np.array_equal(few.rows, other.rows)


def test_the_fewest_images_that_may_be_watched_are_measured(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    """One image has no spread and no other to be told from: a healthy run would look broken."""
    said: list[str] = []
    settings = small_settings("pretrain.epochs=3", "pretrain.watch_images=2")
    split = make_split(shared_store.manifest, val_fraction=0.2, test_fraction=0.2)
    run: dict[str, Any] = {"settings": settings, "say": said.append}
    pretrain(shared_store, split, tmp_path / "run", method="simclr", **run)
    seen = json.loads((tmp_path / "run" / COLLAPSE).read_text())
    assert seen["verdict"] is None
    assert said == []
    for row in seen["epochs"]:
        assert None not in (row["spread"], row["similarity_gap"], row["effective_rank"])


def test_knn_accuracy_is_that_of_the_encoder_that_is_kept(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    """By scikit-learn on the saved encoder; DINO keeps its teacher's."""
    split = make_split(shared_store.manifest, val_fraction=0.3, test_fraction=0.2)
    settings = small_settings("pretrain.epochs=1", "run.precision=32-true")
    pretrain(shared_store, split, tmp_path / "run", method="dino", settings=settings)
    seen = json.loads((tmp_path / "run" / COLLAPSE).read_text())
    encoder = load_encoder(tmp_path / "run").eval()
    with torch.no_grad():
        features = encoder(to_unit(torch.from_numpy(shared_store.images))).numpy()
    train, val = (split.indices(shared_store.manifest, part) for part in ("train", "val"))
    labels = shared_store.labels
    assert seen["k"] == min(10, np.bincount(labels[train]).min())
    reference = KNeighborsClassifier(
        seen["k"], metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07)
    ).fit(features[train], labels[train])
    expected = reference.score(features[val], labels[val])
    assert seen["epochs"][-1]["knn_accuracy"] == pytest.approx(expected, abs=1e-6)
