"""How a study was divided is read from what its folder holds."""

import json
from pathlib import Path

import pandas as pd
import pytest

from brainssl.data.folds import Fold, split_name
from brainssl.foundation.errors import BadUseError
from brainssl.studies.division import Division, begun_division


def begun(out: Path, *folds: Fold | None) -> Path:
    """A folder that holds splits and a finished step."""
    (out / "steps" / "linear-untrained-grouped-f1-s0").mkdir(parents=True)
    (out / "splits").mkdir()
    for fold in folds:
        (out / "splits" / f"{split_name('grouped', fold)}.json").write_text("{}")
    return out


def folds(number: int, column: str | None = None) -> list[Fold]:
    return [Fold(n, number, column) for n in range(1, number + 1)]


def test_the_splits_tell(tmp_path: Path) -> None:
    assert begun_division(tmp_path / "none") is None
    assert begun_division(begun(tmp_path / "one", None)) == Division()
    assert begun_division(begun(tmp_path / "five", *folds(5))) == Division(5)
    (tmp_path / "five" / "splits" / "image-k1of5.json").write_text("{}")
    assert begun_division(tmp_path / "five") == Division(5)


def test_where_no_step_is_finished_nothing_is_kept(tmp_path: Path) -> None:
    out = begun(tmp_path / "out", None)
    (out / "steps" / "linear-untrained-grouped-f1-s0").rename(out / "steps" / ".x.partial")
    assert begun_division(out) is None


@pytest.mark.parametrize("column", ["site", "k", "scanner model, 3 T"])
def test_a_column_that_was_left_out_is_found_by_its_whole_name(tmp_path: Path, column: str) -> None:
    out = begun(tmp_path / "out", *folds(3, column))
    (out / "store").mkdir()
    pd.DataFrame({"label": ["a"], column: ["x"]}).to_parquet(out / "store" / "manifest.parquet")
    assert begun_division(out) == Division(3, column)
    (out / "store" / "manifest.parquet").unlink()
    with pytest.raises(BadUseError, match="begun with --leave-out: give it again"):
        begun_division(out)


def test_of_several_divisions_that_of_the_results_goes_on(tmp_path: Path) -> None:
    out = begun(tmp_path / "out", None, *folds(3))
    with pytest.raises(BadUseError, match=r"\(3 folds, one split\): say with --folds"):
        begun_division(out)
    for told, division in (
        (None, Division()),
        ({"number": 3, "column": None, "values": None}, Division(3)),
    ):
        (out / "results.json").write_text(json.dumps({"study": {"folds": told}, "rows": []}))
        assert begun_division(out) == division


def test_it_is_said_in_words() -> None:
    told = [str(one) for one in (Division(), Division(5), Division(3, "site"))]
    assert told == ["one split", "5 folds", "3 folds of site"]


def test_a_study_of_an_earlier_version_is_one_split() -> None:
    folder = Path(__file__).parents[1] / "fixtures" / "earlier_study"
    assert begun_division(folder) == Division()
