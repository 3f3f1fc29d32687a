"""`python -m brainssl` is the command line."""

from brainssl.cli import app

app(prog_name="brainssl")
