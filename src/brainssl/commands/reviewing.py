"""The command that reviews the labels of a study."""

from pathlib import Path
from typing import Annotated

import typer

from brainssl import api
from brainssl.commands.shared import AsJson, Seed, teaching, tell


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
