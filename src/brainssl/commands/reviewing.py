"""The command that reviews the labels of a study."""

from pathlib import Path
from typing import Annotated

import typer

from brainssl import api
from brainssl.commands.shared import AllowHost, AsJson, Host, Port, Seed, Token, teaching, tell


@teaching
def review(
    study: Annotated[Path, typer.Argument(help="Folder of a finished study.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the review; by default review in the study.")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Show the images on a page, and keep verdicts.")
    ] = False,
    apply: Annotated[
        Path | None, typer.Option(help="Table to write: path,label after the verdicts.")
    ] = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Who reviews: stands in each verdict.")
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token: Token = None,
    allow_host: AllowHost = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Rank the labels of a finished study by how probably they are wrong, and take verdicts.

    Example: brainssl review runs/study --serve --reviewer "A. Reader"
    Then: brainssl review runs/study --apply labels.csv
    """
    answer = api.review(
        study,
        out=out,
        serve=serve,
        apply=apply,
        reviewer=reviewer,
        host=host,
        port=port,
        token=token,
        allow_host=allow_host,
        seed=seed,
    )
    tell(answer, as_json)
