"""What a training is asked for, and what that was before a setting was known."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from brainssl.foundation.storage import begun_for
from brainssl.settings import Settings

START = "start_digest"
"""Under which key a request holds the digest of the weights that a training begins with."""
_START_BEFORE = "start"


def as_before(method: str, written: Collection[str]) -> dict[str, Any]:
    """Return what keys of a request stood for in versions that did not know them yet.

    Args:
        method: whose settings hold.
        written: methods whose sections stand in the request.
    """
    return {"reader": 1, "settings": Settings().of(method).written(written)}


def as_begun(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Return a request in the words of the version that began the unfinished work, if any.

    Versions of before held the digest of the starting weights where rows of results have their
    name.

    Args:
        folder: to make.
        request: what it is to be for now.
    """
    begun = begun_for(folder)
    if START not in request or not isinstance(begun, dict) or START in begun:
        return request
    if _START_BEFORE not in begun:
        return request
    own = {key: value for key, value in request.items() if key != START}
    return own | {_START_BEFORE: request[START]}
