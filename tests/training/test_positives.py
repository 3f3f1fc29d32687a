"""Positive pairs: partners are of one pool, of the pretraining, and of its seed and step alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles.gratings import all_of, small_settings
from oracles.some_often import some_often
from safetensors.torch import load_file

from brainssl.data.label_fractions import label_subset
from brainssl.data.sequence import sequence_of
from brainssl.data.split import Split, make_split
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.methods import METHODS, gathering
from brainssl.methods.byol import BYOL
from brainssl.methods.dino import DINO
from brainssl.training.positives import Partners
from brainssl.training.pretrain import pretrain

Row = tuple[str | None, int, str | None]
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["anna", "ben", "carl", None]),
        st.integers(0, 3),
        st.sampled_from(["T1", "T2", None]),
    ),
    min_size=2,
    max_size=30,
)


def manifest_of(rows: list[Row]) -> pd.DataFrame:
    columns = [pd.Series(column, dtype=object) for column in zip(*rows, strict=True)]
    named = dict(zip(("patient", "group", "sequence"), columns, strict=True))
    return pd.DataFrame(named | {"label": None}).astype({"group": np.int64})


def may_pair(one: Row, other: Row, positives: str) -> bool:
    same = one[0] == other[0] is not None if positives == "patient" else one[1] == other[1]
    return same and one[2] == other[2]


def drawn(partners: Partners, batch: np.ndarray, step: int = 0, seed: int = 0) -> np.ndarray:
    return partners.draw(torch.from_numpy(batch), seed=seed, step=step).numpy()


@given(ROWS, st.sampled_from(["patient", "group"]), st.randoms())
def test_partners_are_other_images_that_may_pair(rows: list[Row], positives: Any, r: Any) -> None:
    """Each such image is drawn sooner or later; who has none is paired with itself."""
    manifest = manifest_of(rows)
    seen = np.sort(r.sample(range(len(rows)), r.randint(1, len(rows)))).astype(np.int64)
    if positives == "patient" and all(rows[row][0] is None for row in seen):
        with pytest.raises(BrainsslError, match=r"patients\.csv .*positives to group$"):
            Partners.of(manifest, seen, positives)
        return
    partners = Partners.of(manifest, seen, positives)
    allowed = {
        row: {k for k in seen if k != row and may_pair(rows[row], rows[k], positives)} or {row}
        for row in seen
    }
    found: dict[int, set[int]] = {row: set() for row in seen}
    for step in range(400):
        for row, partner in zip(seen, drawn(partners, seen, step), strict=True):
            found[row].add(partner)
    for row in seen:
        assert found[row] <= allowed[row]
        # 400 draws miss one of 29 with a chance of 1e-6; one of 10 never.
        assert found[row] == allowed[row] or len(allowed[row]) > 10
    assert partners.paired == sum(allowed[row] != {row} for row in seen)
    pool = partners.pool.numpy()
    for row in seen:
        same = {k for k in range(len(rows)) if pool[k] == pool[row]}
        assert same == {row} | (allowed[row] - {row})


LABELS = ["Glioma T1", "Glioma T2", "Normal T1", "Normal", None]


def as_scanned(labels: list[str | None]) -> pd.DataFrame:
    """Images of two patients, with sequences as a scan takes them from the names of classes."""
    rows = [("anna" if at % 3 else "ben", 0, sequence_of(name)) for at, name in enumerate(labels)]
    return manifest_of(rows).assign(label=pd.Series(labels, dtype=object))


@given(*[st.lists(st.sampled_from(LABELS), min_size=6, max_size=6)] * 2)
def test_labels_make_no_pool(labels: list[str | None], others: list[str | None]) -> None:
    """Images are in the same pools whatever their labels, where classes tell the sequence."""
    one, other = (
        Partners.of(as_scanned(["Normal T1", *own]), np.arange(7), "patient").pool
        for own in (labels, others)
    )
    assert one.tolist() == other.tolist() == [0, 1, 1, 0, 1, 1, 0]


def test_all_others_are_drawn_equally_often() -> None:
    partners = Partners.of(manifest_of([("anna", 0, "T1")] * 5), np.arange(5), "patient")
    first = np.array([drawn(partners, np.arange(5), step)[0] for step in range(2000)])
    assert np.bincount(first, minlength=5)[1:] == pytest.approx(500, rel=0.2)


def test_partners_share_the_class_that_is_learnt_from() -> None:
    manifest, classes = manifest_of([("anna", 0, "T1")] * 6), np.array([0, 0, 1, 1, -1, -1])
    partners = Partners.of(manifest, np.arange(6), "patient", classes=classes)
    assert drawn(partners, np.arange(6)).tolist() == [1, 0, 3, 2, 5, 4]


def test_what_is_drawn_is_of_seed_and_step() -> None:
    partners = Partners.of(manifest_of([("anna", 0, "T1")] * 40), np.arange(40), "group")
    batch = np.arange(40)
    one = drawn(partners, batch, 3).tolist()
    assert drawn(partners, batch, 3).tolist() == one
    assert drawn(partners, batch, 4).tolist() != one
    assert drawn(partners, batch, 3, seed=1).tolist() != one


def test_processes_draw_what_one_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    partners = Partners.of(manifest_of([("anna", 0, "T1")] * 12), np.arange(12), "group")
    joint = np.random.default_rng(0).permutation(12)
    whole = drawn(partners, joint, 5).tolist()
    monkeypatch.setattr(gathering, "ranks", lambda: 2)
    monkeypatch.setattr("brainssl.training.positives.ranks", lambda: 2)
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        shares += drawn(partners, joint[6 * rank : 6 * rank + 6], 5).tolist()
    assert shares == whole


def run(
    store: ImageStore, out: Path, *overrides: str, split: Split | None = None, **options: Any
) -> Path:
    settings = small_settings("pretrain.epochs=2", "pretrain.batch_size=20", *overrides)
    options = {"method": "simclr", "settings": settings, "seed": 3} | options
    pretrain(store, split or all_of(store), out, **options)
    return out


def assert_same(one: Path, two: Path) -> None:
    a, b = (load_file(each / "encoder.safetensors") for each in (one, two))
    assert all(torch.equal(a[name], b[name]) for name in a)


def assert_other(one: Path, two: Path) -> None:
    a, b = (load_file(each / "encoder.safetensors") for each in (one, two))
    assert not all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("method", some_often(METHODS, ("mocov3", "dino")))
def test_every_method_resumes_with_the_same_bits(
    method: str, shared_store: ImageStore, tmp_path: Path
) -> None:
    told: list[str] = []
    how = ("pretrain.positives=patient",)
    whole = run(shared_store, tmp_path / "whole", *how, method=method, say=told.append)
    assert any(line.startswith("pretrain.positives: ") for line in told)

    def kill(done: int, _total: int) -> None:
        if done == 4:  # in the second epoch of three steps
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(shared_store, tmp_path / "run", *how, method=method, resume=True, progress=kill)
    assert_same(whole, run(shared_store, tmp_path / "run", *how, method=method, resume=True))


def test_pairs_of_one_image_are_what_they_were(shared_store: ImageStore, tmp_path: Path) -> None:
    """Where everybody is alone in a pool, nothing differs to the bit from no pools at all."""
    alone = shared_store.manifest.assign(group=np.arange(60))
    lonely = ImageStore(
        shared_store.path, shared_store.images, alone, shared_store.checksum, shared_store.facts
    )
    plain = run(shared_store, tmp_path / "plain")
    assert_same(plain, run(lonely, tmp_path / "alone", "pretrain.positives=group"))
    assert_other(plain, run(shared_store, tmp_path / "pairs", "pretrain.positives=group"))


def views_seen(
    method: Any, monkeypatch: pytest.MonkeyPatch, train: Callable[[], object]
) -> list[np.ndarray]:
    """Return the grey value of each view where all pixels of an image are its row number."""
    seen: list[np.ndarray] = []
    loss = method.loss

    def watch(self: Any, views: list[torch.Tensor]) -> torch.Tensor:
        middles = [view[:, 0, view.shape[2] // 2, view.shape[3] // 2] for view in views]
        seen.append(torch.stack(middles).mul(255).round().int().numpy())
        return loss(self, views)

    monkeypatch.setattr(method, "loss", watch)
    train()
    return seen


@pytest.mark.parametrize(("name", "method"), [("byol", BYOL), ("dino", DINO)])
def test_views_take_turns_and_no_image_outside_of_the_pretraining_is_seen(
    name: str,
    method: Any,
    shared_store: ImageStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of DINO's crops each pair, global and local, is of both slices."""
    images = np.broadcast_to(np.arange(60, dtype=np.uint8)[:, None, None], (60, 32, 32)).copy()
    families = shared_store.manifest["label"].str.split().str[0]
    flat = ImageStore(
        shared_store.path, images, shared_store.manifest.assign(label=families), "", {}
    )
    split = make_split(flat.manifest, val_fraction=0.2, test_fraction=0.2, protocol="image")
    plain = [f"views.{key}" for key in ("jitter=0.0", "blur=0.0", "noise=0.0", "rotation=0.0")]
    kept = ("views.crop_area=[1.0, 1.0]", "views.crop_ratio=[1.0, 1.0]", *plain)
    own = (*kept, "dino.local_area=[0.9, 0.9]", "pretrain.positives=patient")
    seen = views_seen(
        method,
        monkeypatch,
        lambda: run(flat, tmp_path / "run", *own, method=name, split=split),
    )
    pretrained = set(split.pretraining(flat.manifest).tolist())
    pairs = np.concatenate(seen, axis=1)
    assert set(pairs.ravel().tolist()) <= pretrained
    for turn, rows in enumerate(pairs):
        np.testing.assert_array_equal(rows, pairs[turn % 2])
    patient = flat.manifest["patient"].to_numpy()
    sequence = flat.manifest["sequence"].fillna("").to_numpy()
    one, other = pairs[:2]
    assert (patient[one] == patient[other]).all()
    assert (sequence[one] == sequence[other]).all()
    assert (one != other).any()


def test_unknown_patients_are_told_before_anything_is_made(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    nobody = shared_store.manifest.assign(patient=None)
    store = ImageStore(shared_store.path, shared_store.images, nobody, "", {})
    with pytest.raises(BrainsslError, match=r"pretrain\.positives is patient.*positives to group"):
        run(store, tmp_path / "run", "pretrain.positives=patient")
    assert list(tmp_path.iterdir()) == []


def test_no_label_changes_a_weight_where_none_is_learnt_from(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    """Nor does the sequence that a label names; this is said."""
    told: list[str] = []
    how = "pretrain.positives=patient"
    whole = run(shared_store, tmp_path / "whole", how, say=told.append)
    assert [line for line in told if "sequences are those of the labels" in line]
    turned = shared_store.manifest.assign(
        **{name: shared_store.manifest[name].to_numpy()[::-1] for name in ("label", "sequence")}
    )
    other = ImageStore(shared_store.path, shared_store.images, turned, "", {})
    assert_same(whole, run(other, tmp_path / "turned", how, split=all_of(shared_store)))


def test_no_label_but_those_of_the_fraction_changes_a_weight(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    """Validation and test labels are others, and then one of the training."""
    split = make_split(shared_store.manifest, val_fraction=0.2, test_fraction=0.2)
    used = {"method": "supcon", "split": split, "label_fraction": 0.3}

    def relabelled(*ids: str) -> ImageStore:
        manifest = shared_store.manifest.copy()
        changed = manifest["image_id"].isin(ids) & manifest["label"].notna()
        manifest.loc[changed, "label"] = "Unheard of T2"
        return ImageStore(shared_store.path, shared_store.images, manifest, "", {})

    whole = run(relabelled(), tmp_path / "whole", **used)
    kept = shared_store.manifest["image_id"].iloc[
        label_subset(shared_store.manifest, split, 0.3, seed=3)
    ]
    assert 0 < len(kept) < len(split.train)
    strange = run(relabelled(*split.val, *split.test), tmp_path / "strange", **used)
    assert_same(whole, strange)
    assert_other(whole, run(relabelled(kept.iloc[0]), tmp_path / "other", **used))
    assert_other(whole, run(relabelled(), tmp_path / "more", **(used | {"label_fraction": 1.0})))


def test_a_fraction_of_no_use_is_refused(shared_store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match=r"simclr learns from no labels.*supcon"):
        run(shared_store, tmp_path / "run", label_fraction=0.5)
