"""The command that serves a classifier to others."""

from pathlib import Path
from typing import Annotated

import typer

from brainssl import api
from brainssl.commands.shared import AllowHost, AsJson, Host, NoSeed, Port, Token, teaching, tell


@teaching
def serve(
    classifier: Annotated[Path, typer.Argument(help="Classifier, or the folder that holds it.")],
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token: Token = None,
    allow_host: AllowHost = None,
    seed: NoSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Serve a classifier: a page and an interface over HTTP, for research.

    Example: brainssl serve runs/tuned --port 8000
    """
    tell(
        api.serve(classifier, host=host, port=port, token=token, allow_host=allow_host, seed=seed),
        as_json,
    )
