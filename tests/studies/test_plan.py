"""A column that is left out is counted before a study begins."""

from pathlib import Path

import pytest

from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.studies.plan import count_values


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


def test_values_of_a_store_are_those_of_labelled_images(store: ImageStore) -> None:
    manifest = store.manifest.assign(site=["a", "b", "c"] * 20)
    manifest.to_parquet(store.path / "manifest.parquet")
    assert count_values(store.path, "site") == 3
    with pytest.raises(BrainsslError, match="the column ward is not known"):
        count_values(store.path, "ward")
