"""The one exception that a user is meant to read."""


class BrainsslError(Exception):
    """A fault in the input or its use, told in one line that names the file and the mend.

    The command line prints the message without a traceback and exits with 1.
    """
