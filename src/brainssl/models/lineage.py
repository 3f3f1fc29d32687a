"""Lineage: the trainings of ours that the weights of a model come from."""

from collections.abc import Mapping, Sequence
from typing import Any

FACTS = "starting_weights"
"""Under which key a model's facts hold those of the weights that it began with."""
PRETRAINED = "pretrained"
"""Under which key a classifier's facts hold the training of the encoder that it was given."""
BEFORE = "trained_on"
"""Under which key a training, or a start, holds the one before it."""

_KEPT = ("method", "stage", "protocol", "store", "split_digest", "label_fraction", "seed")


def training_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is remembered of the training behind a model, those before it within.

    Args:
        facts: of the model; of a fresh encoder those of its start alone.

    Returns:
        Those of `method`, `stage`, `protocol`, `store`, `split_digest`, `label_fraction` and `seed`
        that are known, and under `trained_on` the same of the training before; empty where there
        was none.
    """
    own = {key: facts[key] for key in _KEPT if key in facts}
    before = facts.get(PRETRAINED) or (facts.get(FACTS) or {}).get(BEFORE)
    if not own:
        return dict(before or {})
    return own | ({BEFORE: before} if before else {})


def trainings(last: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    """Return a training and all before it, the last first, given as by `training_of`."""
    found = []
    while last:
        found.append(last)
        last = last.get(BEFORE)
    return found
