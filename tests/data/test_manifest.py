"""What a manifest says of sequences, and whether labels say it."""

import pandas as pd
import pytest

from brainssl.data.manifest import labels_tell_sequences


def manifest(*rows: tuple[str | None, str | None]) -> pd.DataFrame:
    label, sequence = (pd.Series(column, dtype=object) for column in zip(*rows, strict=True))
    return pd.DataFrame({"label": label, "sequence": sequence})


TABLE = {"enhanced": ["Glioma", "T1C+"], "other": ["Glioma", ""]}
NAMED = manifest(("enhanced", "T1C+"), ("enhanced", "T1C+"), ("other", None), (None, "T2"))
OF_FILES = manifest(("Glioma", "T1"), ("Glioma", "T2"), ("Normal", "T1"), (None, None))


def test_classes_that_a_table_a_name_or_their_folders_tell_the_sequence_of() -> None:
    assert labels_tell_sequences(NAMED, TABLE)
    assert labels_tell_sequences(NAMED, None)  # by folders: each class has its own
    named = pd.concat([OF_FILES, manifest(("Metastasis T2", "T2"))])
    assert labels_tell_sequences(named, None)


@pytest.mark.parametrize(
    "rows",
    [
        OF_FILES,
        manifest(("Glioma", "T1"), ("Normal", "T1"), (None, "T2")),  # all the same
        manifest((None, "T1"), (None, "T2")),
        OF_FILES.iloc[:0],
    ],
)
def test_sequences_that_files_tell(rows: pd.DataFrame) -> None:
    assert not labels_tell_sequences(rows, None)


def test_a_table_that_says_of_a_class_that_it_has_no_sequence_goes_before_its_name() -> None:
    rows = manifest(("Type T2", "T1"), ("Type T2", "T2"), ("Normal", "T1"))
    assert labels_tell_sequences(rows, None)
    table = {"Type T2": ["Type T2", ""], "Normal": ["Normal", ""]}
    assert not labels_tell_sequences(rows, table)
