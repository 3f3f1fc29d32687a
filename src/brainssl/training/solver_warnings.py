"""scikit-learn's warnings about few images: what matters of them is said in words of our own."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_MESSAGES = (
    "Only one sample available",  # a class of one image has no covariance; the others' is shared
    "The number of unique classes is greater than",  # few images of many classes are no regression
    ".*failed to converge",  # the chosen words of a probe say it
)


@contextmanager
def solver_warnings_kept_back() -> Iterator[None]:
    """Let scikit-learn fit without a word on the terminal; any other warning comes through."""
    with warnings.catch_warnings():
        for message in _MESSAGES:
            warnings.filterwarnings("ignore", message, UserWarning)
        yield
