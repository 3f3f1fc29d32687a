"""Columns of a manifest that divide its images into subgroups: sites, scanners, ages, planes."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from brainssl.data.extra import EXTRA, RESEMBLES
from brainssl.data.manifest import MANIFEST_COLUMNS

Cuts = Mapping[str, Sequence[float]]

# Whom an image is of, what its file is like, and what a sequence is set to: that speaks for these.
_NONE = (
    (set(MANIFEST_COLUMNS) - {"sequence", "plane"})
    | {"study", "series", "row_mm", "column_mm", "lesion", EXTRA, RESEMBLES}
    | {"repetition_time", "echo_time", "inversion_time", "flip_angle", "spacing_between_slices"}
)
_MOST_VALUES = 12
_FEW_NUMBERS = 6  # up to so many different numbers are values of their own
_FIELD, _TESLA, _NEAR = "field_strength", (0.2, 0.35, 0.55, 1.0, 1.5, 3.0, 7.0), 0.05
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)\+?")  # 90+: ages that were cut off


@dataclass(frozen=True)
class Column:
    """A column that divides images.

    Attributes:
        name: of the column.
        told: the value of each image, in the order of the manifest; None where unknown.
        order: the values, in the order in which they are told.
        cuts: where numbers were cut; empty of others.
    """

    name: str
    told: "pd.Series[str]"
    order: tuple[str, ...]
    cuts: tuple[float, ...] = ()


def cuts_of(images: pd.DataFrame) -> dict[str, list[float]]:
    """Return where columns of numbers are cut: at their tertiles over groups.

    A group counts once with each of its values. Tertiles are rounded to three digits, of whole
    numbers to the next whole one; columns of at most six different numbers are not cut.

    Args:
        images: the rows of a manifest that a classifier was trained on, and no others: the images
            that it is tested on must not decide how they are divided.
    """
    found = {}
    for name in _names(images):
        told = _told(images, name)
        numbers = told.dropna().map(_number)
        if numbers.isna().any() or numbers.nunique() <= _FEW_NUMBERS:
            continue
        own = pd.DataFrame({"group": images["group"], "number": numbers}).dropna()
        tertiles = np.quantile(own.drop_duplicates()["number"], [1 / 3, 2 / 3])
        whole = bool((own["number"] % 1 == 0).all())
        edges = [math.ceil(t) if whole else float(f"{t:.3g}") for t in tertiles.tolist()]
        found[name] = sorted({float(edge) for edge in edges})
    return found


def columns_of(images: pd.DataFrame, cuts: Cuts) -> tuple[list[Column], dict[str, str]]:
    """Return the columns that divide images into subgroups, and why others do not.

    Args:
        images: rows of a manifest, those that were tested, each with its `label`.
        cuts: of numbers, see `cuts_of`.
    """
    columns, left_out = [], {}
    for name in _names(images):
        told = _told(images, name)
        if not told.notna().any():
            continue
        column = _column(name, told, cuts)
        if why := _unfit(column, images["label"]):
            left_out[name] = why
        else:
            columns.append(column)
    return columns, left_out


def is_told_by_class(column: Column, labels: "pd.Series[str]") -> bool:
    """Tell whether all images of a class have the same value, as where classes name sequences."""
    known = pd.DataFrame({"label": labels, "value": column.told}).dropna().drop_duplicates()
    return bool(known["label"].is_unique)


def _names(images: pd.DataFrame) -> list[str]:
    """Return the columns that may divide images; ours first, then those of the collection."""
    own = [str(name) for name in images if name not in _NONE]
    return sorted(own, key=lambda name: (name not in ("sequence", "plane"), name))


def _told(images: pd.DataFrame, name: str) -> "pd.Series[str]":
    """Return what a column says, as text; None where it says nothing."""
    found = [_text(value, field=name == _FIELD) for value in images[name]]
    return pd.Series(found, images.index, dtype=object)


def _text(value: object, *, field: bool) -> str | None:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(value).strip()
    number = _number(text)
    if math.isnan(number):
        return text or None
    if field:
        number = next((t for t in _TESLA if abs(number - t) <= _NEAR * t), number)
    return f"{number:g}" + "+" * text.endswith("+")


def _number(text: str) -> float:
    found = _NUMBER.fullmatch(text)
    return float(found[1]) if found else math.nan


def _column(name: str, told: "pd.Series[str]", cuts: Cuts) -> Column:
    numbers = told.dropna().map(_number)
    if numbers.isna().any():
        return Column(name, told, tuple(sorted(set(told.dropna()))))
    if edges := tuple(cuts.get(name) or ()):
        bins = _bins(edges)
        places = np.searchsorted(edges, numbers.to_numpy(np.float64), side="right")
        named = pd.Series([bins[place] for place in places], numbers.index, dtype=object)
        values = told.where(told.isna(), named.reindex(told.index))
        return Column(name, values, tuple(bin_ for bin_ in bins if (values == bin_).any()), edges)
    return Column(name, told, tuple(sorted(set(told.dropna()), key=_number)))


def _bins(edges: Sequence[float]) -> list[str]:
    """Name what lies between edges; each lower edge belongs to its bin."""
    inner = [f"{a:g} to below {b:g}" for a, b in pairwise(edges)]
    return [f"below {edges[0]:g}", *inner, f"{edges[-1]:g} and above"]


def _unfit(column: Column, labels: "pd.Series[str]") -> str:
    """Say why a column does not divide images; nothing if it does."""
    if len(column.order) > _MOST_VALUES:
        if not column.told.dropna().map(_number).isna().any():
            return f"{len(column.order)} numbers, and no tertiles of training to cut them at"
        return f"{len(column.order)} values, more than {_MOST_VALUES}"
    if len(column.order) == 1 and column.told.notna().all():
        return f"{column.order[0]} everywhere"
    classes = labels[column.told.notna()].groupby(column.told.dropna()).nunique()
    if len(column.order) > 1 and is_told_by_class(column, labels) and (classes == 1).all():
        return "it is the class"
    return ""
