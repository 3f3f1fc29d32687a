"""The command line: what commands there are; `brainssl.commands` holds them."""

import io
import sys
import warnings
from typing import Annotated, Any

import typer
import typer.core

from brainssl import __version__
from brainssl.commands import data, inference, reviewing, serving, studies, training

_COMMANDS = (
    data.phantom,
    data.scan,
    data.audit,
    data.prepare,
    training.pretrain,
    training.probe,
    training.finetune,
    training.tune,
    training.evaluate,
    studies.study,
    studies.report,
    studies.compare,
    reviewing.review,
    inference.external,
    inference.explain,
    inference.predict,
    inference.embed,
    inference.export,
    serving.serve,
)


class _Words(typer.core.TyperGroup):
    """Refuses empty words: an unset variable would name the current folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Look at the words before they are taken for names."""
        for before, word in zip(["", *args], args, strict=False):
            if word == "" or (word.startswith("--") and word.endswith("=")):
                after = f" after {before}" if before else ""
                raise typer.BadParameter(
                    f"an empty word was given{after}: is a variable unset? The current folder is ."
                )
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Words,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Self-supervised learning for brain MRI classification, with results that can be "
    "believed.",
)


for _command in _COMMANDS:
    app.command()(_command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"brainssl {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print and exit.")
    ] = False,
) -> None:
    # A name that the terminal cannot show must not cost the answer.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of a damaged file one line is told
