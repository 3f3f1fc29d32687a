"""Manifests drawn at random."""

import numpy as np
import pandas as pd
from hypothesis import assume
from hypothesis import strategies as st


def build(labels, groups, givens=None) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [f"{number:016x}" for number in range(len(labels))],
            "label": pd.Series(labels, dtype=object),
            "group": np.asarray(groups, np.int64),
            "given": pd.Series(givens or [None] * len(labels), dtype=object),
        }
    )


@st.composite
def manifests(draw, *, givens=(None,), max_groups=25) -> pd.DataFrame:
    """Groups of 1 to 9 images that span classes; some images lack a label; rows are shuffled."""
    classes = draw(st.integers(2, 5))
    sizes = draw(st.lists(st.integers(1, 9), min_size=2, max_size=max_groups))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    purity, unlabelled = draw(st.floats(0, 1)), draw(st.sampled_from([0, 0.1, 0.5]))
    rows = []
    for group, size in enumerate(sizes):
        main = rng.integers(classes)
        for _ in range(size):
            kind = main if rng.random() < purity else rng.integers(classes)
            label = None if rng.random() < unlabelled else f"class {kind}"
            rows.append((label, 7 * group, givens[rng.integers(len(givens))]))
    order = rng.permutation(len(rows))
    labels, groups, given_sets = zip(*(rows[i] for i in order), strict=True)
    assume(len({label for label in labels if label}) >= 2)
    return build(labels, groups, list(given_sets))
