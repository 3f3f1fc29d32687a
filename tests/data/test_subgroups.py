"""Columns that divide images: numbers at tertiles of training, others by their values."""

from typing import Any

import numpy as np
import pandas as pd

from brainssl.data.subgroups import columns_of, cuts_of, is_told_by_class


def images(n: int = 60, **columns: Any) -> pd.DataFrame:
    base = {
        "image_id": [str(i) for i in range(n)],
        "path": [f"{i}.png" for i in range(n)],
        "label": [("a", "b")[i % 2] for i in range(n)],
        "group": np.arange(n) // 2,
        "echo_time": [str(i) for i in range(n)],
        "series": [f"s{i // 2}" for i in range(n)],
    }
    return pd.DataFrame(base | columns)


def test_ages_are_cut_at_the_tertiles_of_groups() -> None:
    ages = [str(20 + i // 2) for i in range(60)]
    assert cuts_of(images(age=ages)) == {"age": [30.0, 40.0]}  # 29.7 and 39.3 divide whole ages so
    halves = [str(20.5 + i // 2) for i in range(60)]
    assert cuts_of(images(age=halves)) == {"age": [30.2, 39.8]}
    # A patient with many slices counts once: all but one of these images are of the oldest.
    many = images(80, age=[str(20 + min(i, 30)) for i in range(80)])
    many["group"] = np.minimum(np.arange(80), 30)
    (low, high) = cuts_of(many)["age"]
    assert (low, high) == (30.0, 40.0)


def test_each_number_is_in_its_bin_and_the_edge_in_the_upper_one() -> None:
    told: list[Any] = ["29", "30", "31.5", 40, 41, "90+", None, float("nan"), ""]
    (column,), left_out = columns_of(images(9, age=told), {"age": [30.0, 40.0]})
    assert column.order == ("below 30", "30 to below 40", "40 and above")
    assert list(column.told[:6]) == [
        *("below 30", "30 to below 40", "30 to below 40"),
        *("40 and above", "40 and above", "40 and above"),
    ]
    assert column.told[6:].isna().all()
    assert column.cuts == (30.0, 40.0)
    assert left_out == {}


def test_few_numbers_are_values_and_a_field_is_the_nearest_known_one() -> None:
    told = ["1.494", "1.5", "2.894", "3", None, "3.0"] * 10
    found = images(field_strength=told)
    assert cuts_of(found) == {}
    ((column,), _) = columns_of(found, {})
    assert column.order == ("1.5", "3")
    assert column.told.value_counts().to_dict() == {"1.5": 20, "3": 30}


def test_what_does_not_divide_says_why() -> None:
    found = images(
        site=["here"] * 60,
        note=[f"n{i % 20}" for i in range(60)],
        dose=[str(i % 20) for i in range(60)],
        diagnosis=[("x", "y")[i % 2] for i in range(60)],
        nothing=[None] * 60,
        sex=[("F", "M", "M")[i % 3] for i in range(60)],
    )
    columns, left_out = columns_of(found, {})
    assert [column.name for column in columns] == ["sex"]
    assert left_out == {
        "site": "here everywhere",
        "note": "20 values, more than 12",
        "dose": "20 numbers, and no tertiles of training to cut them at",
        "diagnosis": "it is the class",
    }


def test_sequence_and_plane_come_first_and_what_the_class_tells_is_known() -> None:
    found = images(
        age=["4"] * 59 + ["5"],
        plane=["axial", "axial", "coronal"] * 20,
        sequence=["T1", "T1"] * 30,
        label=[("a", "b", "c", "d")[i % 4] for i in range(60)],
    )
    found["sequence"] = found["label"].map({"a": "T1", "b": "T1", "c": "T2", "d": "T2"})
    columns, _ = columns_of(found, {})
    assert [column.name for column in columns] == ["plane", "sequence", "age"]
    told = {column.name: is_told_by_class(column, found["label"]) for column in columns}
    assert told == {"plane": False, "sequence": True, "age": False}
