"""Scores of the subgroups of a test set, and which of them are told apart from the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64

from brainssl.data.subgroups import Column, Cuts, columns_of, is_told_by_class
from brainssl.evaluation.comparison import enough_draws, holm, two_sided
from brainssl.evaluation.confusion import SCORES, by_group, of_confusion
from brainssl.evaluation.draws import group_weights, strata_of
from brainssl.evaluation.intervals import Interval, percentile_intervals
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.rows import for_json
from brainssl.foundation.nouns import counted

SUBGROUPS = "subgroups.json"

LEAST_GROUPS = 5
"""Groups below which a subgroup is named and not scored."""

LEVEL = 0.05
"""Corrected p values below it tell a subgroup apart from the rest."""

SHOWN = SCORES[:2]
_ROWS = 512  # draws at a time
_ALIKE = 1e-9  # differences that are equal but for their last digits

Mask = Bool[np.ndarray, " n"]
Sides = Float64[np.ndarray, "groups 2"]


def by_subgroup(
    model: Predictions, manifest: pd.DataFrame, cuts: Cuts, *, draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Score the images of each value of each column, and set each against the rest.

    The interval of a subgroup draws among its own groups, see
    `brainssl.evaluation.intervals.bootstrap`. The rest are the images of which another value is
    known. The interval of the difference draws groups of both together; a group that has images on
    both sides brings both.

    The p value is the larger of two. One is that of the bootstrap. It errs where a subgroup has few
    groups, which may all be right by chance: the other deals the groups of both sides anew, as many
    to each as there were, and exchanges the two sides of a group that has both, or not (a
    permutation test; Good 2005, chapter 3). Holm's correction is for all comparisons of the model;
    two that divide the images alike, as those of the two values of a column do, are one.

    Not held by it: why they differ. A subgroup may hold other classes than the rest.

    Args:
        model: predictions of one split, of one model or pooled.
        manifest: what is known of the images, by `image_id`; others may stand there too.
        cuts: where numbers are cut, see `brainssl.data.subgroups.cuts_of`.
        draws: of the bootstrap, at least; with many comparisons there are more.
        seed: of the draws.

    Returns:
        For JSON: `least_groups`; `compared`: how many comparisons were corrected for; `left_out`:
        `column` and `why` of columns that do not divide the images; and `columns`, each with
        `column`, `cuts` (None unless numbers were cut), `told_by_class` (whether all images of
        a class have the same value), `unknown` (images whose value is not known), and `values`.
        Each of these has `value` (the last may be None: unknown), `n`, `groups`, `patients` (None
        unless all are known), `accuracy`, `balanced_accuracy` and `intervals` of both (None with
        too few groups), `why` not, and `difference` of accuracy from the rest, its `interval`,
        `p_value` and `p_holm`, or None. Empty where no column divides the images.
    """
    images = manifest.drop_duplicates("image_id").set_index("image_id")
    images = images.reindex(model.frame["image_id"]).reset_index()
    images["label"] = model.frame["label"].to_numpy(object)
    columns, left_out = columns_of(images, cuts)
    if not columns and not left_out:
        return {}
    tested = _Tested.of(model, images)
    comparisons = _comparisons(tested, columns)
    number = enough_draws(draws, len(comparisons))
    found = [_compared(tested, *sides, number, seed) for sides in comparisons.values()]
    corrected = dict(zip(comparisons, holm([p for _, _, p in found]), strict=True))
    known = {
        key: {"difference": d, "interval": limits, "p_value": p, "p_holm": corrected[key]}
        for key, (d, limits, p) in zip(comparisons, found, strict=True)
    }
    return {
        "least_groups": LEAST_GROUPS,
        "compared": len(comparisons),
        "columns": [_about(tested, column, comparisons, known, draws, seed) for column in columns],
        "left_out": [{"column": name, "why": why} for name, why in left_out.items()],
    }


@dataclass(frozen=True, eq=False)
class _Tested:
    """Arrays of the images of a test set; groups are counted from 0."""

    labels: Int64[np.ndarray, " n"]
    predicted: Int64[np.ndarray, " n"]
    group_of: Int64[np.ndarray, " n"]
    patients: "pd.Series[str]"
    names: "pd.Series[str]"
    classes: int

    @classmethod
    def of(cls, model: Predictions, images: pd.DataFrame) -> "_Tested":
        _, group_of = np.unique(model.groups, return_inverse=True)
        nobody = pd.Series([None] * len(images), dtype=object)
        patients = images.get("patient", nobody)
        names = images["label"]
        return cls(model.labels, model.predicted, group_of, patients, names, len(model.classes))

    def groups(self, rows: Mask) -> int:
        """Return how many groups have images among these."""
        return len(np.unique(self.group_of[rows]))

    def totals(self, rows: Mask) -> Sides:
        """Return how many of these images each group has, and how many of them are right."""
        size = int(self.group_of.max()) + 1
        right = (rows & (self.labels == self.predicted)).astype(np.float64)
        return np.stack(
            [
                np.bincount(self.group_of, weights=rows.astype(np.float64), minlength=size),
                np.bincount(self.group_of, weights=right, minlength=size),
            ],
            axis=1,
        )


Key = frozenset[bytes]


def _key(rows: Mask, rest: Mask) -> Key:
    return frozenset((rows.tobytes(), rest.tobytes()))


def _sides(column: Column, value: str) -> tuple[Mask, Mask]:
    """Return which images have the value, and which another one."""
    rows = (column.told == value).to_numpy(bool)
    return rows, column.told.notna().to_numpy(bool) & ~rows


def _comparisons(tested: _Tested, columns: Sequence[Column]) -> dict[Key, tuple[Mask, Mask]]:
    """Return the sides of each comparison, each once."""
    found: dict[Key, tuple[Mask, Mask]] = {}
    for column in columns:
        for value in column.order:
            rows, rest = _sides(column, value)
            if min(tested.groups(rows), tested.groups(rest)) >= LEAST_GROUPS:
                found.setdefault(_key(rows, rest), (rows, rest))
    return found


def _about(
    tested: _Tested,
    column: Column,
    comparisons: dict[Key, tuple[Mask, Mask]],
    known: dict[Key, dict[str, Any]],
    draws: int,
    seed: int,
) -> dict[str, Any]:
    values = []
    for value in column.order:
        rows, rest = _sides(column, value)
        told = {"value": value} | _scored(tested, rows, draws, seed) | {"difference": None}
        key = _key(rows, rest)
        if key in known:
            first, _ = comparisons[key]
            own = known[key] if (first == rows).all() else _turned(known[key])
            told["difference"] = for_json(own)
        elif not told["why"]:
            told["why"] = f"the rest: {_few(tested.groups(rest))}"
        values.append(told)
    unknown = column.told.isna().to_numpy(bool)
    if unknown.any():
        told = {"value": None} | _scored(tested, unknown, draws, seed) | {"difference": None}
        values.append(told)
    return {
        "column": column.name,
        "cuts": list(column.cuts) or None,
        "told_by_class": is_told_by_class(column, tested.names),
        "unknown": int(unknown.sum()),
        "values": values,
    }


def _turned(known: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of a comparison as the other side sees it."""
    low, high = known["interval"]
    return known | {"difference": -known["difference"], "interval": (-high, -low)}


def _few(groups: int) -> str:
    return f"{counted(groups, 'group')}, fewer than {LEAST_GROUPS}"


def _scored(tested: _Tested, rows: Mask, draws: int, seed: int) -> dict[str, Any]:
    """Count and score some images."""
    groups, patients = tested.groups(rows), tested.patients[rows]
    told: dict[str, Any] = {
        "n": int(rows.sum()),
        "groups": groups,
        "patients": int(patients.nunique()) if patients.notna().all() else None,
    }
    if groups < LEAST_GROUPS:
        nothing = dict.fromkeys(SHOWN)
        return told | nothing | {"intervals": nothing, "why": _few(groups)}
    labels, k = tested.labels[rows], tested.classes
    _, of = np.unique(tested.group_of[rows], return_inverse=True)
    table = by_group(labels, tested.predicted[rows], of, k)
    drawn = [
        of_confusion((weights @ table).reshape(-1, k, k))
        for _, weights in group_weights(strata_of(labels, of), draws, seed, _ROWS)
    ]
    shown = len(SHOWN)
    own = of_confusion(table.sum(axis=0).reshape(1, k, k))[0, :shown].tolist()
    limits = percentile_intervals(np.concatenate(drawn)[:, :shown], 0.95)
    intervals = for_json(dict(zip(SHOWN, limits, strict=True)))
    return told | dict(zip(SHOWN, own, strict=True)) | {"intervals": intervals, "why": None}


def _compared(
    tested: _Tested, rows: Mask, rest: Mask, draws: int, seed: int
) -> tuple[float, Interval, float]:
    """Return the difference of accuracy, its interval, and the p value."""
    ours, theirs = tested.totals(rows), tested.totals(rest)
    difference = _difference(ours.sum(axis=0), theirs.sum(axis=0))
    drawn = _drawn_differences(tested, rows, rest, draws, seed)
    (limits,) = percentile_intervals(drawn[:, None], 0.95)
    held = (ours + theirs)[:, 0] > 0
    dealt = _dealt_differences(ours[held], theirs[held], draws, seed)
    few = min(int((dealt >= difference - _ALIKE).sum()), int((dealt <= difference + _ALIKE).sum()))
    by_chance = min(1.0, 2 * (1 + few) / (1 + len(dealt)))
    by_draws = two_sided(drawn[~np.isnan(drawn)], int(held.sum()))
    return float(difference), limits, max(by_chance, by_draws)


def _difference(
    ours: Float64[np.ndarray, "*draws 2"], theirs: Float64[np.ndarray, "*draws 2"]
) -> Float64[np.ndarray, "*draws"]:
    """Return the accuracy of one side minus that of the other; NaN where a side is empty."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(ours[..., 1] / ours[..., 0] - theirs[..., 1] / theirs[..., 0])


def _drawn_differences(
    tested: _Tested, rows: Mask, rest: Mask, draws: int, seed: int
) -> Float64[np.ndarray, " draws"]:
    """Return the difference under each draw of the groups of both sides."""
    both = rows | rest
    groups, of = np.unique(tested.group_of[both], return_inverse=True)
    ours, theirs = tested.totals(rows)[groups], tested.totals(rest)[groups]
    strata = strata_of(tested.labels[both], of)
    return np.concatenate(
        [
            _difference(weights @ ours, weights @ theirs)
            for _, weights in group_weights(strata, draws, seed, _ROWS)
        ]
    )


def _dealt_differences(
    ours: Sides, theirs: Sides, draws: int, seed: int
) -> Float64[np.ndarray, " draws"]:
    """Return the difference with sides dealt anew, as if they meant nothing."""
    generator = np.random.default_rng(seed)
    mixed = (ours[:, 0] > 0) & (theirs[:, 0] > 0)
    whole = (ours + theirs)[~mixed]
    side = ours[~mixed, 0] > 0
    gap = ours[mixed] - theirs[mixed]
    found = []
    for start in range(0, draws, _ROWS):
        count = min(_ROWS, draws - start)
        dealt = generator.permuted(np.tile(side, (count, 1)), axis=1).astype(np.float64)
        turned = generator.integers(2, size=(count, len(gap))).astype(np.float64)
        own = dealt @ whole + ours[mixed].sum(axis=0) - turned @ gap
        found.append(_difference(own, (ours + theirs).sum(axis=0) - own))
    return np.concatenate(found)
