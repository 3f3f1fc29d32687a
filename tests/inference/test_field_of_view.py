"""A field of view from the archive to the answer: kept by stores and models, never mixed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles.cheng_files import write_cheng
from oracles.heads import SHAPE, head, save
from oracles.nifti_volumes import without_place
from oracles.pictures import picture
from safetensors import safe_open
from torch import nn

import brainssl
from brainssl.data.archives.reading import Reading
from brainssl.data.balance import balance
from brainssl.data.dataset import Data
from brainssl.data.field_of_view import HEAD_CUT
from brainssl.data.normalisation import READER
from brainssl.data.prepare import prepare
from brainssl.data.scan import scan
from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.explanation.folder import Request, choose_slices
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.inference.monai_bundle import export_monai
from brainssl.inference.saliency import saliency_map
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder

MM = 170.0


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two heads of one size in other pixels, and one of which nothing says how large it is."""
    root = tmp_path_factory.mktemp("archive")
    fine = tuple(2 * count for count in SHAPE[1:])
    save(root / "Glioma" / "sub-1" / "t1.nii.gz", head(1))
    save(root / "Normal" / "sub-2" / "t1.nii.gz", head(2, (SHAPE[0], *fine)), (6.0, 2.5, 2.5))
    without_place(save(root / "Normal" / "sub-3" / "t1.nii", head(3), (1.0, 1.0, 1.0)))
    return root


@pytest.fixture(scope="module")
def store(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    out = tmp_path_factory.mktemp("store") / "cropped"
    answer = brainssl.prepare(archive, out, field_of_view=MM, slices=6, size=32, quiet=True)
    assert answer["field_of_view"] == MM
    return ImageStore.open(out)


@pytest.fixture(scope="module")
def saved(store: ImageStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    torch.manual_seed(0)
    facts = {"seed": 0} | Data(store, make_split(store.manifest, protocol="image")).facts()
    folder = tmp_path_factory.mktemp("classifier")
    Classifier(encoder, nn.Linear(encoder.dim, 2), ("Glioma", "Normal"), facts).save(
        folder / "classifier.safetensors"
    )
    return folder


def test_a_store_keeps_it_and_says_what_it_left_out(store: ImageStore, archive: Path) -> None:
    told = json.loads((store.path / "store.json").read_text())
    assert (told["version"], told["field_of_view"]) == (3, MM)
    [(name, why)] = store.facts["unreadable"]
    assert "sub-3" in name
    assert why.startswith("nothing says how large its pixels are")
    assert any(f"to a square of {MM:g} mm" in note for note in store.facts["notes"])
    assert not any(HEAD_CUT in note for note in store.facts["notes"])
    # Both heads are ellipsoids of 160 × 144 mm, whose random stretch is some per cent.
    spans = {}
    for patient, own in store.manifest.groupby("patient"):
        images = np.asarray(store.images[own.index])
        spans[patient] = [int((images.max((0, axis)) > 60).sum()) for axis in (2, 1)]
    for tall, wide in spans.values():
        assert abs(tall - 160 / MM * 32) <= 4
        assert abs(wide - 144 / MM * 32) <= 4


def test_what_is_cut_off_is_told(archive: Path) -> None:
    found = scan(archive, reading=Reading(field_of_view=120.0))
    assert any("The head of 2 of 2 volumes is larger than that" in note for note in found.notes)
    assert found.manifest["flags"].str.contains(HEAD_CUT).all()


def test_models_say_it_and_older_versions_refuse_them(store: ImageStore, saved: Path) -> None:
    classifier = Classifier.load(saved)
    assert classifier.field_of_view == MM
    with safe_open(saved / "classifier.safetensors", framework="pt") as opened:
        assert opened.metadata()["version"] == "7"
    plain = replace(store, facts={"reader": store.reader})
    assert "field_of_view" not in Data(plain, make_split(plain.manifest, protocol="image")).facts()
    assert plain.field_of_view is None
    store.require_field_of_view(MM)
    with pytest.raises(BrainsslError, match=r"slices of 170 mm.*whole slices.*without --field"):
        store.require_field_of_view(None)
    with pytest.raises(BrainsslError, match="prepare a store with --field-of-view 170"):
        plain.require_field_of_view(MM)


def test_copies_that_balance_classes_have_it_too(store: ImageStore, tmp_path: Path) -> None:
    made = balance(store, tmp_path / "even", augment=lambda images, _: images)
    assert made.field_of_view == MM


def test_predictions_are_of_the_pixels_of_the_store(
    store: ImageStore, saved: Path, archive: Path
) -> None:
    answer = brainssl.predict(saved, archive, slices="6")
    rows = {row["file"]: row for row in answer["predictions"]}
    classifier = Classifier.load(saved)
    paths = store.manifest["path"].tolist()
    logits = classifier.logits(store.images).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    got = np.array([list(rows[path]["softmax"].values()) for path in paths])
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    [refused] = [row for name, row in rows.items() if "sub-3" in name]
    assert "nothing says how large its pixels are" in refused["error"]
    assert any(f"to a square of {MM:g} mm" in note for note in answer["notes"])


def test_pictures_are_refused_wherever_they_come_in(
    saved: Path, archive: Path, store: ImageStore, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "x.png").write_bytes(picture(0))
    [row] = brainssl.predict(saved, pictures / "x.png")["predictions"]
    assert row["error"].startswith(f"{pictures / 'x.png'} is a picture, which says nothing of")
    assert "label" not in row
    with pytest.raises(BrainsslError, match="a picture says nothing of millimetres"):
        saliency_map(saved, pictures / "x.png")
    with pytest.raises(BrainsslError, match="a picture says nothing of millimetres"):
        export_monai(Classifier.load(saved), tmp_path / "bundle", card="", about={})
    with pytest.raises(BadUseError, match=r"^--field-of-view is of volumes, and .* holds pictures"):
        brainssl.prepare(pictures, tmp_path / "no", field_of_view=MM, quiet=True)
    with pytest.raises(BrainsslError, match="pictures holds pictures, which say nothing of"):
        brainssl.prepare(
            archive, tmp_path / "no", field_of_view=MM, unlabelled=pictures, quiet=True
        )
    found = scan(archive, reading=Reading(field_of_view=MM))
    found.origins = [replace(found.origins[0], field_of_view=None), *found.origins[1:]]  # type: ignore[type-var]
    with pytest.raises(BrainsslError, match="some images have a field of view"):
        prepare(found, tmp_path / "mixed", size=32)
    data = Data(store, make_split(store.manifest, protocol="image"))
    with pytest.raises(BrainsslError, match="is of whole slices"):
        choose_slices(data, Request(lesions=tmp_path))
    assert not (tmp_path / "no").exists()


def test_a_collection_without_millimetres_is_refused_at_once(tmp_path: Path) -> None:
    write_cheng(tmp_path / "in" / "1.mat", head(1)[12].astype(np.int16))
    with pytest.raises(BrainsslError, match=r"of none of its volumes .* leave out --field-of-view"):
        scan(tmp_path / "in", reading=Reading(field_of_view=MM))


@pytest.mark.parametrize("mm", [9.9, 1001, float("nan"), True, "wide"])
def test_what_is_no_field_of_view_is_refused(mm: float, archive: Path, tmp_path: Path) -> None:
    with pytest.raises(BadUseError, match=r"^--field-of-view: "):
        brainssl.prepare(archive, tmp_path / "no", field_of_view=mm, quiet=True)


def test_another_collection_is_seen_as_the_classifier_learnt(
    saved: Path, archive: Path, tmp_path: Path
) -> None:
    brainssl.external(saved, archive, out=tmp_path / "elsewhere", slices=3, quiet=True)
    made = ImageStore.open(tmp_path / "elsewhere" / "store")
    assert made.field_of_view == MM
    whole = tmp_path / "whole"
    brainssl.prepare(archive, whole, slices=3, size=32, quiet=True)
    with pytest.raises(BrainsslError, match="prepare a store with --field-of-view 170"):
        brainssl.external(saved, whole, out=tmp_path / "other", quiet=True)
    assert ImageStore.open(whole).facts["reader"] == READER
