"""Series whose slices look like another sequence or plane than the one that is told of them.

A header's sequence is wrong in one hospital series of eight, and its pixels know. A small
classifier learns sequences from the collection itself, never from the patient that it judges, and
a series is judged as a whole. It flags; it corrects nothing.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from brainssl.data.appearance.features import describe
from brainssl.data.appearance.linear import Linear
from brainssl.data.appearance.simulated import SEQUENCE_OF, Model, plane_model, sequence_model
from brainssl.data.archives.archive import UNKNOWN

DOUBT = 0.08
"""Probability of what is told below which a series is flagged."""
SIMULATED_DOUBT = 0.05
"""The same where only simulated slices taught: what they teach is less sure of real ones."""
FEWEST_GROUPS = 10
"""Patients of a class from which it is learnt."""

_FOLDS = 5
_SLICES = 12  # of a series that are looked at
_SEED = 0  # of the folds
_ROUNDS = 3
_UNTAUGHT = 0.2  # probability of what is told below which a series teaches nothing the next round
_NEVER = 1e-3  # least probability of one slice: it does not decide alone


@dataclass(frozen=True)
class Seen:
    """What a series looks like.

    Attributes:
        series: its name, as given.
        told: what is told of it.
        seen: the likeliest.
        probability: of `seen`.
        told_probability: of `told`.
        slices: how many were looked at.
        by: who judged: a classifier of this collection, or of simulated slices.
    """

    series: Hashable
    told: str
    seen: str
    probability: float
    told_probability: float
    slices: int
    by: str

    @property
    def flagged(self) -> bool:
        """Whether it looks like something else."""
        limit = DOUBT if self.by == COLLECTION else SIMULATED_DOUBT
        return self.seen != self.told and self.told_probability <= limit

    def sentence(self) -> str:
        """Say it in words."""
        if not self.flagged:
            return f"told as {self.told}, and looks like it"
        return (
            f"told as {self.told} (probability {self.told_probability:.2f} by its slices), looks "
            f"like {self.seen} ({self.probability:.2f})"
        )


COLLECTION = "the collection"
SIMULATION = "simulated slices"


@dataclass(frozen=True)
class Check:
    """What was found.

    Attributes:
        series: every series that could be judged, in the order of its first slice.
        notes: what could not be judged, and why; one sentence each.
    """

    series: tuple[Seen, ...]
    notes: tuple[str, ...]

    @property
    def flagged(self) -> tuple[Seen, ...]:
        """The series that look like something else, the least likely first."""
        return tuple(
            sorted(
                (one for one in self.series if one.flagged), key=lambda one: one.told_probability
            )
        )


def sequence_check(
    images: UInt8[np.ndarray, "n s s"],
    told: Sequence[str],
    groups: Sequence[Hashable],
    *,
    series: Sequence[Hashable] | None = None,
    sure: Sequence[bool] | None = None,
) -> Check:
    """Compare what slices look like with the sequences that are told of them.

    Classes that fewer than `FEWEST_GROUPS` patients have are not learnt; of them T1, T1C+ and T2
    are judged by simulated slices, which tell T1 with and without an agent from T2 and no more.

    Args:
        images: slices, letterboxed as in a store; a few from the middle of each series will do.
        told: sequence of each, such as `T1C+`; `unknown` is not judged and teaches nothing.
        groups: patient of each slice: nobody is judged by a classifier that learnt from them.
        series: series of each slice; by default each is one of its own.
        sure: whether a slice's sequence is sure enough to be learnt; by default all are.

    Raises:
        ValueError: lengths differ.
    """
    names, model = sequence_model()
    return _checked("sequence", images, told, groups, series, sure, names, model, SEQUENCE_OF)


def plane_check(
    images: UInt8[np.ndarray, "n s s"],
    told: Sequence[str],
    groups: Sequence[Hashable],
    *,
    series: Sequence[Hashable] | None = None,
    sure: Sequence[bool] | None = None,
) -> Check:
    """Compare what slices look like with the planes that are told of them, as `sequence_check`."""
    names, model = plane_model()
    same = {name: name for name in names}
    return _checked("plane", images, told, groups, series, sure, names, model, same)


@dataclass(frozen=True)
class _Rows:
    """The slices that are looked at, and whose they are.

    Attributes:
        features: of each slice.
        series: number of the series of each slice.
        names: of the series.
        told: of the series.
        groups: number of each series' patient.
        sure: whether the series may teach.
    """

    features: Float32[np.ndarray, "n width"]
    series: Int64[np.ndarray, " n"]
    names: list[Hashable]
    told: "np.ndarray"
    groups: Int64[np.ndarray, " series"]
    sure: "np.ndarray"

    def pooled(self, slices: Float64[np.ndarray, "n classes"]) -> Float64[np.ndarray, "s classes"]:
        """Return probabilities of the series: geometric means over their slices."""
        total = np.zeros((len(self.names), slices.shape[1]))
        np.add.at(total, self.series, np.log(np.maximum(slices, _NEVER)))
        found = np.exp(total / np.bincount(self.series, minlength=len(self.names))[:, None])
        return np.asarray(found / found.sum(axis=1, keepdims=True))


def _checked(
    what: str,
    images: "np.ndarray",
    told: Sequence[str],
    groups: Sequence[Hashable],
    series: Sequence[Hashable] | None,
    sure: Sequence[bool] | None,
    names: tuple[str, ...],
    model: Model,
    simulated: Mapping[str, str],
) -> Check:
    count = len(images)
    given = (told, groups, count * [True] if sure is None else sure)
    if any(len(one) != count for one in given) or (series is not None and len(series) != count):
        raise ValueError(f"{count} images need as many told, groups, series and sure")
    if not count:
        return Check((), (f"no image: no {what} was checked",))
    rows = _rows(images, *given, range(count) if series is None else series)
    known = rows.told != UNKNOWN
    have = {
        name: len(set(rows.groups[known & rows.sure & (rows.told == name)]))
        for name in set(rows.told[known])
    }
    learnt = sorted(name for name, groups_of in have.items() if groups_of >= FEWEST_GROUPS)
    found: dict[int, Seen] = {}
    notes: list[str] = []
    if len(learnt) >= 2:
        found |= _by_collection(rows, learnt)
    left = {name: groups_of for name, groups_of in have.items() if name not in learnt}
    if len(learnt) == 1:
        left[learnt[0]] = have[learnt[0]]
    if left:
        found |= _by_simulation(rows, set(left), names, model, simulated)
        notes += [_note(what, name, left[name], learnt, simulated) for name in sorted(left)]
    nameless = int((~known).sum())
    if nameless:
        notes.append(f"{nameless} series of unknown {what}: nothing to check")
    return Check(tuple(found[at] for at in sorted(found)), tuple(notes))


def _rows(
    images: "np.ndarray",
    told: Sequence[str],
    groups: Sequence[Hashable],
    sure: Sequence[bool],
    series: Sequence[Hashable],
) -> _Rows:
    places: dict[Hashable, list[int]] = {}
    for row, name in enumerate(series):
        places.setdefault(name, []).append(row)
    numbers: dict[Hashable, int] = {}
    taken, whose, kept_told, kept_groups, kept_sure = [], [], [], [], []
    for number, own in enumerate(places.values()):
        at = np.unique(np.linspace(0, len(own) - 1, min(len(own), _SLICES)).round().astype(int))
        taken += [own[one] for one in at]
        whose += [number] * len(at)
        # A series is one thing: what most of its slices are told to be.
        kept_told.append(Counter(told[row] for row in own).most_common(1)[0][0])
        kept_groups.append(numbers.setdefault(groups[own[0]], len(numbers)))
        kept_sure.append(all(sure[row] for row in own))
    return _Rows(
        np.stack([describe(np.asarray(images[row])) for row in taken]),
        np.array(whose, np.int64),
        list(places),
        np.array(kept_told, object),
        np.array(kept_groups, np.int64),
        np.array(kept_sure, bool),
    )


def _by_collection(rows: _Rows, learnt: list[str]) -> dict[int, Seen]:
    """Judge series by classifiers that did not learn from their patients.

    Those that look wrong after a round teach nothing in the next: what is told wrongly would be
    learnt as well. In the last round all are judged again.
    """
    teaches = rows.sure & np.isin(rows.told, learnt)
    judged = np.isin(rows.told, learnt)
    place = np.array([learnt.index(name) if name in learnt else 0 for name in rows.told])
    for _ in range(_ROUNDS):
        of_series = rows.pooled(_out_of_fold(rows, teaches, learnt))
        of_told = of_series[np.arange(len(place)), place]
        doubted = (of_told <= _UNTAUGHT) & (of_series.argmax(axis=1) != place)
        teaches = rows.sure & judged & ~doubted
    return _seen(rows, np.flatnonzero(judged), of_series, learnt, {}, COLLECTION)


def _out_of_fold(
    rows: _Rows, teaches: "np.ndarray", learnt: list[str]
) -> Float64[np.ndarray, "n classes"]:
    people = int(rows.groups.max()) + 1
    fold = np.random.default_rng(_SEED).permutation(people) % _FOLDS
    of_slice = fold[rows.groups][rows.series]
    share = 1 / np.bincount(rows.series)[rows.series]
    names = rows.told[rows.series].astype(str)
    found = np.zeros((len(rows.features), len(learnt)))
    for number in range(_FOLDS):
        train = (of_slice != number) & teaches[rows.series]
        test = of_slice == number
        if not test.any() or len(set(names[train])) < 2:
            found[test] = 1 / len(learnt)
            continue
        model = Linear.learn(rows.features[train], names[train], share[train])
        columns = [learnt.index(name) for name in model.classes]
        found[np.ix_(test, columns)] = model.probabilities(rows.features[test])
    return found


def _by_simulation(
    rows: _Rows,
    left: set[str],
    names: tuple[str, ...],
    model: Model,
    simulated: Mapping[str, str],
) -> dict[int, Seen]:
    at = [number for number, name in enumerate(rows.told) if name in left and name in simulated]
    if not at:
        return {}
    of_series = rows.pooled(model(rows.features))
    return _seen(rows, np.array(at), of_series, list(names), simulated, SIMULATION)


def _seen(
    rows: _Rows,
    at: "np.ndarray",
    of_series: Float64[np.ndarray, "s classes"],
    names: list[str],
    called: Mapping[str, str],
    by: str,
) -> dict[int, Seen]:
    slices = np.bincount(rows.series)
    found = {}
    for number in at.tolist():
        told = str(rows.told[number])
        own = names.index(called.get(told, told))
        best = int(of_series[number].argmax())
        found[number] = Seen(
            rows.names[number],
            told,
            told if best == own else names[best],
            float(of_series[number, best]),
            float(of_series[number, own]),
            int(slices[number]),
            by,
        )
    return found


def _note(
    what: str, name: str, groups: int, learnt: list[str], simulated: Mapping[str, str]
) -> str:
    """Say who judged a class that the collection does not teach."""
    if learnt == [name]:
        why = f"no other {what} of {FEWEST_GROUPS} patients to tell it from"
    else:
        why = f"{groups} {'patient' if groups == 1 else 'patients'}, too few to learn from"
    if name not in simulated:
        return f"{name}: {why}: not checked"
    of_t1 = " (T1 from T2, whatever the agent)" if what == "sequence" else ""
    return f"{name}: {why}: checked by simulated slices{of_t1}"
