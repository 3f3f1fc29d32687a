"""The rule of the examples does not flatter: two right, two wrong, by name."""

from pathlib import Path

import pandas as pd
import pytest

from brainssl.reporting.blocks import Strips
from brainssl.reporting.sections.example_slices import _which, chosen, example_strips
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


@pytest.mark.parametrize(
    ("hits", "misses", "told"),
    [
        ("cad", "zxy", "the first 2 by name that are right and the first 2 by name that are wrong"),
        ("cadb", "", "the first 4 by name that are right; none is wrong"),
        ("c", "zxy", "the first that is right and the first 3 by name that are wrong"),
    ],
)
def test_the_caption_counts_what_is_shown(hits: str, misses: str, told: str) -> None:
    own = said(hits, misses)
    assert _which(own, chosen(own)) == told


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
