"""The Hugging Face hub is asked once whether it is there: who is offline knows within seconds.

Its own library tries each file six times, for half a minute, and tells the terminal of each.
"""

import logging
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants

SECONDS = 5.0
"""In which the hub must answer."""


@contextmanager
def hub_within_reach() -> Iterator[None]:
    """Let the block use what was fetched before, where the hub does not answer.

    Its library then fails at once for what was not. Lines about its retries are not shown.
    """
    logger, offline = logging.getLogger("huggingface_hub"), constants.HF_HUB_OFFLINE
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    constants.HF_HUB_OFFLINE = offline or not answers(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        logger.setLevel(level)


def answers(address: str, seconds: float = SECONDS) -> bool:
    """Tell whether a server answers, whatever it says, through proxies where they are set.

    Args:
        address: its URL.
        seconds: in which it must; a name that nobody resolves takes no longer.
    """
    found: list[bool] = []
    asking = threading.Thread(target=lambda: found.append(_asked(address, seconds)), daemon=True)
    asking.start()
    asking.join(seconds)
    return found == [True]


def _asked(address: str, seconds: float) -> bool:
    try:
        request = urllib.request.Request(address, method="HEAD")  # noqa: S310 - that of the hub
        with urllib.request.urlopen(request, timeout=seconds):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        # It answered; whether it is to be trusted, the library judges by certificates of its own.
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, ValueError):
        return False
