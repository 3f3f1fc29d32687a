"""What a training is asked for, and what that was before a setting was known."""

from collections.abc import Collection
from typing import Any

from brainssl.settings import Settings


def as_before(method: str, written: Collection[str]) -> dict[str, Any]:
    """Return what keys of a request stood for in versions that did not know them yet.

    Args:
        method: whose settings hold.
        written: methods whose sections stand in the request.
    """
    return {"reader": 1, "settings": Settings().of(method).written(written)}
