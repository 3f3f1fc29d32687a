"""The command that serves a classifier to others."""

from pathlib import Path
from typing import Annotated

import typer

from brainssl import api
from brainssl.commands.shared import AsJson, NoSeed, teaching, tell


@teaching
def serve(
    classifier: Annotated[Path, typer.Argument(help="Classifier, or the folder that holds it.")],
    host: Annotated[
        str, typer.Option(help="Name or address to bind; one that others see needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(help="That every request must carry; better in the variable BRAINSSL_TOKEN."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Further name that it is asked by, such as a proxy's; repeats."),
    ] = None,
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
