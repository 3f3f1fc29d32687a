"""The function that serves a classifier to others."""

import asyncio
import os
import sys
from pathlib import Path

import brainssl
from brainssl.api.answers import Answer
from brainssl.api.options import Names, Where, listed, seed_of, within
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.extras import require
from brainssl.foundation.nouns import counted

TOKEN = "BRAINSSL_TOKEN"  # noqa: S105 - the name of a variable
"""The variable that holds the token: unlike an option it is in no list of processes."""


def serve(
    classifier: Where,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    allow_host: Names | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Answer:
    """Serve a classifier: a page and an interface over HTTP, for research.

    It ends by Ctrl-C or SIGTERM, when what was accepted is answered; a second one ends at once.

    Args:
        classifier: its file, or the folder that holds it.
        host: name or address to bind; one that other machines see needs a token.
        port: to bind; 0 for any that is free.
        token: that every request must carry; by default what BRAINSSL_TOKEN holds, if anything.
        allow_host: further names that the service is asked by, such as that of a proxy before it.
        seed: accepted everywhere; nothing is drawn here.
        quiet: show no log.

    Returns:
        `url` where it was, `answered` and `refused`: how many requests.

    Raises:
        BadUseError: a host that others see without a token, or a token that is too short.
        BrainsslError: there is no such classifier or address, the port is taken, or
            brainssl[serve] is not installed.
    """
    seed_of(seed)
    within("--port", port, 0, 65535)
    require("serve")
    refuse_within_a_loop()
    if brainssl._waiting_is_ours:  # noqa: SLF001
        # A service is asked by those who wait: its threads do not sleep between layers, but some
        # 20 ms after the last. GNU's OpenMP reads it as PyTorch is imported.
        os.environ.setdefault("GOMP_SPINCOUNT", "2000000")
    from brainssl.serving.engine import Engine
    from brainssl.serving.server import bind, checked_token, guarded, run, url_of
    from brainssl.serving.service import Service

    secret = checked_token(token or os.environ.get(TOKEN))
    with bind(host, port, secret) as taken:

        def say(line: str) -> None:
            if not quiet:
                print(f"brainssl: {line}", file=sys.stderr, flush=True)

        service = Service(Engine.load(Path(classifier)))
        names = tuple(filter(None, listed(allow_host)))
        guard = guarded(service, say, host=host, token=secret, allow_hosts=names)
        url = url_of(taken)
        run(guard, service, taken, say)
    facts = {"url": url, "answered": guard.answered, "refused": guard.refused}
    return Answer(facts, f"{counted(guard.answered, 'request')} answered, {guard.refused} refused")


def refuse_within_a_loop() -> None:
    """Raise BrainsslError where a server cannot run: within an asyncio loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise BrainsslError("an asyncio loop runs here, as in a notebook: run `brainssl serve` beside")
