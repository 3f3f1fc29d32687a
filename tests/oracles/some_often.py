"""Of many alike, some are tested each time and all by `make thorough`."""

from collections.abc import Iterable
from typing import Any

import pytest


def some_often(names: Iterable[str], often: Iterable[str]) -> list[Any]:
    """Return parameters of a test: those that are not among `often` are marked as thorough."""
    kept = set(often)
    return [
        name if name in kept else pytest.param(name, marks=pytest.mark.thorough) for name in names
    ]
