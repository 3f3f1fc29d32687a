"""A column that is left out is counted before a study begins."""

from pathlib import Path

import pytest

from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.studies.plan import count_values, gives_test_set


def test_values_of_a_column_are_counted_before_anything_is_read(
    image_folder: Path, tmp_path: Path
) -> None:
    paths = sorted(p.relative_to(image_folder).as_posix() for p in image_folder.rglob("*.png"))
    table = tmp_path / "labels.csv"
    rows = [f"{path},a,{'north' if n % 2 else 'south'}" for n, path in enumerate(paths)]
    table.write_text("\n".join(["path,label,Site", *rows]), "utf-8")
    assert count_values(image_folder, "site", labels=table) == 2
    with pytest.raises(BrainsslError, match="the column scanner has 0 values"):
        count_values(image_folder, "scanner", labels=table)
    with pytest.raises(BrainsslError, match="the column label is one of ours"):
        count_values(image_folder, "label", labels=table)


def test_families_are_no_matter_before_anything_is_read(tmp_path: Path) -> None:
    """`--families` stands in the place of a table that does not fit, so nothing may read that."""
    for name in ("training/a", "training/b", "testing/a", "testing/b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.png").write_bytes(b"not looked into")
    rows = [f"{part}/{name}/1.png,{part}" for part in ("training", "testing") for name in "ab"]
    (tmp_path / "patients.csv").write_text("\n".join(["path,patient", *rows]))
    (tmp_path / "families.csv").write_text("label,family,sequence\nz,Glioma,\n")
    assert count_values(tmp_path, "patient") == 2
    assert gives_test_set(tmp_path)


def test_values_of_a_store_are_those_of_labelled_images(store: ImageStore) -> None:
    manifest = store.manifest.assign(site=["a", "b", "c"] * 20)
    manifest.to_parquet(store.path / "manifest.parquet")
    assert count_values(store.path, "site") == 3
    with pytest.raises(BrainsslError, match="the column ward is not known"):
        count_values(store.path, "ward")
