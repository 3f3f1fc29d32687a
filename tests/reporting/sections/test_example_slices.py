"""The rule of the examples does not flatter: two right, two wrong, by name."""

from pathlib import Path

import pandas as pd
import pytest

from brainssl.reporting.blocks import Strips
from brainssl.reporting.sections.example_slices import chosen, example_strips
from brainssl.reporting.study import read_study


def said(hits: str, misses: str) -> pd.DataFrame:
    index = [*hits, *misses]
    named = ["a"] * len(hits) + ["b"] * len(misses)
    return pd.DataFrame({"label": ["a"] * len(index), "named": named}, index=index).sample(
        frac=1, random_state=0
    )


@pytest.mark.parametrize(
    ("hits", "misses", "shown"),
    [
        ("cad", "zxy", "acxy"),
        ("cad", "z", "acdz"),
        ("c", "zwxy", "cwxy"),
        ("", "zwxyv", "vwxy"),
        ("ba", "", "ab"),
    ],
)
def test_the_first_by_name_of_each_kind(hits: str, misses: str, shown: str) -> None:
    assert "".join(chosen(said(hits, misses))) == shown


def test_each_says_what_was_named_and_what_is_true(analysed_study: Path) -> None:
    (strips,) = example_strips(read_study(analysed_study))
    assert isinstance(strips, Strips)
    assert len(strips.pictures) <= 4
    kinds = [picture.caption.split(":")[0] for picture in strips.pictures]
    assert kinds == sorted(kinds)
    assert set(kinds) <= {"Right", "Wrong"}
    assert all("truth" in p.caption for p in strips.pictures if p.caption.startswith("Wrong"))


def test_without_explanations_there_is_none(study: Path) -> None:
    held = read_study(study)
    assert example_strips(held) == []
