"""Class counts before and after balancing are those of the balanced store."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainssl.data.balance import balance
from brainssl.data.store import ImageStore
from brainssl.reporting.blocks import flat
from brainssl.reporting.sections.data import content
from brainssl.reporting.study import Study, read_study
from brainssl.reporting.tables.balance import balance_table


@pytest.fixture
def uneven(shared_store: ImageStore) -> ImageStore:
    """Two classes of 18 images and one of 11, some with flags of their own."""
    manifest = shared_store.manifest
    # One flag only resembles the mark of a copy.
    flags = np.resize(["", "16 bit", "not an augmented copy"], len(manifest))
    few = manifest.index[manifest["label"] == shared_store.classes[0]][:7]
    labels = manifest["label"].where(~manifest.index.isin(few), None)
    return replace(shared_store, manifest=manifest.assign(flags=flags, label=labels))


@pytest.fixture
def balanced(make_study: Callable[..., Path], uneven: ImageStore) -> Study:
    """A study under the protocol `paper` alone, with a store that was really balanced."""
    classes = list(uneven.classes)
    folder = make_study(classes=classes, protocols=["paper"], seeds=1, extras=False)
    balance(uneven, folder / "store-paper", augment=lambda images, _: images)
    return read_study(folder)


def test_counts_are_those_of_the_originals_and_of_all(balanced: Study, uneven: ImageStore) -> None:
    table = balance_table(balanced)
    assert table is not None
    before = uneven.manifest["label"].value_counts()
    assert sorted(before) == [11, 18, 18]
    rows = {line.headers[0]: [cell.text for cell in line.cells] for line in table.lines}
    for name in uneven.classes:
        assert rows.pop(name) == [str(before[name]), "18"]
    assert rows == {"All classes": ["47", "54"]}


def test_the_table_stands_with_the_data(balanced: Study) -> None:
    names = [getattr(block, "name", "") for block in flat(content(balanced))]
    assert names[:2] == ["balance", "counts-paper"]


def test_without_a_balanced_store_there_is_no_table(study: Path) -> None:
    assert balance_table(read_study(study)) is None
