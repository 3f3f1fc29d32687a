"""How often 95 % intervals hold the truth: groups drawn in three ways, on simulated test sets.

    python benchmarks/coverage.py results/coverage.json

A test set has groups of one class (or of three), easy ones and hard ones, of unequal size, and two
models that agree in part about what is hard. Of many such sets it is counted how often the
interval of accuracy, of macro F1 and of the difference of the two models holds its true value: that
of so large a test set that nothing is left to chance. Macro F1 of a small test set lies below that
on average; `f1_macro_of_its_size` counts how often the interval holds the mean over test sets of
the same size. Simulation and scores share no code with the package; the draws of `ours` are its.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from brainssl.evaluation.draws import group_weights, strata_of

SETS, DRAWS, LARGE = 400, 400, 4000
TARGETS = (
    "accuracy",
    "f1_macro",
    "f1_macro_of_its_size",
    "difference_accuracy",
    "difference_f1_macro",
)

Counts = Float64[np.ndarray, "models groups classes classes"]
Strata = Int64[np.ndarray, " groups"]
Weights = Float64[np.ndarray, "draws groups"]


@dataclass(frozen=True)
class Setting:
    """What test sets look like.

    Attributes:
        name: in the table.
        groups: of each class.
        tail: standard deviation of the logarithm of a group's number of images.
        differ: how much better than the mean the best class is recognised, in log odds.
        random: whether the class of each group is drawn, not how many each class has.
        mixed: whether each group holds the three classes that stand together, as patients do
            whose classes are a tumour in three sequences.
    """

    name: str
    groups: tuple[int, ...]
    tail: float = 0.5
    differ: float = 0.5
    random: bool = False
    mixed: bool = False


SMALL = Setting("40 groups, 4 classes", (14, 11, 9, 6))
MANY = (17, 15, 13, 12, 10, 9, 8, 8, 7, 6, 5, 5, 4, 4, 4, 3, 3)
SETTINGS = (
    SMALL,
    replace(SMALL, name="40 groups, 4 classes, very unequal groups", tail=1.0),
    Setting("60 patients, 6 classes, 3 each", (10,) * 6, mixed=True),
    Setting("133 groups, 17 classes", MANY),
    replace(SMALL, name="399 groups, 17 classes", groups=tuple(3 * n for n in MANY)),
    Setting("77 groups, 17 classes, 4 of one group", (*MANY[4:14], 3, 2, 2, 1, 1, 1, 1)),
    Setting("60 groups, 4 unlike classes", (20, 17, 14, 9), differ=1.5),
    Setting("the same, frequencies drawn too", (20, 17, 14, 9), differ=1.5, random=True),
)


def main() -> None:
    """Simulate every setting and write the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("out", type=Path, help="JSON file to write")
    out = parser.parse_args().out
    result: dict[str, Any] = {
        "what": "share of simulated test sets whose 95 % interval holds the true value",
        "command": shlex.join(["python", *sys.argv]),
        "sets": SETS,
        "draws": DRAWS,
        "settings": {},
    }
    with ProcessPoolExecutor() as pool:
        for setting, found in zip(SETTINGS, pool.map(measure, SETTINGS), strict=True):
            result["settings"][setting.name] = found
            print(json.dumps({setting.name: found}), flush=True)
    out.write_text(json.dumps(result, indent=2) + "\n")


def measure(setting: Setting, sets: int = SETS, draws: int = DRAWS) -> dict[str, Any]:
    """Return for each way to draw how often each target is covered, and what draws hold."""
    rng = np.random.default_rng(0)
    truth = _models(_large(setting, rng))
    samples = [simulated(setting, rng) for _ in range(sets)]
    points = np.array([_models(sample.sum(axis=1, keepdims=True)) for sample in samples])
    of_its_size = points.mean(axis=0)
    ways: dict[str, Callable[[Strata, int, int], Weights]] = {
        "any": lambda strata, draws, seed: _repeats(np.zeros_like(strata), draws, seed),
        "by_class": _repeats,
        "ours": lambda strata, draws, seed: next(group_weights(strata, draws, seed, draws))[1],
    }
    found = {}
    for name, way in ways.items():
        covered, held, width = np.zeros(len(TARGETS)), 0.0, np.zeros(4)
        for seed, sample in enumerate(samples):
            weights = way(_strata(sample), draws, seed)
            k = sample.shape[-1]
            drawn = (weights @ sample.reshape(2, -1, k * k)).reshape(2, draws, k, k)
            low, high = np.quantile(_models(drawn), (0.025, 0.975), axis=-1)
            inside = (low <= truth[..., 0]) & (truth[..., 0] <= high)
            fair = (low <= of_its_size[..., 0]) & (of_its_size[..., 0] <= high)
            covered += inside[0, 0], inside[0, 1], fair[0, 1], inside[1, 0], inside[1, 1]
            width += (high - low).ravel()
            held += (drawn[0].sum(axis=2) > 0).sum(axis=1).mean()
        found[name] = {
            **dict(zip(TARGETS, (covered / sets).round(4).tolist(), strict=True)),
            "width_accuracy": round(float(width[0] / sets), 4),
            "width_f1_macro": round(float(width[1] / sets), 4),
            "classes_held": round(float(held / sets), 2),
        }
    return found


def simulated(
    setting: Setting, rng: np.random.Generator, classes: Int64[np.ndarray, " groups"] | None = None
) -> Counts:
    """Return for two models the images of each group by true and said class."""
    k, groups = len(setting.groups), np.array(setting.groups)
    if classes is None:
        classes = np.repeat(np.arange(k), groups)
        if setting.random:
            classes = rng.choice(k, size=len(classes), p=groups / groups.sum())
    sizes = np.ceil(rng.lognormal(1.2, setting.tail, len(classes))).astype(int).clip(max=60)
    of = np.repeat(np.arange(len(classes)), sizes)
    labels = classes[of]
    if setting.mixed:
        shares = rng.dirichlet((1, 1, 1), len(classes)).cumsum(axis=1)
        labels = labels // 3 * 3 + (rng.random(len(of))[:, None] > shares[of, :2]).sum(axis=1)
    ease = np.random.default_rng(1).permutation(np.linspace(-1, 1, k)) * setting.differ
    shared = rng.normal(size=len(classes))
    counts = []
    for skill in (1.5, 1.1):
        hardness = np.sqrt(0.7) * shared + np.sqrt(0.3) * rng.normal(size=len(classes))
        odds = np.exp(skill + ease[labels] + 1.2 * hardness[of])
        right = rng.random(len(of)) < odds / (1 + odds)
        wrong = (labels + np.where(rng.random(len(of)) < 0.5, 1, rng.integers(1, k, len(of)))) % k
        cells = (of * k + labels) * k + np.where(right, labels, wrong)
        table = np.bincount(cells, minlength=len(classes) * k * k)
        counts.append(table.reshape(-1, k, k).astype(float))
    return np.stack(counts)


def _large(setting: Setting, rng: np.random.Generator) -> Counts:
    """Return the counts of so many groups of each class that they are as good as all."""
    total = np.array(setting.groups) / sum(setting.groups)
    each = [
        share * simulated(setting, rng, np.full(LARGE, c)).mean(axis=1, keepdims=True)
        for c, share in enumerate(total)
    ]
    counts: Counts = np.stack(each).sum(axis=0)
    return counts


def _models(counts: Counts) -> Float64[np.ndarray, "2 2 draws"]:
    """Return accuracy and macro F1 of the first model, then by how much it has more."""
    hits = np.einsum("mdcc->mdc", counts)
    support, said = counts.sum(axis=3), counts.sum(axis=2)
    held = support > 0
    f1 = np.where(held, 2 * hits / np.where(held, support + said, 1), 0)
    scores = np.stack(
        [hits.sum(axis=2) / support.sum(axis=2), f1.sum(axis=2) / held.sum(axis=2)], axis=1
    )
    return np.stack([scores[0], scores[0] - scores[1]])


def _strata(sample: Counts) -> Strata:
    images = sample[0].sum(axis=2).astype(int)
    groups, labels = np.indices(images.shape)
    labels, group_of = (np.repeat(which.ravel(), images.ravel()) for which in (labels, groups))
    return strata_of(labels, group_of)


def _repeats(strata: Strata, draws: int, seed: int) -> Weights:
    """Draw as many groups of each stratum as it has."""
    rng, weights = np.random.default_rng(seed), np.zeros((draws, len(strata)))
    for stratum in np.unique(strata):
        own = np.flatnonzero(strata == stratum)
        weights[:, own] = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), draws)
    return weights


if __name__ == "__main__":
    main()
