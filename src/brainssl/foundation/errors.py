"""The exceptions that a user is meant to read."""


class BrainsslError(Exception):
    """A fault in the input or its use, told in one line that names the file and the mend.

    The command line prints the message without a traceback and exits with 1.
    """


class BadUseError(BrainsslError):
    """A command was called with something that cannot be: the command line exits with 2."""


def line_of(error: OSError) -> str:
    """Tell a fault of the system in one line that names the place."""
    return f"{error.filename or 'input or output'}: {error.strerror or error}"
