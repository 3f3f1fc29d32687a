"""Extra images: groups and splits stay, and copies of what is held are never pretrained on."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brainssl.data.extra import EXTRA, is_extra, read_extra, resembled_groups
from brainssl.data.folds import make_folds
from brainssl.data.prepare import prepare
from brainssl.data.scan import Scan, scan
from brainssl.data.split import Split, check_groups, make_split
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.simulation import simulate


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom of fourteen patients, whom nobody names: only pictures tell."""
    folder = tmp_path_factory.mktemp("phantom") / "phantom"
    simulate(folder, patients=14, size=64, seed=0)
    (folder / "patients.csv").unlink()
    return folder


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """Slices of other patients."""
    folder = tmp_path_factory.mktemp("strange") / "strange"
    simulate(folder, patients=3, size=64, seed=7)
    return [np.asarray(Image.open(file)) for file in sorted((folder / "images").rglob("*.png"))]


@pytest.fixture(scope="module")
def extra(
    source: Path, strange: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A changed copy of every image of the source, mirrored or brighter, and strangers."""
    folder = tmp_path_factory.mktemp("more") / "more"
    folder.mkdir()
    for number, file in enumerate(sorted((source / "images").rglob("*.png"))):
        pixels = np.asarray(Image.open(file))
        changes: list[Callable[[np.ndarray], np.ndarray]] = [np.fliplr, lambda p: p, brighter]
        Image.fromarray(changes[number % 3](pixels)).save(folder / f"copy {number:04d}.png")
    for number, pixels in enumerate(strange):
        Image.fromarray(pixels).save(folder / f"strange {number}.png")
    return folder


def brighter(pixels: np.ndarray) -> np.ndarray:
    return np.clip(pixels.astype(float) * 1.1, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def alone(source: Path) -> Scan:
    return scan(source)


@pytest.fixture(scope="module")
def found(source: Path, extra: Path) -> Scan:
    return scan(source, unlabelled=[extra])


def original_of(manifest: pd.DataFrame) -> dict[str, str]:
    """Return the id of the original of each copy, by the copy's id."""
    own = manifest[~is_extra(manifest)]
    copies = manifest[manifest["path"].str.contains("copy ")]
    return dict(zip(copies["image_id"], own["image_id"], strict=True))


def test_the_collection_is_scanned_as_without_them(alone: Scan, found: Scan) -> None:
    own = found.manifest[~is_extra(found.manifest)]
    pd.testing.assert_frame_equal(own[alone.manifest.columns], alone.manifest)
    assert own[EXTRA].isna().all()
    for name in ("left", "right", "similarity"):
        np.testing.assert_array_equal(getattr(found.pairs, name), getattr(alone.pairs, name))
    assert found.own.manifest.equals(own)
    assert [note for note in alone.notes if note not in found.notes] == []


def test_extra_images_have_no_label_and_ids_and_groups_of_their_own(found: Scan) -> None:
    manifest = found.manifest
    more = manifest[is_extra(manifest)]
    assert set(more[EXTRA]) == {"more"}
    assert more["label"].isna().all()
    assert more["given"].isna().all()
    assert more["path"].str.startswith("unlabelled:more/").all()
    assert manifest["image_id"].is_unique
    assert not set(more["group"]) & set(manifest["group"][~is_extra(manifest)])


def held(split: Split) -> set[str]:
    return {*split.val, *split.test}


@pytest.mark.parametrize("protocol", ["grouped", "image"])
def test_planted_copies_of_what_is_held_are_left_out(protocol: str, found: Scan) -> None:
    """In every fold. Of blank slices nothing is a copy, and nothing is given away."""
    manifest = found.manifest
    seeing = ~manifest["flags"].str.contains("blank")
    shown = set(manifest["image_id"][seeing])
    originals = original_of(manifest)
    folds = make_folds(manifest, folds=3, protocol=protocol)  # type: ignore[arg-type]
    lost = []
    for split in folds:
        seen = set(manifest["image_id"].iloc[split.pretraining(manifest)])
        out = held(split) & shown
        planted = {copy for copy, original in originals.items() if original in out}
        assert planted
        assert not planted & seen
        strangers = set(manifest["image_id"][manifest["path"].str.contains("strange ")])
        assert len(strangers & seen) > len(strangers) / 2
        counts = [len(set(manifest["image_id"][is_extra(manifest)]) - seen)]
        lost += counts
        said = f"Of {int(is_extra(manifest).sum())} extra images {counts[0]} are left out"
        assert [w for w in split.warnings if w.startswith(said)], split.warnings
    assert len(set(lost)) > 1  # each fold has its own


@pytest.mark.parametrize("protocol", ["grouped", "image"])
def test_splits_of_the_labelled_are_those_without_extra_images(
    protocol: str, alone: Scan, found: Scan
) -> None:
    for draw in (make_split, lambda m, **how: make_folds(m, folds=3, **how)[1]):
        one, other = (draw(each.manifest, protocol=protocol) for each in (alone, found))
        assert (one.train, one.val, one.test) == (other.train, other.val, other.test)


def test_a_split_that_lets_a_copy_through_is_refused(found: Scan) -> None:
    split = make_split(found.manifest)
    copy = next(c for c, o in original_of(found.manifest).items() if o in split.test)
    loose = Split(
        "grouped", 0, split.train, split.val, split.test, unlabelled=(*split.unlabelled, copy)
    )
    check_groups(found.manifest, split)
    with pytest.raises(BrainsslError, match="stand in train and in test"):
        check_groups(found.manifest, loose)


def test_slices_of_one_patient_are_kept_out_together(
    source: Path, alone: Scan, strange: list[np.ndarray], tmp_path: Path
) -> None:
    """One of them is a copy; the other, of no likeness to anything, is of the same person."""
    own = alone.manifest
    at = own.index[own["flags"] == ""][0]
    copied = alone.root / own["path"][at]
    more = tmp_path / "more"
    more.mkdir()
    Image.open(copied).save(more / "a.png")
    Image.fromarray(strange[0]).save(more / "b.png")
    Image.fromarray(strange[-1]).save(more / "c.png")
    (more / "patients.csv").write_text("path,patient\na.png,x\nb.png,x\nc.png,y\n")
    manifest = scan(source, unlabelled=[more]).manifest
    a, b, c = resembled_groups(manifest)[-3:]
    assert {own["group"][at]} <= a == b
    assert not a & c


@pytest.fixture(scope="module")
def halves(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The phantom in two: every other slice of each patient lies in an extra folder."""
    folder = tmp_path_factory.mktemp("halves")
    for number, file in enumerate(sorted((source / "images").rglob("*.png"))):
        part = "more" if number % 2 else "own"
        copy = folder / part / file.parent.name / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    return folder / "own", folder / "more"


def test_extra_images_are_held_by_the_rule_of_the_collection(
    source: Path, halves: tuple[Path, Path]
) -> None:
    """What shares a group where all are scanned as one collection resembles that group here."""
    manifest = scan(halves[0], unlabelled=[halves[1]]).manifest
    whole = scan(source / "images").manifest.groupby("pixels")["group"].unique().map(set)
    shared: dict[int, set[int]] = {}
    own = manifest[~is_extra(manifest)]
    for pixels, group in zip(own["pixels"], own["group"], strict=True):
        for number in whole[pixels]:
            shared.setdefault(number, set()).add(group)
    resembled = resembled_groups(manifest)
    held = 0
    for at in np.flatnonzero(is_extra(manifest) & ~manifest["flags"].str.contains("blank")):
        wanted = set().union(*(shared.get(n, set()) for n in whole[manifest["pixels"][at]]))
        assert wanted <= resembled[at]
        held += bool(wanted)
    assert held > 20


def test_extra_images_are_grouped_as_if_alone(halves: tuple[Path, Path], tmp_path: Path) -> None:
    """Also where the collection holds the same pictures, which hide no link between two of them."""
    for one in halves:
        alone = scan(halves[1]).manifest.set_index("path")
        beside = scan(
            one, unlabelled=[Path(shutil.copytree(halves[1], tmp_path / one.name))]
        ).manifest
        more = beside[is_extra(beside)]
        more = more.set_index(more["path"].str.removeprefix(f"unlabelled:{one.name}/"))
        assert len(more) == len(alone)
        pairs = set(zip(more["group"], alone["group"].reindex(more.index), strict=True))
        assert len(pairs) == more["group"].nunique() == alone["group"].nunique() < len(more)


def test_a_patient_of_the_same_name_is_the_same_patient(
    strange: list[np.ndarray], image_folder: Path, tmp_path: Path
) -> None:
    labels = ["path,label,patient"]
    for file in sorted(image_folder.rglob("*.png")):
        path = file.relative_to(image_folder).as_posix()
        labels.append(f"{path},{path.split('/')[0]},{path.split()[-1][:-4]}")
    (tmp_path / "labels.csv").write_text("\n".join(labels))
    more = tmp_path / "more"
    more.mkdir()
    Image.fromarray(strange[0]).save(more / "a.png")
    (more / "patients.csv").write_text("path,patient\na.png,3\n")
    manifest = scan(image_folder, labels=tmp_path / "labels.csv", unlabelled=[more]).manifest
    groups = set(manifest["group"][manifest["patient"].eq("3") & manifest[EXTRA].isna()])
    assert set(resembled_groups(manifest)[-1]) == groups != set()


def test_a_store_holds_their_pixels_and_says_that_they_are_extra(
    found: Scan, alone: Scan, tmp_path: Path
) -> None:
    prepare(found, tmp_path / "with", size=32)
    more = ImageStore.open(tmp_path / "with")
    less = prepare(alone, tmp_path / "without", size=32)
    np.testing.assert_array_equal(more.images[: len(less.images)], less.images)
    assert is_extra(more.manifest).tolist() == is_extra(found.manifest).tolist()
    assert resembled_groups(more.manifest) == resembled_groups(found.manifest)
    assert EXTRA not in less.manifest
    copy = more.manifest.index[more.manifest["path"] == "unlabelled:more/copy 0001.png"][0]
    np.testing.assert_array_equal(more.images[copy], more.images[1])  # unchanged, of the second
    assert any("images of more/ joined for pretraining alone" in n for n in more.facts["notes"])


def test_folders_of_no_use_are_refused(image_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "one" / "same").mkdir(parents=True)
    (tmp_path / "two" / "same").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "one" / "same")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.json").touch()
    wrong = {
        "Glioma T1 lies inside of the source .*images of patients, whose": [
            image_folder / "Glioma T1"
        ],
        "images of patients is the source itself: leave it out": [
            image_folder / "Glioma T1" / ".."
        ],
        "holds the source .*images of patients itself": [image_folder.parent],
        "named same, .*one/same and .*two/same: rename one": [
            tmp_path / "one" / "same",
            tmp_path / "two" / "same",
        ],
        "--unlabelled .*one/same is given twice": [tmp_path / "one" / "same", tmp_path / "link"],
        "one/same lies inside of .*/one, which is given, too: leave out .*/one/same$": [
            tmp_path / "one" / "same",
            tmp_path / "one",
        ],
        "is a prepared store": [tmp_path / "store"],
        "is not a folder": [tmp_path / "absent"],
    }
    for said, folders in wrong.items():
        with pytest.raises(BrainsslError, match=said) as raised:
            read_extra(folders, image_folder)
        assert "\n" not in str(raised.value)
    with pytest.raises(BrainsslError, match="same: holds no image"):
        scan(image_folder, unlabelled=[tmp_path / "one" / "same"])
