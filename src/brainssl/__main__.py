"""The command line as a process of its own; also run by `python -m brainssl`."""

import sys

from brainssl.cli import app
from brainssl.foundation.leaving import leave

_PROMPT = ("predict", "serve")  # commands whose end somebody waits for


def main() -> None:
    """Run the command that is named."""
    try:
        app(prog_name="brainssl")
    except SystemExit as end:
        if sys.argv[1:2] and sys.argv[1] in _PROMPT and isinstance(end.code, int | None):
            leave(end.code or 0)
        raise


if __name__ == "__main__":
    main()
